"""From a command's option groups to a job of ``cnnviz.pipeline``: plain configurations, the recipe, the reporter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

from cnnviz.cli import console
from cnnviz.cli.context import current
from cnnviz.cli.options.network import NetworksOptions
from cnnviz.pipeline.collection_job import CollectionJob, ImageCollection, NetworkJob
from cnnviz.pipeline.comparison_job import ComparisonJob
from cnnviz.pipeline.config import EngineConfig, ImageConfig
from cnnviz.pipeline.image_job import ImageJob
from cnnviz.pipeline.query_job import QueryJob
from cnnviz.pipeline.recipe import Provenance
from cnnviz.pipeline.video_job import VIDEO, VideoJob, has_any, run_all, split_videos

if TYPE_CHECKING:
    pass

Job = TypeVar("Job", bound=ImageJob)


def config_of(group: Any) -> Any:
    """An option group as the plain configuration that it declares options for; None, and anything else, as it is."""
    plain = next((kind for kind in type(group).__mro__ if not kind.__module__.startswith("cnnviz.cli")), object)
    if not is_dataclass(plain):
        return group
    values = {field.name: getattr(group, field.name) for field in fields(plain)}
    return plain(**{name: value.value if isinstance(value, Enum) else value for name, value in values.items()})


def job_of(kind: type[Job], technique: str, network: Any, input: Any, run: Any, output: Any = None, **more: Any) -> Job:
    """A job of ``kind`` with the recipe and the reporter of the command being served."""
    run = config_of(run)
    if getattr(run, "engine", "local") == "local" and isinstance(run, EngineConfig):
        current.unused("ray_address", why="without --engine ray")
    configs = (config_of(network), config_of(input), run, config_of(output))
    of_command = {"provenance": current.provenance(), "reporter": console.reporter}
    return kind(technique, *configs, **{**of_command, **more})  # type: ignore[misc]


def run_task(
    task: Any,
    network: Any,
    input: Any,
    run: Any,
    output: Any = None,
    long: Any = None,
    parameters: Mapping[str, Any] | None = None,
) -> None:
    """Run a task of ``cnnviz.tasks`` over the images that the option groups mean; ``long`` for tasks of many steps.

    ``parameters`` are those that the recipe tells otherwise than they were typed. That a run was resumed is no part of
    it. A resumed run leaves out what is finished.
    """
    monitor = task.monitor(config_of(long)) if long is not None else None
    more = {"sidecars": task.sidecars, "suffix": task.suffix, "workload": task.workload, "monitor": monitor}
    told = {**current.parameters(), **(parameters or {})}
    if monitor is not None and monitor.config.resume:
        told.pop("resume", None)
        output = replace(output, skip_existing=True)
    more["provenance"] = Provenance(current.command, told)
    job_of(ImageJob, task.technique, network, input, run, output, **more)(task.with_files())


def run_comparison_task(task: Any, networks: NetworksOptions, input: Any, run: Any, output: Any) -> None:
    """Run a task of ``cnnviz.tasks`` that shows each image to several networks: ``task.compare(views)``."""
    first, *others = networks.each()
    more = {"sidecars": task.sidecars, "suffix": task.suffix, "workload": task.workload, "others": others}
    job_of(ComparisonJob, task.technique, first, input, run, output, **more)(task)


def run_image_and_video_task(task: Any, network: Any, input: Any, run: Any, output: Any) -> None:
    """Run a task of ``cnnviz.tasks`` over images and over the frames of videos, told apart by their names."""
    images, videos = split_videos(config_of(input))
    more = {"workload": task.workload}
    on_images = job_of(ImageJob, task.technique, network, images, run, output, **more)
    on_videos = job_of(VideoJob, task.technique, network, videos, run, output, suffix=VIDEO, **more)
    run_all([job for job in (on_images, on_videos) if has_any(job.input)] or [on_images], task)


def run_collection_task(task: Any, network: Any, input: Any, run: Any, output: Any = None) -> None:
    """Run a task of ``cnnviz.tasks`` that makes one thing of all images: ``task.run(network, images)``."""
    more = {"sidecars": task.sidecars, "suffix": task.suffix, "workload": task.workload}
    job_of(CollectionJob, task.technique, network, input, run, output, **more)(task.run)


def run_query_task(task: Any, network: Any, input: Any, collection: Any, run: Any, output: Any = None) -> None:
    """Run a task of ``cnnviz.tasks`` that compares each image with a collection: ``task.prepare(network, images)``."""
    images = ImageCollection.of(config_of(collection), console.reporter, current.provenance())
    more = {"sidecars": task.sidecars, "suffix": task.suffix, "workload": task.workload, "collection": images}
    job_of(QueryJob, task.technique, network, input, run, output, **more)(task)


def run_network_task(task: Any, network: Any, run: Any, output: Any = None, long: Any = None, name: str = "") -> None:
    """Run a task of ``cnnviz.tasks`` about the network alone: ``task.run(network)``, or, with ``long``,
    ``task.run(network, monitor)``; its output is named after the network, or after ``name``."""
    monitor = task.monitor(config_of(long)) if long is not None else None
    more = {"sidecars": task.sidecars, "suffix": task.suffix, "workload": task.workload, "monitor": monitor}
    job = job_of(NetworkJob, task.technique, network, ImageConfig(), run, output, **more)
    job.of_network(task.run if monitor is None else lambda net: task.run(net, monitor), name)
