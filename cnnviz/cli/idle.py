"""Options without effect beside others: each is named in a note, none is ignored in silence."""

from __future__ import annotations

from cnnviz.cli.context import current

idle = current.unused
