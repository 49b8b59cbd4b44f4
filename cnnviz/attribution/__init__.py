"""Which pixels matter to a network: one file a family of methods, ``registry`` lists them all.

The public functions are importable from ``cnnviz`` itself. This package re-exports none: several are named as their
file is (``smoothgrad``, ``occlusion``), and ``cnnviz.attribution.smoothgrad`` is the file.
"""
