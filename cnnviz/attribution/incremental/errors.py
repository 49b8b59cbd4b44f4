"""The error of the incremental engine."""


class NotIncremental(Exception):  # noqa: N818 (a signal to use the full pass, not a fault)
    """The graph has a structure that the incremental engine does not support; use the full pass."""
