"""``net.pt2``: a network that torch.export saved."""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch

from cnnviz.errors import ModelError, shortened
from cnnviz.network.sources.built import with_weights
from cnnviz.network.sources.request import LoadedModel, Request
from cnnviz.runtime.memory import is_out_of_memory


def load(request: Request) -> LoadedModel:
    """The module of an exported program; ModelError where the file is none, or of a PyTorch that this one cannot read.

    Loading can run code of the file, so only a file that the user trusts is to come here.
    """
    path = Path(request.model)
    if not zipfile.is_zipfile(path):  # of which torch would log a page
        raise ModelError(f"'{path}' cannot be read as a program of torch.export: it is damaged, or another file.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.export.load(path)
            module = program.module()
    except Exception as error:  # it raises anything on files that are damaged, or of another kind
        if is_out_of_memory(error):
            raise
        first = next(iter(str(error).strip().splitlines()), "")
        reason = f"{type(error).__name__}: {shortened(first, 120)}" if first else type(error).__name__
        raise ModelError(f"'{path}' cannot be read as a program of torch.export ({reason}).") from error
    return with_weights(module, request, _input_of(program), file=path)


def _input_of(program: Any) -> dict[str, Any]:
    """The size and channels of the program's input, where it was exported for one shape of a single image tensor."""
    named = set(program.graph_signature.user_inputs)
    shapes = [node.meta["val"].shape for node in program.graph.nodes if node.op == "placeholder" and node.name in named]
    if len(shapes) != 1 or len(shapes[0]) != 4:
        return {}
    channels, height, width = shapes[0][1:]
    found = {"channels": channels} if isinstance(channels, int) else {}
    return {**found, "size": height} if isinstance(height, int) and height == width else found
