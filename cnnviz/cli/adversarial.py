"""Commands that fool the network: ``fool`` and ``universal``."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnnviz.cli import console
from cnnviz.cli.command import command
from cnnviz.cli.idle import idle
from cnnviz.cli.jobs import image_job
from cnnviz.cli.options import BatchOptions, InputOptions, NetworkOptions, OutputOptions, real
from cnnviz.errors import UsageError, shortened
from cnnviz.figures.captions import percent
from cnnviz.pipeline.outputs import PNG, suffix_of
from cnnviz.pipeline.result import LoadedImage, Result
from cnnviz.tasks.explanations import prediction_json

if TYPE_CHECKING:
    from PIL.Image import Image

    from cnnviz.adversarial.image_attack import Attack, AttackResult
    from cnnviz.adversarial.image_loading import ImagePipeline
    from cnnviz.network.network import Network


_SURE = 0.99
"""Without a target, so probable the new class is to be before the attack rests (within its bound)."""


class Method(str, Enum):
    """How the perturbation is found."""

    fgsm = "fgsm"
    iterative = "iterative"
    ascent = "ascent"
    deepfool = "deepfool"


class NormName(str, Enum):
    """What is kept small."""

    linf = "linf"
    l2 = "l2"


def register(app: typer.Typer) -> None:
    """Add this family's commands to the application."""

    @command(
        app,
        "fool",
        examples="cnnviz fool sample_images/coffee.png\n"
        "cnnviz fool sample_images/chelsea.png --target flamingo --raw -o flamingo.png\n"
        "cnnviz fool sample_images/rocket.jpg --min-epsilon --json",
    )
    def fool(
        network: NetworkOptions,
        input: InputOptions,
        output: OutputOptions,
        run: BatchOptions,
        method: Annotated[
            Method | None,
            typer.Option(
                "--method",
                help="Default: fgsm and, until the network is 99 % sure, iterative; iterative alone with a target, "
                "a norm of l2, or --jpeg.",
            ),
        ] = None,
        target: Annotated[
            str | None,
            typer.Option("--target", "-t", help="Class to be taken for: index, name, or part of one.", metavar="CLASS"),
        ] = None,
        label: Annotated[
            str | None,
            typer.Option("--label", help="True class, if what the network says is not it.", metavar="CLASS"),
        ] = None,
        epsilon: Annotated[
            str,
            typer.Option("--epsilon", "-e", help="Largest change: 8/255 and 8 are eight grey levels, as is 0.0314."),
        ] = "2/255",
        norm: Annotated[
            NormName, typer.Option("--norm", help="What epsilon bounds: the largest change, or L2.")
        ] = NormName.linf,
        steps: Annotated[int, typer.Option("--steps", min=1, help="Steps of the methods that take several.")] = 30,
        random_start: Annotated[
            bool, typer.Option("--random-start", help="Begin the iterative method at a random point (PGD).")
        ] = False,
        min_epsilon: Annotated[
            bool, typer.Option("--min-epsilon", help="Find the smallest epsilon that works, up to --epsilon (or 32).")
        ] = False,
        jpeg: Annotated[
            int | None,
            typer.Option(
                "--jpeg",
                min=1,
                max=100,
                help="Survive being saved as JPEG of this quality, which a .jpg is written with.",
            ),
        ] = None,
        small: Annotated[
            bool, typer.Option("--small", help="Change the picture at the network's size instead of its own.")
        ] = False,
        noise: Annotated[
            bool, typer.Option("--noise", help="Begin from noise of the picture's size instead of the picture.")
        ] = False,
        raw: Annotated[bool, typer.Option("--raw", help="Write the adversarial picture alone, not the panel.")] = False,
        strict: Annotated[
            bool, typer.Option("--strict", help="A network that is not fooled is a failure (exit 1).")
        ] = False,
    ) -> None:
        """Change a picture by less than one can see so that the network takes it for something else."""
        from cnnviz.imaging.encoding import is_lossless

        format = suffix_of(output) if raw else PNG  # on a panel nobody is fooled
        lossy = jpeg is not None or not is_lossless(format)
        chosen = method.value if method else _usual_method(target, norm.value, lossy)
        sureness = _SURE if method in (None, Method.iterative) else 0.0
        idle("steps", when=method is Method.fgsm, why="with --method fgsm, which takes one step")
        idle("random_start", when=method not in (None, Method.iterative), why="without --method iterative")
        idle("label", when=target is not None, why="with --target")
        largest = parse_epsilon(
            "32" if min_epsilon and epsilon == "2/255" and norm is NormName.linf else epsilon, norm.value
        )

        def explain(net: Network, picture: LoadedImage) -> Result:
            from cnnviz.adversarial.image_attack import Attack, fool, minimal_attack
            from cnnviz.adversarial.objective import answers
            from cnnviz.network.targets import find_class

            goal, own = (find_class(answers(net), name) if name is not None else None for name in (target, label))
            attack = Attack(chosen, largest, norm.value, goal, own, steps, random_start, run.seed, sureness)
            photo, pipeline = _start(picture, net, input, jpeg, format, small, noise, run.seed)
            found = (minimal_attack if min_epsilon else fool)(net, photo, attack, pipeline)
            _comment(picture, found, strict, pipeline)
            facts, shown = _facts(found, pipeline), found.adversarial if raw else _figure(net, found)
            recipe = {"target": {"index": goal, "label": answers(net)[goal]}} if goal is not None else {}
            return Result(facts, shown, target=found.after[1], recipe=recipe, quality=pipeline.quality)

        image_job("attribution", network, input, run, output)(explain)


