"""Measurements against named peers: ``python -m benchmarks``, or one by itself: ``python -m benchmarks.startup``.

Figures of processors are of one thread, which other work on the machine changes least.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported anywhere
