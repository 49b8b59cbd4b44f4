"""``cnnviz fast-style list``."""

from __future__ import annotations

from cnnviz.cli import console
from cnnviz.cli.options.fast_style import StyleModelOption
from cnnviz.cli.options.tools import DebugOption, JsonOption
from cnnviz.pipeline.style_model import BUILT_IN, style_model_file
from cnnviz.runtime.paths import path_exists


def fast_style_list(
    style_model: StyleModelOption = BUILT_IN, json: JsonOption = False, debug: DebugOption = False
) -> None:
    """List the styles of a model, with the paths of their thumbnails.

    Examples:
        cnnviz fast-style list
        cnnviz fast-style list -m my.safetensors
    """
    from cnnviz.style.model_file import read_metadata, thumbnail

    file = style_model_file(style_model)
    thumbnails = {name: thumbnail(file, name) for name in read_metadata(file)["styles"]}
    found = {name: str(path) if path_exists(path) else None for name, path in thumbnails.items()}
    if json:
        for name, path in found.items():
            console.result_json({"style": name, "thumbnail": path, "model": style_model})
    else:
        console.table(("style", "thumbnail"), [(name, path or "-") for name, path in found.items()])
