"""The commands: one file each, named as the command, and one line in ``COMMANDS``."""

from __future__ import annotations

import ast
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec

EXPLAIN = "Explain a prediction"
INSPECT = "Look inside a network"
FOOL = "Fool a network"
PAINT = "Paint"
COLLECT = "Collections of images"
TOOLS = "Tools"

COMMANDS = {
    "classify": EXPLAIN,
    "explain": EXPLAIN,
    "saliency": EXPLAIN,
    "guided": EXPLAIN,
    "gradcam": EXPLAIN,
    "occlusion": EXPLAIN,
    "compare": EXPLAIN,
    "layers": INSPECT,
    "filters": INSPECT,
    "activations": INSPECT,
    "visualize": INSPECT,
    "invert": INSPECT,
    "fool": FOOL,
    "universal": FOOL,
    "dream": PAINT,
    "style": PAINT,
    "texture": PAINT,
    "fast-style apply": PAINT,
    "fast-style sheet": PAINT,
    "fast-style list": PAINT,
    "fast-style train": PAINT,
    "patches": COLLECT,
    "neighbors": COLLECT,
    "embed": COLLECT,
    "embed-index": COLLECT,
    "report": COLLECT,
    "info": TOOLS,
    "models list": TOOLS,
    "models fetch": TOOLS,
    "models path": TOOLS,
    "doctor": TOOLS,
    "help": TOOLS,
}
"""Each command by its name, with the panel of ``cnnviz --help`` that lists it."""

GROUPS = {
    "fast-style": "Paint photos in one pass: in the style of any image (--style my.jpg), in 29 built-in styles (sheet "
    "shows them all), or in your own (train). PHOTO without a command is apply.",
    "models": "List networks, fetch their weights ahead, find them on disk.",
}
"""The help of commands of two words."""

ALONE = {"models": "list"}
"""What the first word alone does, where that is not to print the help."""

IMPLIED = {"fast-style": "apply"}
"""The second word that is meant where the first is followed by a file or an option."""


def command_function(name: str) -> Callable[..., None]:
    """The function of a command: ``fast_style_apply`` in ``cnnviz.cli.commands.fast_style_apply``."""
    found: Callable[..., None] = getattr(import_module(_module(name)), _identifier(name))
    return found


def command_docstring(name: str) -> str:
    """The docstring of a command's function, read from its file: importing every command takes ten times as long."""
    spec = find_spec(_module(name))
    source = spec.loader.get_source(spec.name)  # type: ignore[union-attr]
    functions = (node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef))
    return next(ast.get_docstring(node) or "" for node in functions if node.name == _identifier(name))


def _identifier(name: str) -> str:
    return name.replace("-", "_").replace(" ", "_")


def _module(name: str) -> str:
    return f"{__name__}.{_identifier(name)}"
