"""``cnnviz universal``: learn one perturbation for many images, save it, and apply it to others."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnnviz.cli import console
from cnnviz.cli.adversarial import NormName, parse_epsilon
from cnnviz.cli.command import command
from cnnviz.cli.idle import idle
from cnnviz.cli.jobs import collection_job, image_job
from cnnviz.cli.options import BatchOptions, EngineName, InputOptions, NetworkOptions, OutputOptions
from cnnviz.errors import CnnvizError, UsageError
from cnnviz.figures.captions import percent
from cnnviz.pipeline.collection_job import ImageCollection
from cnnviz.pipeline.outputs import PNG, suffix_of
from cnnviz.pipeline.result import LoadedImage, Result
from cnnviz.tasks.explanations import prediction_json

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from cnnviz.adversarial.universal import PartExecutor
    from cnnviz.imaging.disk_images import DiskImages
    from cnnviz.network.network import Network

_EXAMPLES = 3
_FEW = 0.1
"""A share of pictures fooled below which it is told what to raise."""


@dataclass(frozen=True)
class UniversalConfig:
    """How to learn: size and norm of the perturbation, algorithm, when to stop, and from what."""

    epsilon: float
    norm: str
    method: str
    rate: float
    passes: int
    crops: int
    held_out: float
    resume: Path | None
    seed: int


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @command(
        app,
        "universal",
        examples="cnnviz universal photos/ -r -o uap.png\n"
        "cnnviz universal sample_images/ --crops 12 --passes 3 -o uap.png\n"
        "cnnviz universal --apply uap.safetensors sample_images/coffee.png",
    )
    def universal(
        network: NetworkOptions,
        input: InputOptions,
        output: OutputOptions,
        run: BatchOptions,
        apply: Annotated[
            Path | None,
            typer.Option(
                "--apply",
                help="Lay this perturbation over pictures, at the size the network sees, instead of learning.",
                metavar="FILE",
            ),
        ] = None,
        epsilon: Annotated[
            str, typer.Option("--epsilon", "-e", help="Largest change, as of 'fool': 10/255, 10 or 0.04.")
        ] = "10/255",
        norm: Annotated[NormName, typer.Option("--norm", help="What epsilon bounds.")] = NormName.linf,
        method: Annotated[
            str, typer.Option("--method", help="gradient (few pictures suffice) or deepfool (the 2017 paper).")
        ] = "gradient",
        rate: Annotated[
            float, typer.Option("--rate", min=0, max=1, help="Stop when this share of the pictures is fooled.")
        ] = 0.95,
        passes: Annotated[int, typer.Option("--passes", min=1, help="At most so many passes over the pictures.")] = 30,
        crops: Annotated[
            int, typer.Option("--crops", min=0, max=10_000, help="Random squares taken of each picture; 0: its middle.")
        ] = 0,
        held_out: Annotated[
            float, typer.Option("--held-out", min=0, max=0.9, help="Share kept back to measure on.")
        ] = 0.2,
        resume: Annotated[
            Path | None, typer.Option("--resume", help="Go on from this perturbation.", metavar="FILE")
        ] = None,
        raw: Annotated[bool, typer.Option("--raw", help="With --apply: write the picture alone, no panel.")] = False,
    ) -> None:
        """Find one perturbation that fools the network on most pictures (Moosavi-Dezfooli et al. 2017).

        Writes a figure, and beside it the perturbation itself as .safetensors.
        """
        idle("raw", when=apply is None, why="without --apply")
        idle("crop", when=apply is None, why="without --apply: squares are learned from in any case")
        if apply is not None:
            learning = ("epsilon", "norm", "method", "rate", "passes", "crops", "held_out", "resume")
            idle(*learning, why="with --apply, which learns nothing")
            image_job("attribution", network, input, run, output)(_Applied(apply, raw, suffix_of(output)))
            return
        if run.engine is EngineName.ray and method == "deepfool":
            raise UsageError(
                "Each step of --method deepfool needs the one before: it runs here; leave out --engine ray."
            )
        config = UniversalConfig(
            parse_epsilon(epsilon, norm.value), norm.value, method, rate, passes, crops, held_out, resume, run.seed
        )
        from cnnviz.adversarial.perturbation_file import SUFFIX

        job = collection_job("attribution", network, input, run, output, sidecars=[SUFFIX])
        job(lambda net, album: _train(net, album, config))


def _train(net: Network, album: ImageCollection, config: UniversalConfig) -> Result:
    import torch

    from cnnviz.adversarial.perturbation_file import SUFFIX, encode_perturbation, load_perturbation
    from cnnviz.adversarial.universal import fooled_by, universal_perturbation

    pictures = _crops(net, album, config)
    kept_back = int(len(pictures) * config.held_out)
    order = torch.randperm(len(pictures), generator=torch.Generator().manual_seed(config.seed))
    learn, judge = pictures.subset(order[kept_back:]), pictures.subset(order[:kept_back])
    with console.progress(config.passes, "passes") as advance, _executor(net, album) as executor:
        found = universal_perturbation(
            net,
            learn,
            config.epsilon,
            method=config.method,
            norm=config.norm,
            rate=config.rate,
            passes=config.passes,
            start=load_perturbation(config.resume) if config.resume else None,
            seed=config.seed,
            on_step=lambda step: advance(f"{step.terms['fooled']:.0%} fooled"),
            executor=executor,
        ).cpu()
    fooled = fooled_by(net, learn, found)
    unseen = fooled_by(net, judge, found) if kept_back else None
    rates = {
        "fooling_rate": round(float(fooled.float().mean()), 4),
        "held_out_fooling_rate": round(float(unseen.float().mean()), 4) if unseen is not None else None,
    }
    if rates["fooling_rate"] < _FEW:  # type: ignore[operator]
        console.warn(_advice(found, int(fooled.sum()), len(learn), config))
    facts = {**rates, "pictures": len(learn), "held_out": kept_back, "linf": round(float(found.abs().max()), 6)}
    examples = _examples([(judge, unseen)] * (unseen is not None) + [(learn, fooled)])
    image = _figure(net, examples, found, rates)
    return Result(facts, image, sidecars={SUFFIX: encode_perturbation(found, net, facts)}, recipe={"fooling": rates})


def _examples(groups: Sequence[tuple[DiskImages, Any]]) -> list[Tensor]:
    """Pictures that are fooled, those kept back first; where there are none, some that are not."""
    wanted = [group.subset(fooled.nonzero()[:, 0]) for group, fooled in groups]
    if not any(len(group) for group in wanted):
        wanted = [groups[0][0]]
    found = [group[n : n + 1] for group in wanted for n in range(min(len(group), _EXAMPLES))]
    return found[:_EXAMPLES]


def _advice(found: Tensor, fooled: int, count: int, config: UniversalConfig) -> str:
    """Why a perturbation fools hardly any picture, and which option to raise."""
    from cnnviz.adversarial import norms

    said = f"The perturbation fools the network on {fooled or 'none'} of the {count} pictures it was learned from"
    size = float(norms.size(found, config.norm))
    of, grown = (_size_text(value, config.norm) for value in (config.epsilon, size))
    if config.epsilon == 0:
        return f"{said}: an --epsilon of 0 allows no change; raise it, to 10/255 for one."
    if size < 0.9 * config.epsilon:
        return (
            f"{said}: it has grown to {grown} of the {of} allowed when the passes were over; "
            f"raise --passes ({config.passes} now), or give more pictures or --crops."
        )
    return f"{said}, although it is as large as allowed ({of}): raise --epsilon, then --passes ({config.passes} now)."


def _size_text(size: float, norm: str) -> str:
    return f"{size * 255:.2g}/255" if norm == "linf" else f"{size:.2g} in L2"


def _executor(net: Network, album: ImageCollection) -> AbstractContextManager[PartExecutor | None]:
    """Where batches are computed: by workers, or None for here."""
    assert album.job is not None
    if album.job.run.engine != "ray":  # type: ignore[attr-defined]
        return nullcontext()
    from cnnviz.adversarial.universal import MOST_PARTS
    from cnnviz.pipeline.ray_collection import remote_parts

    return remote_parts(album.job, net, MOST_PARTS)


def _crops(net: Network, album: ImageCollection, config: UniversalConfig) -> DiskImages:
    """The squares (N, 3, S, S) to learn from: the middle of each picture, or random ones, some of them mirrored."""
    from cnnviz.imaging.disk_images import DiskImages
    from cnnviz.imaging.image_io import read_pil_image

    chance, options = random.Random(config.seed), album.config
    side = net.spec.size if net.spec.fixed else options.side or net.spec.size
    squares = DiskImages(side, side)
    for source in album.sources:
        try:
            photo = read_pil_image(source.content(), background=options.background, max_pixels=options.max_pixels)
        except CnnvizError as error:
            album.fail(source, error)
            continue
        for square in _crops_of(photo, net, side, config.crops, chance):
            squares.append(square)
    if not len(squares):
        raise UsageError("None of the pictures could be read; there is nothing to learn from.")
    return squares


def _crops_of(photo: Image, net: Network, side: int, crops: int, chance: random.Random) -> Iterator[Tensor]:
    """The squares (1, 3, S, S) of one photo, ``side`` pixels wide."""
    from cnnviz.imaging.pixels import to_pixels

    if crops == 0:
        yield to_pixels(photo, side, crop=net.spec.crop)
    for _ in range(crops):
        edge = max(1, int(min(photo.size) * chance.uniform(0.5, 1)))
        left, top = chance.randint(0, photo.width - edge), chance.randint(0, photo.height - edge)
        square = to_pixels(photo.crop((left, top, left + edge, top + edge)), (side, side))
        yield square.flip(3) if chance.random() < 0.5 else square


def _figure(net: Network, pictures: Sequence[Tensor], found: Tensor, rates: dict[str, float | None]) -> Image:
    """The perturbation magnified, and what it does to a few images."""
    from cnnviz.adversarial.objective import verdicts
    from cnnviz.figures.fooling import universal_panel

    examples = [(picture + found).clamp(0, 1) for picture in pictures]
    captions = [
        " → ".join(verdicts(net, pixels)[0][1] for pixels in pair) for pair in zip(pictures, examples, strict=True)
    ]
    held = rates["held_out_fooling_rate"]
    seen = f"{rates['fooling_rate']:.0%} of the pictures" + (f", {held:.0%} of unseen ones" if held is not None else "")
    return universal_panel(found, examples, captions, f"{net.name} fooled on {seen}")


class _Applied:
    """Lays one perturbation over picture after picture."""

    def __init__(self, path: Path, raw: bool, suffix: str) -> None:
        from cnnviz.adversarial.perturbation_file import load_perturbation

        self.perturbation = load_perturbation(path)
        self.raw = raw
        self.format = suffix if raw else PNG  # on a panel nobody is fooled

    def __call__(self, net: Network, picture: LoadedImage) -> Result:
        from cnnviz.adversarial.image_loading import ImagePipeline
        from cnnviz.adversarial.objective import verdicts
        from cnnviz.adversarial.universal import apply_perturbation
        from cnnviz.imaging.pixels import to_pil_image, to_pixels

        changed = to_pil_image(apply_perturbation(self.perturbation, picture.pixels))
        height, width = picture.pixels.shape[2:]
        written = to_pixels(ImagePipeline((height, width), format=self.format).roundtrip(changed))
        before, after = (verdicts(net, pixels)[0] for pixels in (picture.pixels, written))
        change = written - picture.pixels
        facts = {
            "success": before[0] != after[0],
            "before": prediction_json(before),
            "after": prediction_json(after),
            "linf": round(float(change.abs().max()), 6),
            "judged_as": self.format,
        }
        image = changed if self.raw else self._panel(picture, changed, before, after)
        return Result(facts, image, target=after[1])

    def _panel(self, picture: LoadedImage, changed: Any, before: Any, after: Any) -> Any:
        from cnnviz.figures.fooling import perturbed_panel
        from cnnviz.imaging.pixels import to_pil_image

        captions = [f"{before[1]} {percent(before[2])}", f"{after[1]} {percent(after[2])}"]
        return perturbed_panel(to_pil_image(picture.pixels), changed, *captions)
