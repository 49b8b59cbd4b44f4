"""The one error of the incremental engine."""


class NotIncremental(Exception):  # noqa: N818 (it tells the caller to take the full pass)
    """The engine cannot follow this graph; the batched full pass can."""
