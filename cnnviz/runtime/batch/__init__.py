"""Many tasks on one engine or another: threads of this process, or the workers of a Ray cluster.

``local`` and ``ray`` give the same outcomes in the same order; ``shard`` takes one of N parts of a list. Nothing here
knows what a task is.
"""
