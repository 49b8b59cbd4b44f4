"""What is done to a picture between being named and being written: read, explained, drawn, encoded.

The same code runs in the threads of this process and in the workers of a Ray cluster, so that both give the same
bytes; ``Item`` goes in and ``Made`` comes out, and both can travel.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from cnnviz.cli.inputs import Source
from cnnviz.cli.outputs import Destination
from cnnviz.errors import ImageError, MemoryShortError

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from cnnviz.cli.job import ImageJob, Picture, Result
    from cnnviz.imaging.image_io import ByteChunks
    from cnnviz.network.network import Network
    from cnnviz.network.spec import WeightsInfo
    from cnnviz.runtime.executors.task_result import Compute

Found = TypeVar("Found")


class Named(Protocol):
    """What results and recipes tell of a network."""

    @property
    def name(self) -> str: ...

    @property
    def weights(self) -> WeightsInfo: ...

    @property
    def precision(self) -> str: ...


@dataclass(frozen=True)
class Item:
    """One picture to do, and where its result goes (None: nowhere)."""

    source: Source
    destination: Destination | None


@dataclass
class Made:
    """What was made of a picture, ready to be written and told: a ``Result`` whose pictures are bytes of files."""

    facts: dict[str, Any]
    lines: Sequence[str]
    target: str
    content: bytes | ByteChunks | None = None
    companions: Mapping[str, bytes] = field(default_factory=dict)
    seconds: float = 0.0
    written: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


Failure = ImageError | MemoryShortError
"""What concerns one picture only: the others go on."""

Done = tuple[Item, Made | Failure]
"""An item, and what was made of it or why nothing was."""


@dataclass(frozen=True)
class Technique(Generic[Found]):
    """An explanation in two halves: what asks the network, and what is drawn of the answer.

    ``find`` takes pictures of one size, (N, 3, H, W), and answers for each; several threads may call it at once.
    ``draw`` may run anywhere, while the network is at the next pictures. ``is_light`` ones take a pass or two through
    the network: on the CPU each pass has one processor to itself, on whatever machine, since the last bits of a result
    depend on how many share the work. Many pictures come in batches, small ones on a CPU; the last bits of a result
    may then follow the batch.
    """

    find: Callable[[Network, Tensor], Sequence[Found]]
    draw: Callable[[Network, Picture, Found], Result]
    is_light: bool = True

    def __call__(self, network: Network, picture: Picture) -> Result:
        return self.draw(network, picture, self.find(network, picture.pixels)[0])


@dataclass
class Workbench:
    """Does items for one job with one network."""

    job: ImageJob
    network: Network
    explain: Callable[[Network, Picture], Result] | Technique[Any]

    @property
    def is_light(self) -> bool:
        """Whether several pictures may be at the network at once."""
        return isinstance(self.explain, Technique) and self.explain.is_light

    @contextmanager
    def threads(self) -> Iterator[int]:
        """Share torch's threads out for as long as the block lasts; gives how many pictures may compute at once."""
        from cnnviz.runtime.executors.threads import torch_threads

        if not self.is_light or self.network.device.type != "cpu":
            yield 1
            return
        with torch_threads(1) as all_threads:
            yield all_threads

    def prepare(self) -> None:
        """Make ready for several threads, before there are any.

        Tracing the network changes how modules are called in all threads while it lasts.
        """
        getattr(self.network, "graph", None)

    @cached_property
    def pictures_at_once(self) -> int:
        """How many pictures of the network's own size are shown to it together: a few on a CPU, many on a GPU.

        The free memory has no say: the last bits of a result follow the batch, and are to be the same tomorrow.
        """
        from cnnviz.runtime.memory import max_batch_size, small_batch_size

        if not self.is_light:
            return 1
        side = self.network.spec.size
        if self.network.device.type == "cpu":
            return small_batch_size(self.network, side)
        return max_batch_size((side, side), side, self.network.device)

    def _share_a_pass(self, size: Sequence[int]) -> int:
        """The same for pictures of ``size`` (height, width): fewer from twice the network's own area on.

        On a CPU small ones stay alone: PyTorch computes a few small maps by another library than one, and where a
        sum is all but zero the other rounding switches a ReLU.
        """
        area, most = self.network.spec.size**2, self.pictures_at_once
        if self.network.device.type == "cpu" and math.prod(size) < area:
            return 1
        return max(1, min(most, most * 2 * area // math.prod(size)))

    def __call__(self, items: Sequence[Item], compute: Compute) -> list[Done]:
        """Do ``items``, those of one size together where the technique can."""
        started = time.perf_counter()
        done: dict[int, Done] = {}
        pictures: dict[int, Picture] = {}
        for place, item in enumerate(items):
            try:
                pictures[place] = self.job.read(item.source, self.network)
            except (ImageError, MemoryShortError) as error:
                done[place] = item, error
        for group in _of_one_size(pictures):
            results = self._results([pictures.pop(place) for place in group], [items[p] for p in group], compute)
            for place, result in zip(group, results, strict=True):
                done[place] = items[place], self._encoded(items[place], result)
        each = (time.perf_counter() - started) / len(items)
        made = [done[place] for place in range(len(items))]
        for _, value in made:
            if isinstance(value, Made):
                value.seconds = each
        return made

    def _results(
        self, pictures: Sequence[Picture], items: Sequence[Item], compute: Compute
    ) -> Iterator[Result | Failure]:
        if not isinstance(self.explain, Technique):
            for picture, item in zip(pictures, items, strict=True):
                yield caught(lambda p=picture, i=item: compute(lambda: self._explained(p, i)))  # type: ignore[misc]
            return
        answers = caught(lambda: compute(lambda: self._found(pictures)))
        for place, picture in enumerate(pictures):
            if isinstance(answers, Failure):
                yield answers
            else:
                yield caught(lambda p=picture, a=answers[place]: self.explain.draw(self.network, p, a))  # type: ignore

    def _explained(self, picture: Picture, item: Item) -> Result:
        from cnnviz.runtime.memory import translate_memory_errors

        with translate_memory_errors(min(picture.pixels.shape[2:])):
            return self.job.watched(lambda: self.explain(self.network, picture), item, self.network)

    def _found(self, pictures: Sequence[Picture]) -> Sequence[Any]:
        """The network's answer for each picture; fewer at a time where all together do not fit in memory."""
        import torch

        from cnnviz.runtime.memory import in_batches_that_fit, translate_memory_errors

        assert isinstance(self.explain, Technique)
        find, pixels = self.explain.find, torch.cat([picture.pixels for picture in pictures])
        with translate_memory_errors(min(pixels.shape[2:])):
            most = self._share_a_pass(pixels.shape[2:]) if len(pixels) > 1 else 1
            parts = in_batches_that_fit(lambda part: find(self.network, pixels[part]), len(pixels), most)
            return [answer for part in parts for answer in part]

    def _encoded(self, item: Item, result: Result | Failure) -> Made | Failure:
        if isinstance(result, Failure):
            return result
        return caught(lambda: self.job.encoded(result, item, self.network))


def caught(action: Callable[[], Any]) -> Any:
    """What ``action`` gives, or the error that concerns one picture only."""
    try:
        return action()
    except (ImageError, MemoryShortError) as error:
        return error


def _of_one_size(pictures: Mapping[int, Picture]) -> list[list[int]]:
    groups: dict[tuple[int, ...], list[int]] = {}
    for place, picture in pictures.items():
        groups.setdefault(tuple(picture.pixels.shape), []).append(place)
    return list(groups.values())


def image_file(
    image: Image | list[Image] | bytes, suffix: str, recipe: dict[str, Any], quality: int | None = None
) -> bytes:
    """A result's picture, film or page as the bytes of a file with this suffix, a still with this quality."""
    from cnnviz.imaging.encoding import QUALITY, encode
    from cnnviz.imaging.video_io import MP4, encode_video

    if isinstance(image, bytes):
        return image
    if suffix.lower() == MP4:
        return encode_video(image if isinstance(image, list) else [image], recipe)
    return encode(image, suffix.rpartition(".")[2], recipe, quality or QUALITY)
