"""Run a task over images from Python."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import partial
from inspect import signature
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnviz.errors import IncompleteError, UsageError
from cnnviz.pipeline.comparison_job import ComparisonJob
from cnnviz.pipeline.config import BatchConfig, ImageConfig, InputConfig, MonitorConfig, NetworkConfig, OutputConfig
from cnnviz.pipeline.image_job import ImageJob, NetworkSource
from cnnviz.pipeline.outputs import suffix_of
from cnnviz.pipeline.recipe import NOT_IN_PARAMETERS, Provenance, portable
from cnnviz.pipeline.reporter import Reporter, SilentReporter
from cnnviz.pipeline.step_monitor import StepMonitor
from cnnviz.settings import is_option

if TYPE_CHECKING:
    from cnnviz.network.default_model import Purpose
    from cnnviz.network.network import Network
    from cnnviz.runtime.workload import Workload


@dataclass
class PipelineConfig:
    """How a task is run.

    Attributes:
        network: which network, or one that is loaded; several for tasks that compare networks.
        input: how images are read.
        output: where results are written.
        run: seed, and what works through the images.
        monitor: what tasks of many steps leave on their way.
    """

    network: NetworkConfig | Network | Sequence[NetworkConfig | Network] = field(default_factory=NetworkConfig)
    input: ImageConfig = field(default_factory=InputConfig)
    output: OutputConfig = field(default_factory=OutputConfig)
    run: BatchConfig = field(default_factory=BatchConfig)
    monitor: MonitorConfig = field(default_factory=MonitorConfig)


@dataclass(frozen=True)
class ImageResult:
    """The result or error of one image.

    Attributes:
        input: the image, as it was named.
        paths: the files written, the image's first.
        metadata: everything about it, as JSON can hold it.
        text: lines for people.
        error: why there is no result, if there is none.
    """

    input: str
    paths: tuple[Path, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    text: tuple[str, ...] = ()
    error: Exception | None = None


def run_images(
    task: Any,
    sources: str | PathLike[str] | Iterable[str | PathLike[str]],
    config: PipelineConfig | None = None,
    reporter: Reporter | None = None,
) -> list[ImageResult]:
    """The result or error of each image from running a task of ``cnnviz.tasks``, in the order of ``config.run``.

    Results are the files that the command of the same name writes: the same pixels and recipes. A bad
    image does not stop the others: its result has an ``error``.

    Args:
        task: what is done with each image, as ``cnnviz.tasks.saliency.Saliency(method="smoothgrad")``.
        sources: files, folders, or patterns of names.
        config: the network, and how images are read, computed and written.
        reporter: gets warnings and progress as they come.

    Raises:
        UsageError: no image is there, an output exists already or would be written twice, a setting is wrong, the
            task does not take one image at a time, or the network is none.
        ModelError: the network or its weights are not available.

    Example:
        >>> from cnnviz.pipeline.config import InputConfig, OutputConfig
        >>> from cnnviz.pipeline.run import PipelineConfig
        >>> from cnnviz.tasks.saliency import Saliency
        >>> config = PipelineConfig(input=InputConfig(size=96), output=OutputConfig("maps/"))
        >>> (result,) = cnnviz.run_images(Saliency(), "sample_images/chelsea.png", config)
        >>> [path.name for path in result.paths]
        ['chelsea.saliency.png']
    """
    config = config or PipelineConfig()
    _require_image_task(task)
    _require_choices(task)
    known = {"seed": config.run.seed, "raw_format": suffix_of(config.output)}
    task = replace(task, **{name: value for name, value in known.items() if hasattr(task, name)})
    task = task.with_files()
    named = _names(sources)
    values = {f.name: getattr(config.input, f.name) for f in fields(config.input)}
    collector = _Collector(reporter or SilentReporter())
    first, *others = _network_sources(config)
    compares = hasattr(task, "compare")
    if others and not compares:
        raise UsageError(f"The task {type(task).__name__} takes one network, not {1 + len(others)}.")
    kind = partial(ComparisonJob, others=others) if compares else ImageJob
    job = kind(
        task.purpose,
        first,
        type(config.input)(**{**values, "images": [str(name) for name in named]}),
        config.run,
        config.output if task.writes else None,
        provenance=Provenance(_command_of(task), {**_parameters_of_run(config), **_parameters_of(task)}),
        reporter=collector,
        sidecars=task.sidecars,
        monitor=StepMonitor(config.monitor) if hasattr(task, "run") else None,
        suffix=task.suffix,
        workload=task.workload,
        needs_gradients=task.needs_gradients,
        photos_only=task.photos_only,
        several_sizes=task.several_sizes,
        has_numbers=task.has_numbers,
    )
    with suppress(IncompleteError):  # the errors are in the results
        job(task)
    return collector.results


def _require_image_task(task: Any) -> None:
    """UsageError for what is no task with its settings, or a task that does not take one image at a time."""
    if isinstance(task, type) or not hasattr(task, "with_files"):
        name = task.__name__ if isinstance(task, type) else repr(task)
        raise UsageError(f"A task of cnnviz.tasks is wanted with its settings, such as Saliency(), not {name}.")
    run = getattr(task, "run", None)
    takes_image = "image" in signature(run).parameters if run else hasattr(task, "compute") or hasattr(task, "compare")
    if not (takes_image or callable(task)):
        raise UsageError(f"The task {type(task).__name__} does not take one image at a time.")


def _require_choices(settings: Any) -> None:
    """UsageError for a setting of a task, or of the settings in it, that is none of its choices."""
    for each in fields(settings):
        value, choices = getattr(settings, each.name), each.metadata.get("choices")
        if choices and value is not None and value not in choices:
            raise UsageError(
                f"There is no {each.name} '{value}' of {type(settings).__name__}; use {', '.join(choices)}."
            )
        if is_dataclass(value) and not hasattr(value, "__post_init__"):  # others check themselves
            _require_choices(value)


def _names(sources: Any) -> list[str | PathLike[str]]:
    if isinstance(sources, str | PathLike):
        return [sources]
    if not isinstance(sources, Iterable):
        raise UsageError(f"Images are named by a path or several, not by {sources!r}.")
    return list(sources)


def _network_sources(config: PipelineConfig) -> list[NetworkSource]:
    named: Sequence[Any] = config.network if isinstance(config.network, Sequence) else [config.network]
    if not named or any(isinstance(each, str) for each in named):
        raise UsageError(f"A network is a NetworkConfig or a loaded Network, not {config.network!r}.")
    return [each if _is_config(each) else LoadedNetwork(each) for each in named]


def _is_config(network: Any) -> bool:
    """Whether ``network`` says which one to load: a NetworkConfig, or a StyleModelConfig."""
    return hasattr(network, "choose")


@dataclass
class LoadedNetwork:
    """A network that is loaded, where a job asks which one to load."""

    network: Network

    @property
    def device(self) -> str:
        return str(self.network.device)

    def prepare(self) -> None:
        """Does nothing: the network is loaded already."""

    def choose(self, purpose: Purpose) -> tuple[str, None]:
        return self.network.name, None

    def load(self, name: str, seed: int, *, workload: Workload, progress: bool, side: int | None = None) -> Network:
        return self.network


class _Collector:
    """A reporter that keeps the results, and hands everything on to another."""

    def __init__(self, reporter: Reporter) -> None:
        self.results: list[ImageResult] = []
        self.shows_detail, self.shows_progress = reporter.shows_detail, reporter.shows_progress
        self.detail, self.warn, self.unused = reporter.detail, reporter.warn, reporter.unused
        self.result_bytes, self.require_stdout = reporter.result_bytes, reporter.require_stdout
        self.progress, self.only_results_on_stdout = reporter.progress, reporter.only_results_on_stdout
        self.work_started = reporter.work_started
        self._reporter = reporter

    def result(self, record: Mapping[str, Any] | None, paths: Sequence[str] | None, text: Sequence[str]) -> None:
        metadata = dict(record or {})
        files = tuple(Path(path) for path in paths or ())
        self.results.append(ImageResult(str(metadata.get("input", "")), files, metadata, tuple(text)))
        self._reporter.result(record, paths, text)

    def failed(self, name: str, error: Exception) -> None:
        self.results.append(ImageResult(name, error=error))
        self._reporter.failed(name, error)


def _command_of(task: Any) -> str:
    """The name of the task's command: that of its module, as it is typed."""
    return type(task).__module__.rpartition(".")[2].replace("_", "-")


