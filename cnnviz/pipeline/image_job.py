"""Runs a task over images: expands inputs, settles outputs, loads the network, computes, writes, reports."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from cnnviz.errors import ImageError, IncompleteError, Remark, UsageError
from cnnviz.pipeline import inputs, outputs, result_files
from cnnviz.pipeline.config import BatchConfig, EngineConfig, ImageConfig, OutputConfig, RunConfig
from cnnviz.pipeline.execution import Execution
from cnnviz.pipeline.image_task import (
    BatchItem,
    ClassTask,
    EncodedResult,
    ImageWorker,
    Task,
    TaskOutcome,
)
from cnnviz.pipeline.inputs import ImageSource
from cnnviz.pipeline.outputs import RECIPE_SUFFIX, OutputPath
from cnnviz.pipeline.recipe import AnyNetwork, Provenance, recipe_of
from cnnviz.pipeline.reporter import Reporter, SilentReporter, forward_notes
from cnnviz.pipeline.result import Result

if TYPE_CHECKING:
    from cnnviz.network.black_box import BlackBox
    from cnnviz.network.default_model import Purpose
    from cnnviz.network.network import Network
    from cnnviz.pipeline.step_monitor import StepMonitor
    from cnnviz.runtime.executors.task_result import Compute
    from cnnviz.runtime.workload import Workload


class NetworkSource(Protocol):
    """Where a job's network comes from, as ``NetworkConfig``."""

    @property
    def device(self) -> str: ...

    def prepare(self) -> None: ...

    def choose(self, purpose: Purpose) -> tuple[str, Remark | None]: ...

    def load(self, name: str, seed: int, *, workload: Workload, progress: bool, side: int | None = None) -> Network: ...


_BESIDE = 8  # characters that the names of snapshots and checkpoints have more than the image's
_TASKS = 16
"""Smallest number of parts, so that some images are read and some written while others are computed."""

_SLOW_TASKS = 4
"""Smallest number of parts where each call is slow, as a program must start each time."""


