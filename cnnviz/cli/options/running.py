"""How a run is reported, and where what it computes is kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cnnviz.cli.options.declaring import RUN, option


@dataclass
class StoreOptions:
    """Where what was computed of each picture is kept, so that the next run need not compute it again."""

    store: Annotated[
        Path | None,
        option(
            "--store",
            env="STORE",
            panel=RUN,
            help="Folder that keeps what is computed of each picture.",
            metavar="FOLDER",
            show_default="~/.cache/cnnviz/features",
        ),
    ] = None
    batch: Annotated[
        int, option("--batch", env="BATCH", panel=RUN, min=1, help="Pictures the network sees at once.")
    ] = 16


@dataclass
class RunOptions:
    """How the run is reported."""

    json: Annotated[
        bool,
        option("--json", env="JSON", panel=RUN, help="Print one JSON object per result on standard output."),
    ] = False
    seed: Annotated[int, option("--seed", env="SEED", panel=RUN, help="Seed of everything random.")] = 0
    quiet: Annotated[bool, option("--quiet", "-q", panel=RUN, help="Print results and errors only.")] = False
    verbose: Annotated[bool, option("--verbose", "-v", panel=RUN, help="Say what is going on.")] = False
    debug: Annotated[bool, option("--debug", panel=RUN, help="Show the traceback of an error.")] = False


NOT_IN_PARAMETERS = {
    *("images", "files_from", "recursive", "output", "force", "skip_existing", "offline", "max_pixels"),
    *("json", "quiet", "verbose", "debug", "device", "store", "batch"),
    *("model", "seed", "target", "save_every", "gif"),
}
"""Options that a recipe leaves out of its parameters: where pictures come from and go to, how the run is reported,
and what the recipe tells by itself."""
