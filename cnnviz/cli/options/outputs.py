"""Where results are written, and what long jobs write beside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from cnnviz.cli.options.declaring import OUTPUT, RUN, option
from cnnviz.pipeline.config import MonitorConfig, OutputConfig


@dataclass
class OutputOptions(OutputConfig):
    """Where images are written."""

    output: Annotated[
        str | None,
        option(
            "--output",
            "-o",
            panel=OUTPUT,
            help="File, FOLDER/, '-' for PNG bytes on standard output, or a template of "
            "{stem} {name} {parent} {command} {model} {target}.",
            metavar="OUT",
            show_default="{stem}.{command}.png",
        ),
    ] = OutputConfig.output
    force: Annotated[bool, option("--force", "-f", env="FORCE", panel=OUTPUT, help="Overwrite outputs.")] = (
        OutputConfig.force
    )
    skip_existing: Annotated[
        bool,
        option("--skip-existing", panel=OUTPUT, help="Skip images whose output exists."),
    ] = OutputConfig.skip_existing


@dataclass
class SummaryOptions(OutputConfig):
    """Where what is said about all images together is written."""

    output: Annotated[
        str | None,
        option(
            "--output",
            "-o",
            panel=OUTPUT,
            help="With --classes: image of the confusion matrix; tables of it and of all mistakes beside it (.csv).",
            metavar="FILE",
            show_default="none",
        ),
    ] = OutputConfig.output
    force: Annotated[bool, option("--force", "-f", env="FORCE", panel=OUTPUT, help="Overwrite outputs.")] = (
        OutputConfig.force
    )


@dataclass
class PageOptions(OutputOptions):
    """Where a page is written."""

    output: Annotated[
        str | None,
        option(
            "--output",
            "-o",
            panel=OUTPUT,
            help="File, FOLDER/, '-' for standard output, or a template of {stem} {command} {model}.",
            metavar="OUT",
            show_default="{stem}.{command}.html",
        ),
    ] = OutputConfig.output


@dataclass
class LongOptions(MonitorConfig):
    """What a job of many steps writes meanwhile."""

    save_every: Annotated[
        int,
        option("--save-every", panel=RUN, min=0, help="Write the image so far every N steps.", metavar="N"),
    ] = MonitorConfig.save_every
    gif: Annotated[bool, option("--gif", panel=RUN, help="Write a GIF of the progress beside the image.")] = (
        MonitorConfig.gif
    )


@dataclass
class ResumableOptions(LongOptions):
    """What a job of many steps writes meanwhile, and whether it resumes an interrupted one."""

    resume: Annotated[
        bool, option("--resume", panel=RUN, help="Continue an interrupted run, with the optimizer's state.")
    ] = MonitorConfig.resume
