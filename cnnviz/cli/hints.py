"""Which option or command helps with an error of the library, whose own messages know neither."""

from __future__ import annotations

from cnnviz.errors import CnnvizError

HINTS = {
    "overwrite": "--force replaces it.",
}
"""The sentence that follows an error's message, by its ``remedy``; its ``values`` are filled in."""


def message_with_hint(error: Exception) -> str:
    """The error's message, followed by the option or command that helps, where it has a remedy."""
    if not isinstance(error, CnnvizError) or not error.remedy:
        return str(error)
    return f"{error} {HINTS[error.remedy].format(**error.values)}"
