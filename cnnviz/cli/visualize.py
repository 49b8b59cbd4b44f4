"""``cnnviz visualize``: pictures of what classes, channels and neurons respond to most."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnnviz.cli import console
from cnnviz.cli.command import command
from cnnviz.cli.features import ChannelsOption
from cnnviz.cli.hints import message_with_hint
from cnnviz.cli.idle import idle
from cnnviz.cli.jobs import network_job
from cnnviz.cli.options import (
    LARGEST_SIDE,
    LongOptions,
    NetworkOptions,
    OutputOptions,
    RunOptions,
    index,
    position,
)
from cnnviz.errors import UsageError, shortened
from cnnviz.figures.captions import percent, three_digits
from cnnviz.pipeline import inputs
from cnnviz.pipeline.config import InputConfig
from cnnviz.pipeline.image_loading import read_image
from cnnviz.pipeline.result import Result
from cnnviz.pipeline.step_monitor import StepMonitor
from cnnviz.runtime.paths import is_folder
from cnnviz.tasks.explanations import prediction_json
from cnnviz.tasks.layers import channel_numbers

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from cnnviz.network.network import Network
    from cnnviz.synthesis.objectives import Subject

_LARGEST_LATENT = 1 << 24  # numbers, of a generator's code
_AT_ONCE = 16  # pictures in one batch
_SHEET = 16  # pictures from which on they are small and quickly made
_SMALL, _MEDIUM = 96, 160  # pixels, of a channel's picture on a sheet and by itself
_QUICK = 96  # steps, of a sheet's pictures
_FACETS_APART = 0.5  # weight of the diversity term where facets are asked for and nothing else tells them apart


class Method(str, Enum):
    """Recipes of the literature."""

    lucid = "lucid"
    simonyan = "simonyan"
    yosinski = "yosinski"


@dataclass(frozen=True)
class Wish:
    """What is to be shown and how, as it was typed."""

    classes: tuple[str, ...]
    layer: str | None
    channels: str | None
    at: str | None
    method: str
    steps: int | None
    size: int | None
    facets: int
    photos: Path | None
    diversity: float | None
    generator: Path | None
    latent: str
    raw: bool
    seed: int

    @property
    def name(self) -> str:
        """What the output is named after."""
        if self.layer is None:
            return "+".join(self.classes)
        return f"{self.layer}-{self.channels}" if self.channels else self.layer


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @command(
        app,
        "visualize",
        examples="cnnviz visualize --class flamingo\n"
        "cnnviz visualize --class flamingo --class tarantula --class espresso -o three.png\n"
        "cnnviz visualize --layer fire5 --channels 0-15 -o fire5.png\n"
        "cnnviz visualize --class monarch --facets 4 --method yosinski --gif",
    )
    def visualize(
        network: NetworkOptions,
        output: OutputOptions,
        long: LongOptions,
        run: RunOptions,
        classes: Annotated[
            list[str] | None,
            typer.Option("--class", "-t", help="Class: index, name, or part of a name; several make a sheet."),
        ] = None,
        layer: Annotated[str | None, typer.Option("--layer", "-l", help="Layer to show channels of.")] = None,
        channels: ChannelsOption = None,
        at: Annotated[
            str | None,
            typer.Option("--neuron", help="One position of the channel's map, as 6,9 or centre.", metavar="Y,X|centre"),
        ] = None,
        method: Annotated[Method, typer.Option("--method", help="Recipe of the literature.")] = Method.lucid,
        steps: Annotated[int | None, typer.Option("--steps", min=1, help="Passes (default: 256; sheets 96).")] = None,
        size: Annotated[
            int | None,
            typer.Option(
                "--size", "-s", min=16, max=LARGEST_SIDE, help="Side in pixels (classes: the network's; channels: 160)."
            ),
        ] = None,
        facets: Annotated[
            int, typer.Option("--facets", min=1, max=1000, help="So many different pictures of one class.")
        ] = 1,
        photos: Annotated[
            Path | None,
            typer.Option("--from", help="Start facets from clusters of the photos in here.", metavar="FOLDER"),
        ] = None,
        diversity: Annotated[
            float | None, typer.Option("--diversity", min=0, help="How much facets are to differ (default: 0.5).")
        ] = None,
        generator: Annotated[
            Path | None,
            typer.Option("--generator", help="Paint with your TorchScript generator's latent code.", metavar="FILE"),
        ] = None,
        latent: Annotated[
            str, typer.Option("--latent", help="Shape of the generator's latent code.", metavar="N[,N…]")
        ] = "4096",
        raw: Annotated[bool, typer.Option("--raw", help="The picture alone, without a caption.")] = False,
    ) -> None:
        """Paint what a class, a channel or a neuron responds to most (Olah 2017; Simonyan 2014; Yosinski 2015)."""
        wish = Wish(
            tuple(classes or ()),
            *(layer, channels, at, method.value, steps, size, facets, photos, diversity, generator, latent, raw),
            run.seed,
        )
        _check(wish)
        idle("latent", when=generator is None, why="without --generator")
        idle("size", "photos", when=generator is not None, why="with --generator, whose pictures are its own")
        watch = StepMonitor(long)
        job = network_job("features", network, run, output, monitor=watch)
        job.of_network(lambda net: paint(net, wish, watch), wish.name)


def _check(wish: Wish) -> None:
    """Refuse what contradicts itself before anything is loaded."""
    if not wish.classes and wish.layer is None:
        raise UsageError("Name what to show: --class flamingo, or --layer fire5 --channels 17.")
    if wish.classes and wish.layer is not None:
        raise UsageError("Show classes or a layer's channels, not both at once.")
    if wish.layer is None and (wish.channels is not None or wish.at is not None):
        raise UsageError("--channels and --neuron tell what of a layer to show: name it with --layer.")
    if (
        wish.facets > 1
        and len(wish.classes) != 1
        and (wish.channels is None or len(channel_numbers([wish.channels])) != 1)
    ):
        raise UsageError("--facets shows several pictures of one thing: name one class, or one channel.")
    if wish.photos is not None and not (wish.facets > 1 and wish.classes):
        raise UsageError("--from gives the facets of a class their start: name one --class and --facets N.")
    if wish.photos is not None and not is_folder(wish.photos):
        raise UsageError(f"There is no folder '{wish.photos}'.")
    if wish.generator is not None and wish.method != "lucid":
        raise UsageError("A generator paints by a recipe of its own; leave --method out.")


def paint(network: Network, wish: Wish, watch: StepMonitor) -> Result:
    """The sheet, or the one picture."""
    import torch

    from cnnviz.runtime.memory import require_memory

    subjects = list(_batches(network, wish))
    count = sum(len(subject) for subject in subjects)
    idle("diversity", when=count == 1, why="on one picture; --facets asks for several")
    steps = wish.steps or (_QUICK if count > _SHEET else 256)
    size = wish.size or (network.spec.size if wish.classes else _SMALL if count > _SHEET else _MEDIUM)
    require_memory(network, (size * min(count, _AT_ONCE), size))
    parts = []
    for number, subject in enumerate(subjects):
        parts.append(_ascend(network, subject, wish, size, steps, watch, number, len(subjects)))
    pictures = torch.cat(parts)
    found = list(_judged(network, subjects, pictures))
    image = _figure(network, wish, pictures, [caption for caption, _ in found])
    facts: dict[str, Any] = {"method": wish.method if wish.generator is None else "generator", "steps": steps}
    facts["pictures"] = [fact for _, fact in found]
    return Result(facts, image, target=wish.name, is_measured=True)


def _ascend(
    network: Network, subject: Subject, wish: Wish, size: int, steps: int, watch: StepMonitor, number: int, batches: int
) -> Tensor:
    from cnnviz.synthesis.generator import load_generator
    from cnnviz.synthesis.optimization import offset_steps
    from cnnviz.synthesis.visualization import visualize_subject

    alike = wish.facets > 1 and wish.photos is None
    return visualize_subject(
        network,
        subject,
        method=wish.method,
        size=size,
        steps=steps,
        start=_starts(network, wish) if wish.photos else None,
        diversity=wish.diversity if wish.diversity is not None else (_FACETS_APART if alike else 0.0),
        generator=load_generator(wish.generator) if wish.generator else None,
        latent=_shape(wish.latent),
        seed=wish.seed + number,
        on_step=offset_steps(watch, number * steps, batches * steps),
    ).cpu()


def _batches(network: Network, wish: Wish) -> Iterator[Subject]:
    """What is shown, a batch at a time."""
    from cnnviz.synthesis.objectives import Channels, Classes, channel_count

    if wish.classes:
        indices = [network.find_class(name) for name in wish.classes] * wish.facets
        yield from (Classes(tuple(part)) for part in _chunks(indices))
        return
    assert wish.layer is not None
    channels = channel_numbers([wish.channels]) if wish.channels else range(channel_count(network, wish.layer))
    for part in _chunks(list(channels) * wish.facets):
        yield Channels(wish.layer, tuple(part), _position(wish.at))


def _chunks(items: Sequence[int]) -> Iterator[Sequence[int]]:
    return (items[first : first + _AT_ONCE] for first in range(0, len(items), _AT_ONCE))


def _position(text: str | None) -> tuple[int, int] | str | None:
    if text is None or text in {"centre", "center"}:
        return None if text is None else "centre"
    found = position(text)
    if found is None:
        raise UsageError(
            f"--neuron takes a row and a column of the layer's map, as in 6,9, or centre, not '{shortened(text)}'."
        )
    return found


def _shape(text: str) -> tuple[int, ...]:
    sides = [index(part) or 0 for part in text.split(",")]
    if min(sides) < 1 or math.prod(sides) > _LARGEST_LATENT:
        raise UsageError(f"--latent takes a shape, as in 4096 or 128,1,1, not '{shortened(text)}'.")
    return tuple(sides)


def _starts(network: Network, wish: Wish) -> Tensor:
    """Where the facets start: the mean photos of clusters."""
    import torch

    from cnnviz.errors import CnnvizError
    from cnnviz.features.embeddings import embed_images
    from cnnviz.imaging.pixels import to_pixels
    from cnnviz.synthesis.facet_init import facet_starts

    options = InputConfig(images=[str(wish.photos)], recursive=True)
    photos, scores, vectors = [], [], []
    index = network.find_class(wish.classes[0])
    for source in inputs.expand(options, console.reporter):
        try:
            picture = read_image(source, network, options)
        except CnnvizError as error:
            message = message_with_hint(error)
            console.warn(message if source.display in message else f"{source.display}: {message}")
            continue
        square = to_pixels(picture.photo, crop=network.spec.crop)
        with torch.no_grad():
            scores.append(network(square)[0, index].cpu())
        vectors.append(embed_images(network, square))
        photos.append(square)
    if len(photos) < wish.facets:
        raise UsageError(f"{wish.facets} facets need at least {wish.facets} photos; '{wish.photos}' has {len(photos)}.")
    return facet_starts(torch.cat(photos), torch.stack(scores), torch.cat(vectors), wish.facets, seed=wish.seed)


def _judged(network: Network, subjects: Sequence[Subject], pictures: Tensor) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each picture's caption and facts, by the network, of the eight-bit picture that is written."""
    import torch

    from cnnviz.imaging.pixels import to_pil_image, to_pixels
    from cnnviz.network.network_transforms import in_full_precision
    from cnnviz.synthesis.objectives import Channels, Classes, make_activation

    network = in_full_precision(network)
    place = 0
    for subject in subjects:
        part = torch.cat(
            [to_pixels(to_pil_image(one, clamp=True)) for one in pictures[place : place + len(subject)].split(1)]
        )
        place += len(part)
        if isinstance(subject, Classes):
            with torch.no_grad():
                chances = network.probabilities(network(part)).cpu()
            for row, index in zip(chances, subject.indices, strict=True):
                shown = (index, network.label(index), float(row[index]))
                yield f"{shown[1]} {percent(shown[2])}", prediction_json(shown)
            continue
        assert isinstance(subject, Channels)
        with torch.no_grad():
            values = make_activation(network, subject)(part).tolist()
        for channel, value in zip(subject.channels, values, strict=True):
            facts = {"layer": subject.layer, "channel": channel, "activation": round(value, 4)}
            yield f"{channel}: {three_digits(value)}", facts


def _figure(network: Network, wish: Wish, pixels: Tensor, captions: list[str]) -> Image:
    from cnnviz.figures.visualization import image_or_grid, visualization_sheet

    if wish.raw:
        return image_or_grid(pixels)
    if wish.layer is not None:
        captions = [f"channel {caption}" for caption in captions] if len(captions) == 1 else captions
        return visualization_sheet(pixels, captions, f"{network.name}: {network.layers.common_name(wish.layer)}")
    return visualization_sheet(pixels, captions, network.name if len(captions) == 1 else f"{network.name}: classes")