def _parameters_of_run(config: PipelineConfig) -> dict[str, Any]:
    """What differs from the defaults in how the network is loaded and images are read, as recipes have it."""
    networks = config.network if isinstance(config.network, Sequence) else [config.network]
    groups: list[Any] = [*[network for network in networks if _is_config(network)][:1], config.input]
    values = [(f, getattr(group, f.name)) for group in groups for f in fields(group)]
    return {f.name: portable(value) for f, value in values if f.name not in NOT_IN_PARAMETERS and value != f.default}


def _parameters_of(task: Any, default: Any = None) -> dict[str, Any]:
    """The settings that differ from their defaults (those of ``default``, if it is given), as recipes have them."""
    found: dict[str, Any] = {}
    for each in fields(task):
        value = getattr(task, each.name)
        usual = each.default if default is None else getattr(default, each.name)
        if is_option(each):
            if value != usual and each.name != "target":
                found[_option_of(each)] = portable(value)
        elif hasattr(value, "__dataclass_fields__"):
            found |= _parameters_of(value, usual if hasattr(usual, "__dataclass_fields__") else None)
    return found


def _option_of(each: Any) -> str:
    """The first long name of a setting's option, as recipes have it."""
    long = [name for name in each.metadata.get("names") or () if name.startswith("--")]
    return long[0].removeprefix("--").replace("-", "_") if long else each.name
