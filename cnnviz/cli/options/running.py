"""How a run is reported and distributed, and where features are stored."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated

from cnnviz.cli.options.declaring import BATCH, RUN, option
from cnnviz.pipeline.config import BatchConfig, EngineConfig, RunConfig, StoreConfig


@dataclass
class StoreOptions(StoreConfig):
    """Where the features of images are stored, so that the next run need not compute them again."""

    store: Annotated[
        Path | None,
        option(
            "--store",
            env="STORE",
            panel=RUN,
            help="Folder of the feature store.",
            metavar="FOLDER",
            show_default="~/.cache/cnnviz/features",
        ),
    ] = StoreConfig.store
    batch: Annotated[
        int | None,
        option(
            "--batch",
            env="BATCH",
            panel=RUN,
            min=1,
            help="Images in one pass of the network.",
            show_default="4 on a CPU, where more gain nothing, 16 on a GPU",
        ),
    ] = StoreConfig.batch


@dataclass
class RunOptions(RunConfig):
    """The seed, and what is printed of the run."""

    json: Annotated[
        bool,
        option("--json", env="JSON", panel=RUN, help="Print one JSON object per result on standard output."),
    ] = False
    seed: Annotated[
        int, option("--seed", env="SEED", panel=RUN, min=0, max=2**32 - 1, help="Seed of everything random.")
    ] = RunConfig.seed
    quiet: Annotated[bool, option("--quiet", "-q", panel=RUN, help="Print results and errors only.")] = False
    verbose: Annotated[bool, option("--verbose", "-v", panel=RUN, help="Print details on standard error.")] = False
    debug: Annotated[bool, option("--debug", panel=RUN, help="Show the traceback of an error.")] = False


class EngineName(str, Enum):
    """What processes the images: the threads of this process, or the workers of a Ray cluster."""

    local = "local"
    ray = "ray"


@dataclass
class EngineOptions(RunOptions, EngineConfig):
    """The seed, what is printed, and what processes the images."""

    engine: Annotated[
        EngineName,
        option("--engine", env="ENGINE", panel=BATCH, help="local: this process. ray: the workers of a Ray cluster."),
    ] = EngineName.local
    jobs: Annotated[
        int | None,
        option(
            "--jobs",
            "-j",
            env="JOBS",
            panel=BATCH,
            min=1,
            max=1024,
            help="Images processed at the same time; 1 for one after another; with ray: workers.",
            show_default="by processors, or GPUs",
        ),
    ] = EngineConfig.jobs
    ray_address: Annotated[
        str | None,
        option(
            "--ray-address",
            env="RAY_ADDRESS",
            panel=BATCH,
            help="The cluster: 'auto', HOST:PORT or ray://HOST:PORT.",
            metavar="ADDRESS",
            show_default="one on this machine",
        ),
    ] = EngineConfig.ray_address


@dataclass
class BatchOptions(EngineOptions, BatchConfig):
    """The seed, what is printed, what processes the images, and the order of results."""

    unordered: Annotated[
        bool, option("--unordered", env="UNORDERED", panel=BATCH, help="Report results in the order they are finished.")
    ] = BatchConfig.unordered
