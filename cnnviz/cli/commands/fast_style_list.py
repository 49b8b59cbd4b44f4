"""``cnnviz fast-style list``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cnnviz.cli import console
from cnnviz.cli.options.fast_style import StyleModelOption
from cnnviz.cli.options.tools import DebugOption, JsonOption
from cnnviz.pipeline.style_model import AUTO, known_styles, style_model_file
from cnnviz.runtime.paths import path_exists
from cnnviz.style.catalogue import MODELS


def fast_style_list(style_model: StyleModelOption = AUTO, json: JsonOption = False, debug: DebugOption = False) -> None:
    """List the built-in styles and what they look like, or those of a model.

    Examples:
        cnnviz fast-style list
        cnnviz fast-style list -m my.safetensors --json
    """
    names = list(MODELS) if style_model == AUTO else [style_model]
    rows = [row for name in names for row in _rows(name)]
    if json:
        for row in rows:
            console.result_json(row)
    else:
        columns = ("model", "style", "about") if style_model in (AUTO, *MODELS) else ("style", "thumbnail")
        console.table(columns, [[row[column] or "-" for column in columns] for row in rows])


def _rows(model: str) -> Iterator[dict[str, Any]]:
    """A row for each style of a model; one for that which takes any image."""
    from cnnviz.style.model_file import thumbnail

    known, file = known_styles(model) or (), style_model_file(model)
    about = MODELS[model].styles if model in MODELS else {}
    for style in known:
        path = thumbnail(file, style)
        shown = str(path) if path_exists(path) else None
        yield {"model": model, "style": style, "about": about.get(style, ""), "thumbnail": shown}
    if not known:
        yield {"model": model, "style": "FILE", "about": "any image as the style: --style my.jpg", "thumbnail": None}
