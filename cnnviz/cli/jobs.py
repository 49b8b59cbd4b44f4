"""Runs the tasks of ``cnnviz.tasks`` with a command's options: one function for each kind of task.

Each makes a job of ``cnnviz.pipeline``, which gets plain configurations, the recipe's command and parameters, and the
reporter that prints. A task with a field ``seed`` gets the run's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from typing import Any, TypeVar

from cnnviz.cli.context import CommandContext
from cnnviz.cli.options.network import NetworksOptions
from cnnviz.pipeline.collection_job import CollectionJob, ImageCollection, NetworkJob
from cnnviz.pipeline.comparison_job import ComparisonJob
from cnnviz.pipeline.config import EngineConfig, ImageConfig
from cnnviz.pipeline.evaluation_job import EvaluationJob
from cnnviz.pipeline.image_job import ImageJob
from cnnviz.pipeline.query_job import QueryJob
from cnnviz.pipeline.recipe import Provenance
from cnnviz.pipeline.step_monitor import StepMonitor
from cnnviz.pipeline.video_job import VIDEO, VideoJob, has_any, run_all, split_videos

Job = TypeVar("Job", bound=ImageJob)

Variant = tuple[Any, Any, Mapping[str, Any]]
"""A task, its network, and further fields of its job."""


def config_of(group: Any) -> Any:
    """An option group as the plain configuration that it declares options for; None, and anything else, as it is."""
    plain = next((kind for kind in type(group).__mro__ if not kind.__module__.startswith("cnnviz.cli")), object)
    if not is_dataclass(plain):
        return group
    values = {field.name: getattr(group, field.name) for field in fields(plain)}
    return plain(**{name: value.value if isinstance(value, Enum) else value for name, value in values.items()})


def job_of(
    context: CommandContext,
    kind: type[Job],
    task: Any,
    network: Any,
    input: Any,
    run: Any,
    output: Any = None,
    **more: Any,
) -> Job:
    """A job of ``kind`` for ``task``, with the recipe and the reporter of the command.

    ``more`` are further fields of the job.
    """
    run = config_of(run)
    if getattr(run, "engine", "local") == "local" and isinstance(run, EngineConfig):
        context.unused("ray_address", why="without --engine ray")
    note_idle_trust(context, [network, *more.get("others", ())])
    configs = (config_of(network), config_of(input), run, config_of(output))
    fields_of_job = {
        "provenance": context.provenance(),
        "reporter": context.reporter,
        "sidecars": task.sidecars,
        "suffix": task.suffix,
        "workload": task.workload,
        "needs_gradients": task.needs_gradients,
        "photos_only": task.photos_only,
        "several_sizes": task.several_sizes,
        "has_numbers": task.has_numbers,
        **more,
    }
    return kind(task.purpose, *configs, **fields_of_job)  # type: ignore[misc]


def note_idle_trust(context: CommandContext, networks: Sequence[Any]) -> None:
    """Warn where ``--trust`` was typed and none of the networks runs code of its own."""
    if "trust" in context.typed:
        from cnnviz.network.sources.table import needs_trust

        is_idle = not any(needs_trust(network.model) for network in networks)
        context.unused("trust", when=is_idle, why="on a network that is no file with code")


def run_task(
    context: CommandContext,
    task: Any,
    network: Any,
    input: Any,
    run: Any,
    output: Any = None,
    long: Any = None,
    parameters: Mapping[str, Any] | None = None,
    **more: Any,
) -> None:
    """Run a task over images; ``long`` are the options for tasks of many steps.

    ``parameters`` replace, in the recipe, those that were typed; ``more`` are further fields of the job. A resumed run
    leaves out what is finished, and its recipe is the same as if it had not been interrupted.
    """
    task, monitor = _seeded(task, run), _monitor(task, long)
    typed = {**context.parameters(), **(parameters or {})}
    if monitor is not None and monitor.config.resume:
        typed.pop("resume", None)
        output = replace(output, skip_existing=True)
    provenance = Provenance(context.command, typed)
    more = {"monitor": monitor, "provenance": provenance, **more}
    job_of(context, ImageJob, task, network, input, run, output, **more)(task.with_files())


def run_evaluation_task(context: CommandContext, task: Any, network: Any, input: Any, run: Any, summary: Any) -> None:
    """Run a task over images whose classes are known, and sum up: ``task.summarize(name, classes, records)``."""
    job_of(context, EvaluationJob, task, network, input, run, summary=config_of(summary))(task.with_files())


def run_comparison_task(
    context: CommandContext, task: Any, networks: NetworksOptions, input: Any, run: Any, output: Any
) -> None:
    """Run a task that shows each image to several networks: ``task.compare(views)``."""
    task = _seeded(task, run)
    first, *others = networks.each()
    job_of(context, ComparisonJob, task, first, input, run, output, others=others)(task)


def run_image_and_video_task(
    context: CommandContext, tasks: Sequence[Variant], input: Any, run: Any, output: Any
) -> None:
    """Run tasks, one after the other, over images and over the frames of videos, distinguished by their names."""
    images, videos = split_videos(config_of(input))
    jobs: list[tuple[ImageJob, Any]] = []
    for task, network, more in tasks:
        seeded = _seeded(task, run)
        on_images = job_of(context, ImageJob, seeded, network, images, run, output, **more)
        on_videos = job_of(context, VideoJob, seeded, network, videos, run, output, **{**more, "suffix": VIDEO})
        jobs += [(job, seeded) for job in [j for j in (on_images, on_videos) if has_any(j.input)] or [on_images]]
    run_all(jobs)


def run_collection_task(
    context: CommandContext, task: Any, network: Any, input: Any, run: Any, output: Any = None
) -> None:
    """Run a task that makes one thing of all images: ``task.run(network, images)``."""
    task = _seeded(task, run)
    job_of(context, CollectionJob, task, network, input, run, output)(task.run)


def run_query_task(
    context: CommandContext, task: Any, network: Any, input: Any, collection: Any, run: Any, output: Any = None
) -> None:
    """Run a task that compares each image with a collection: ``task.prepare(network, images)``."""
    task = _seeded(task, run)
    images = ImageCollection.of(config_of(collection), context.reporter, context.provenance())
    job_of(context, QueryJob, task, network, input, run, output, collection=images)(task)


def run_network_task(
    context: CommandContext, task: Any, network: Any, run: Any, output: Any = None, long: Any = None, name: str = ""
) -> None:
    """Run a task about the network alone: ``task.run(network)``, or, with ``long``, ``task.run(network, monitor)``.

    Its output is named after the network, or after ``name``.
    """
    task, monitor = _seeded(task, run), _monitor(task, long)
    job = job_of(context, NetworkJob, task, network, ImageConfig(), run, output, monitor=monitor)
    job.of_network(task.run if monitor is None else lambda net: task.run(net, monitor), name)


def _seeded(task: Any, run: Any) -> Any:
    """The task with the seed of the run, if it has a field for one."""
    return replace(task, seed=run.seed) if any(field.name == "seed" for field in fields(task)) else task


def _monitor(task: Any, long: Any) -> StepMonitor | None:
    return None if long is None else task.monitor(config_of(long))
