"""Executors run many tasks: one by one, in threads of this process, or on the workers of a Ray cluster.

All give the same results in the same order, and none knows what a task is; ``shard`` takes one of N parts of a list.
"""
