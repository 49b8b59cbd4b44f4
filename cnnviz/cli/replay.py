"""A command's jobs, found again without running them: how a worker elsewhere comes by what a closure knows.

A closure cannot travel, but the command's name and its options can. The worker calls the command with them, and
every job, instead of going to work, is kept here with its ``explain``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cnnviz.cli.command import current

if TYPE_CHECKING:
    from cnnviz.cli.folderjob import Album
    from cnnviz.cli.job import Explain, ImageJob
    from cnnviz.features.collection import Aspect
    from cnnviz.network import Network

_kept: list[tuple[ImageJob, Explain]] | None = None


def keeps(job: ImageJob, explain: Explain) -> bool:
    """Whether a job is only to be found, not run; it is kept then. Gives it its number among the command's jobs."""
    job.number, current.jobs = current.jobs, current.jobs + 1
    if _kept is not None:
        _kept.append((job, explain))
    return _kept is not None


def jobs_of(command: Callable[..., Any], values: Mapping[str, Any]) -> list[tuple[ImageJob, Explain]]:
    """The jobs that ``command`` would run with these option values, in their order, each with its ``explain``."""
    global _kept  # noqa: PLW0603 (a process serves one command)
    found: list[tuple[ImageJob, Explain]] = []
    _kept = found
    try:
        command(**values)
    finally:
        _kept = None
    return found


class SurveyedError(Exception):
    """Ends a command about a folder in a worker where it has said what it wants to know of every picture."""

    def __init__(self, aspects: Sequence[Aspect]) -> None:
        super().__init__()
        self.aspects = aspects


def aspects_of(make: Callable[..., Any], network: Network, album: Album) -> Sequence[Aspect]:
    """What ``make`` wants to know of every picture of an album."""
    album.is_replayed = True
    try:
        make(network, album)
    except SurveyedError as found:
        return found.aspects
    raise AssertionError("a command about a folder that surveys nothing was sent to a worker")
