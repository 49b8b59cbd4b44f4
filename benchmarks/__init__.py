"""Measurements against named peers, each runnable by itself: ``python -m benchmarks.startup``."""