def parse_epsilon(text: str, norm: str) -> float:
    """A size of change in units of pixel value: ``8/255``, ``0.0314``, or, for L-infinity, grey levels (``8``)."""
    over, slash, under = text.partition("/")
    whole, parts = real(over), real(under) if slash else 1.0
    if whole is None or not parts:
        raise UsageError(f"--epsilon takes a size such as 8/255, 0.03 or 8, not '{shortened(text)}'.")
    value = whole / parts
    if not 0 <= value < float("inf"):
        raise UsageError(f"--epsilon must be at least 0, and finite, not '{shortened(text)}'.")
    # From one on it can only be gray levels: the whole range of pixel values is 1.
    return value / 255 if norm == "linf" and value >= 1 and not slash else value


def _usual_method(target: str | None, norm: str, lossy: bool) -> str:
    """One step where one step suffices; a target never, measured, is reached in one, nor is a lossy file."""
    return "fgsm" if target is None and norm == "linf" and not lossy else "iterative"


def _start(
    picture: LoadedImage,
    net: Network,
    options: InputOptions,
    jpeg: int | None,
    format: str,
    small: bool,
    noise: bool,
    seed: int,
) -> tuple[Image, ImagePipeline]:
    """The photo to be changed, and how the network will read it."""
    from cnnviz.adversarial.image_attack import noise as random_noise
    from cnnviz.adversarial.image_loading import ImagePipeline
    from cnnviz.imaging.pixels import to_pil_image

    side = net.spec.size if net.spec.fixed else (options.size or net.spec.size)
    size = (side, side) if net.spec.fixed and not options.crop else side
    start = to_pil_image(picture.pixels) if small else picture.original
    if noise:
        start = random_noise(start.size, seed)
    # A picture of the network's size is seen as it is; cutting its middle out again would show something else.
    return start, ImagePipeline(size, net.spec.crop if options.crop and not small else False, jpeg, format)


def _comment(picture: LoadedImage, found: AttackResult, strict: bool, pipeline: ImagePipeline) -> None:
    """Say so when the network was not fooled; with ``--strict`` that is a failure of this picture."""
    from cnnviz.errors import ImageError

    if found.success:
        if not pipeline.is_lossless and found.attack.norm == "linf" and found.linf > found.attack.epsilon + 1e-6:
            console.warn(
                f"{picture.source.display}: the attack keeps to {_epsilon_text(found.attack)}; "
                f"saving as {pipeline.format} changes pixels by up to {found.linf * 255:.0f}/255."
            )
        return
    after = "" if pipeline.is_lossless else f" of the {pipeline.format} file"
    after = " after JPEG" if pipeline.jpeg is not None else after
    remedy = "try a larger --epsilon or more --steps" + ("" if pipeline.is_lossless else ", or write a .png")
    message = f"it still says {found.after[1]} {percent(found.after[2])}{after}; {remedy}"
    if strict:
        raise ImageError(f"The network was not fooled: {message}.")
    console.warn(f"{picture.source.display}: the network was not fooled: {message}.")


def _facts(found: AttackResult, pipeline: ImagePipeline) -> dict[str, Any]:
    from cnnviz.imaging.image_metrics import psnr, ssim

    attack = found.attack
    return {
        "success": found.success,
        "before": prediction_json(found.before),
        "after": prediction_json(found.after),
        "method": attack.method,
        "epsilon": attack.epsilon,
        "norm": attack.norm,
        "linf": round(found.linf, 6),
        "l2": round(found.l2, 4),
        "psnr": round(psnr(found.original, found.loaded), 2) if found.linf else None,
        "ssim": round(ssim(found.original, found.loaded), 5),
        "jpeg": pipeline.jpeg,
        "judged_as": pipeline.format,
        "tried": found.tried,
    }


def _figure(net: Network, found: AttackResult) -> Image:
    """Original, magnified perturbation, adversarial; each with what the network says."""
    from cnnviz.figures.fooling import fooling_panel
    from cnnviz.imaging.pixels import to_pixels

    before, after = (f"{label} {percent(probability)}" for _, label, probability in (found.before, found.after))
    verdict = "fooled" if found.success else "not fooled"
    return fooling_panel(
        found.original,
        to_pixels(found.adversarial) - to_pixels(found.original),
        found.adversarial,
        found.linf,
        before,
        after,
        f"{net.name} {verdict} by {found.attack.method}, ε = {_epsilon_text(found.attack)}",
    )


def _epsilon_text(attack: Attack) -> str:
    if attack.norm == "l2":
        return f"{attack.epsilon:g} in L2"
    return f"{attack.epsilon * 255:.3g}/255"
