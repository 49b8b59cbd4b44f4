"""``--check`` for the commands whose tasks are functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from cnnviz.cli.options import OutputOptions
from cnnviz.pipeline.outputs import require_files
from cnnviz.pipeline.result import LoadedImage, Result
from cnnviz.tasks.check import CHECK_SIDECAR, check_map, check_setting

if TYPE_CHECKING:
    from torch import Tensor

    from cnnviz.attribution.targets import Explanation
    from cnnviz.network.network import Network

CheckOption = Annotated[bool, typer.Option("--check", help=check_setting().metadata["help"])]


def check_companions(output: OutputOptions, check: bool) -> tuple[str, ...]:
    """The suffixes of what ``--check`` writes beside a map; UsageError where there is no place for it."""
    if not check:
        return ()
    require_files(output, "--check")
    return (CHECK_SIDECAR,)


def checked(
    result: Result,
    net: Network,
    picture: LoadedImage,
    explanation: Explanation,
    attribute: Callable[[Network], Tensor],
    seed: int,
) -> Result:
    """``result`` with the check's metadata, text and figure; ``attribute`` makes a network's map (1, 1, H, W)."""
    from cnnviz.figures.captions import explanation_title

    check = check_map(net, picture.pixels, explanation.target[0], attribute, seed)
    return check.added_to(result, explanation_title(net.name, explanation))
