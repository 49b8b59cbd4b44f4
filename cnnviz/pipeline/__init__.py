"""Runs tasks over images: finds the inputs, settles the outputs, loads the network, computes, encodes, writes, reports.

It works from Python and from the command line alike, here, in threads, or on the workers of a Ray cluster: whoever
runs it gives plain configurations (``config``) and a ``Reporter``. Nothing here knows of options or of a terminal.
"""