@dataclass
class ImageJob:
    """A task over images.

    Attributes:
        purpose: what the network is loaded for: "attribution", "style", ...; decides what model ``auto`` is.
        network: which network.
        input: which images, and how they are read.
        run: seed, and what works through the images.
        output: where results are written; None for tasks that write nothing.
        provenance: the command and its parameters, for recipes.
        reporter: gets warnings, details and progress.
        sidecars: the suffixes of what results bring besides images.
        monitor: called back by tasks that take many steps.
        workload: how exact the network's numbers must be; decides what precision ``auto`` is.
        needs_gradients: whether the task follows the network's gradients.
        photos_only: what the task makes, if it makes it with networks that take photos only.
        several_sizes: whether the task shows the network images of several sizes.
        has_numbers: whether the task makes arrays, too, for .npy and .npz files.
        suffix: the format where no name gives it (``.gif`` for animations, ``.html`` for pages).
        fields: further fields of the templates of outputs, with their values.
        template: the template where only a folder is named, or nothing.
    """

    purpose: Purpose
    network: NetworkSource
    input: ImageConfig
    run: RunConfig
    output: OutputConfig | None = None
    provenance: Provenance = field(default_factory=Provenance)
    reporter: Reporter = field(default_factory=SilentReporter)
    sidecars: Sequence[str] = ()
    monitor: StepMonitor | None = None
    suffix: str = ".png"
    workload: Workload = "exact"
    needs_gradients: bool = False
    photos_only: str = ""
    several_sizes: bool = False
    has_numbers: bool = False
    fields: Mapping[str, str] = field(default_factory=dict)
    template: str = outputs.DEFAULT_TEMPLATE
    remark: Remark | None = field(default=None, init=False)

    def __call__(self, task: Task) -> None:
        """Run ``task`` over all images; IncompleteError at the end if any failed, each of which was reported."""
        shard = inputs.shard(self.input)
        sources = inputs.expand(self.input, self.reporter)
        model, remark = self.network.choose(self.purpose)
        destinations = self._plan_outputs(sources, model)
        own = shard.of([BatchItem(*pair) for pair in zip(sources, destinations, strict=True)])
        items = [item for item in own if not self._is_done(item.destination)]
        if not items:
            why = "every output is there already" if own else f"shard {shard} of {len(sources)} images is empty"
            self.reporter.detail(f"Nothing to do: {why}.")
            return
        self.remark = remark
        if remark:
            self.reporter.warn(remark)
        if isinstance(task, ClassTask):
            task = task.for_images([item.source for item in items], self.reporter)
        with self._execution(model, task, items) as execution:
            failures = self._run_all(execution, items)
        if failures:
            raise IncompleteError(max(failures))

    @property
    def batch(self) -> BatchConfig:
        """What works through the images; the default for tasks that do not ask."""
        return self.run if isinstance(self.run, BatchConfig) else BatchConfig()

    def _plan_outputs(self, sources: list[ImageSource], model: str) -> Sequence[OutputPath | None]:
        if self.output is None:
            return [None] * len(sources)
        if self.output.output == outputs.STDOUT:
            self.reporter.require_stdout()
        sidecars = [*self.sidecars, *(self.monitor.suffixes if self.monitor else ())]
        if self.has_numbers and outputs.suffix_of(self.output) == ".npy":
            sidecars.append(RECIPE_SUFFIX)
        name = self.provenance.command.partition(" ")[0]  # 'fast-style' of 'fast-style apply'
        return outputs.plan(
            sources,
            self.output,
            name,
            model,
            sidecars,
            self.suffix,
            inputs.shard(self.input),
            beside=_BESIDE if self.monitor else 0,
            has_numbers=self.has_numbers,
            fields=self.fields,
            default=self.template,
        )

    def check_outputs(self) -> None:
        """Raise where the job could not write its results, before it or others begin."""
        sources = inputs.expand(self.input, SilentReporter())
        self._plan_outputs(sources, self.network.choose(self.purpose)[0])

    def _is_done(self, destination: OutputPath | None) -> bool:
        return bool(
            self.output
            and self.output.skip_existing
            and destination
            and destination.is_known
            and not destination.is_stdout
            and outputs.is_done(destination.path())
        )

    def worker(self, model: str, task: Task) -> ImageWorker:
        """The worker that runs ``task``, with the network loaded."""
        network = self.load(model)
        if (hasattr(task, "layer") or hasattr(task, "layers")) and not network.black_box and network.missing_layers:
            self.reporter.warn(network.missing_layers)
        return ImageWorker(self, network, task.for_network(network) if isinstance(task, ClassTask) else task)

    def load(self, model: str, source: NetworkSource | None = None) -> Network:
        """The network under study, or that of ``source``; reports it, and seeds everything random."""
        from cnnviz.network.checks import one_size_error, require_photos
        from cnnviz.pipeline.network_notes import report_network
        from cnnviz.runtime.seed import seed_everything

        source = source or self.network
        try:
            network = source.load(
                model,
                self.run.seed,
                workload=self.workload,
                progress=self.reporter.shows_progress,
                side=self.input.side,
            )
        except UsageError as error:  # a side of the result, not of what the network was exported for
            if self.several_sizes and error.remedy == "exported_size":
                raise one_size_error(model, error.values["size"], self.photos_only) from error
            raise
        if self.needs_gradients:
            network.require_gradients()
        if self.photos_only:
            require_photos(network, self.photos_only)
        if network.black_box is not None:
            self._use_black_box(network, network.black_box)
        report_network(network, self.reporter)
        seed_everything(self.run.seed)
        self.reporter.work_started()
        return network

    def _use_black_box(self, network: Network, module: BlackBox) -> None:
        """Set how many calls run at once; report the settings that have no effect on such a network."""
        if isinstance(self.run, EngineConfig) and self.run.jobs:
            module.allow(self.run.jobs)
        if self.networks == [self.network]:
            self.reporter.unused(*module.unused_settings, why=f"on {network.name}")

    @property
    def networks(self) -> list[NetworkSource]:
        """Where the networks come from."""
        return [self.network]

    @contextmanager
    def _execution(self, model: str, task: Task, items: Sequence[BatchItem]) -> Iterator[Execution]:
        """The executor asked for, ready to work."""
        if self.batch.engine == "ray":
            from cnnviz.pipeline.ray_workers import ray_execution

            self.reporter.work_started()
            with ray_execution(self, task, model, len(items)) as execution:
                yield execution
            return
        worker = self.worker(model, task)
        with worker.threads() as compute_threads:
            yield self._local_execution(worker, compute_threads, len(items))

    def _local_execution(self, worker: ImageWorker, compute_threads: int, count: int) -> Execution:
        from cnnviz.runtime.executors.serial import SerialExecutor
        from cnnviz.runtime.executors.threads import ThreadExecutor, thread_count

        def work(items: Sequence[BatchItem], compute: Compute) -> list[TaskOutcome]:
            return [self._save(*pair) for pair in zip(items, worker(items, compute), strict=True)]

        jobs, network = self.batch.jobs, worker.network
        slow = network.black_box is not None
        if (
            jobs == 1 or count == 1 or self.monitor is not None
        ):  # a monitored task has one image, one bar, one animation
            return Execution(SerialExecutor(work), network, worker.batch_size if slow else 1, has_quick_calls=not slow)
        worker.prepare()
        threads = thread_count(compute_threads) if slow or not jobs else jobs
        # To know takes a pass, in this thread; of few images none share one anyway.
        batch_size = worker.batch_size if slow or count >= 2 * _TASKS else 1
        executor = ThreadExecutor(work, threads, compute_threads)
        return Execution(executor, network, batch_size, has_quick_calls=not slow)

    def _run_all(self, execution: Execution, items: Sequence[BatchItem]) -> list[int]:
        """Exit codes of the images that failed; each failure is reported as it happens, and the rest goes on."""
        failures: list[int] = []
        parts = _TASKS if execution.has_quick_calls else _SLOW_TASKS
        size = max(1, min(execution.batch_size, len(items) // parts))
        tasks = [items[start : start + size] for start in range(0, len(items), size)]
        outcomes = execution.executor.run(tasks, ordered=not self.batch.unordered)
        with self.reporter.progress(len(items), "images") as advance, closing(outcomes):
            for result in outcomes:
                lost = [result.error] * len(result.task) if isinstance(result.error, ImageError) else None
                for item, value in zip(result.task, lost or result.get(), strict=True):
                    saved = self._save(item, value) if execution.is_remote else value
                    if isinstance(saved, EncodedResult):
                        self._report(item.source, saved, execution.network)
                    else:
                        full = result_files.is_disk_full(saved)
                        error = ImageError(str(saved), remedy="disk_full") if full else saved
                        self.reporter.failed(item.source.display, error)
                        failures.append(saved.exit_code)
                        if full:
                            return failures
                    advance(item.source.name)
        return failures

    def _save(self, item: BatchItem, value: TaskOutcome) -> TaskOutcome:
        """``value`` after it is written to its destination, or the error if it could not be."""
        if not isinstance(value, EncodedResult) or item.destination is None:
            return value
        try:
            value.written = self._write(value, item)
        except ImageError as error:
            return error
        value.content, value.sidecars = None, {}
        return value

    def run_monitored(self, work: Callable[[], Result], item: BatchItem, network: Network) -> Result:
        """The result of ``work``. If interrupted, the image so far is written in place of the final one."""
        destination = item.destination
        if self.monitor is None or destination is None:
            return work()
        path = None if destination.is_stdout or not destination.is_known else destination.path()
        recipe = self._recipe(Result(), item.source, network)
        try:
            with self.monitor.monitoring(path, recipe, self.reporter, force=bool(self.output and self.output.force)):
                result = work()
                result.sidecars = {**result.sidecars, **self.monitor.sidecars()}
                return result
        except KeyboardInterrupt:
            unfinished, written = self.monitor.partial_result(), ""
            if unfinished is not None:
                written = ", ".join(self._write(self.encode(unfinished, item, network), item)) or "the output"
            if text := self.monitor.summary(written):
                self.reporter.warn(Remark(f"Interrupted: {text}", remedy=text.remedy))
            raise

    def encode(self, result: Result, item: BatchItem, network: AnyNetwork) -> EncodedResult:
        """A result with its images as the bytes of the files they are to be."""
        recipe = self._recipe(result, item.source, network)
        return result_files.encode(result, item.destination, recipe, self.suffix, has_numbers=self.has_numbers)

    def _write(self, encoded: EncodedResult, item: BatchItem) -> list[str]:
        """The paths written, the image's first; none if it went to standard output or is there already."""
        assert self.output is not None
        return result_files.write(encoded, item, self.output, self.reporter)

    def _recipe(self, result: Result, source: ImageSource, network: AnyNetwork) -> dict[str, Any]:
        return {**recipe_of(self.provenance, network, [source.named], self.run.seed), **result.recipe}

    def _report(self, source: ImageSource, encoded: EncodedResult, network: AnyNetwork) -> None:
        forward_notes(encoded.notes, self.reporter)
        record = {
            "input": source.display,
            "output": encoded.written[0] if encoded.written else None,
            **({"companions": encoded.written[1:]} if encoded.written[1:] else {}),
            "model": network.name,
            "weights": network.weights.label,
            **_about_network(network),
            **({"note": self.remark} if self.remark else {}),
            **encoded.metadata,
            "seconds": round(encoded.seconds, 3),
            "seed": self.run.seed,
            "parameters": dict(self.provenance.parameters),
        }
        is_stdout_taken = self.output is not None and self.output.output == outputs.STDOUT
        paths = None if self.output is None else encoded.written
        self.reporter.result(None if is_stdout_taken else record, paths, encoded.text)


def _about_network(network: AnyNetwork) -> dict[str, Any]:
    """Further facts about the weights and the input, for records."""
    from cnnviz.network.assumptions import assumed_values

    facts = {
        "transform_input": network.weights.transform_input,
        "note": network.weights.remark,
        "assumed": assumed_values(network.spec) or None,
    }
    return {**{name: value for name, value in facts.items() if value is not None}, **network.weights.checkpoint_facts}
