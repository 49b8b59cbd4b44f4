"""A command's jobs, found again without running them: how a worker elsewhere comes by what a closure knows.

A closure cannot travel, but the command's name and its options can. The worker calls the command with them, and
every job, instead of going to work, is kept here with its ``explain``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from cnnviz.cli.command import current

if TYPE_CHECKING:
    from cnnviz.cli.job import Explain, ImageJob

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
