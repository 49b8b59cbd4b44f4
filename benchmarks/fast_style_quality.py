"""How near one pass of a fast style network comes to ``style``'s optimisation, on photos it was not trained on.

Usage: python -m benchmarks.fast_style_quality [--model FILE] [--side N] [--steps N]

For each photo that the built-in styles were not trained on (china.jpg and flower.jpg of scikit-learn, chelsea.png,
coffee.png and astronaut.png) and each style: the training's loss, all terms, of one pass and of ``transfer_style``
after 100 steps with the same losses; and how many times lower than the untouched photo's the style loss is. All are
measured alike, by ``cnnviz.style.perceptual_loss``.
"""

from __future__ import annotations

import math
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

import cnnviz
from benchmarks.row import Row
from benchmarks.running import Setting, parser, setting, show
from cnnviz.style.model_file import BUILT_IN_STYLES, load_fast_style, read_metadata
from cnnviz.style.perceptual_loss import PerceptualLoss
from cnnviz.style.settings import TrainingSettings

SAMPLES = Path(__file__).parents[1] / "sample_images"


def held_out() -> list[Path]:
    """The photos that no training saw."""
    scikit = Path(find_spec("sklearn").origin).parent / "datasets" / "images"
    carried = [scikit / name for name in ("china.jpg", "flower.jpg")]
    return [*carried, *(SAMPLES / name for name in ("chelsea.png", "coffee.png", "astronaut.png"))]


def optimised(network: cnnviz.Network, photo: Tensor, style: Tensor, settings: TrainingSettings, steps: int) -> Tensor:
    """What ``style`` makes in ``steps`` with the losses of the training."""
    return cnnviz.transfer_style(
        network,
        photo,
        style,
        steps=steps,
        content_weight=settings.content_weight,
        style_weight=settings.style_weight,
        palette_weight=settings.palette_weight,
        tv_weight=settings.tv_weight,
        content_target=settings.content_target,
        lightness_weight=settings.lightness_weight,
        style_scale=settings.style_size / math.sqrt(photo.shape[2] * photo.shape[3]),
    )


def rows(setting: Setting, model: Path = BUILT_IN_STYLES, side: int = 256, steps: int = 100) -> list[Row]:
    """A row for each photo and style; ours is one pass, the peer our own optimisation."""
    network = cnnviz.load_network("squeezenet1_1", device=str(setting.device))
    fast = load_fast_style(model).to(setting.device)
    made = read_metadata(model)["training"].get("settings", {})
    settings = TrainingSettings(**{**made, "widths": tuple(made.get("widths", (16, 32, 64)))})
    steps = 10 if setting.quick else steps
    found = []
    for path in held_out()[: 1 if setting.quick else None]:
        photo = cnnviz.read_image(path, side).to(setting.device)
        for style in fast.styles:
            picture = cnnviz.read_image(SAMPLES / f"{style}.jpg").to(setting.device)
            loss = PerceptualLoss(network, [picture], settings)
            made_by = {
                "photo": photo,
                "pass": cnnviz.apply_fast_style(fast, photo, style),
                "optimised": optimised(network, photo, picture, settings, steps),
            }
            parts = {who: _losses(loss, painted, photo) for who, painted in made_by.items()}
            total = {who: value for who, (value, _) in parts.items()}
            gain = {"style loss, photo / pass": parts["photo"][1] / parts["pass"][1]}
            case = f"{path.stem}, {style}"
            found.append(Row(case, total["pass"], "loss", total["optimised"], f"`style`, {steps} steps", more=gain))
    return found


def _losses(loss: PerceptualLoss, painted: Tensor, photo: Tensor) -> tuple[float, float]:
    """The whole loss, and the style's."""
    with torch.no_grad():
        whole, terms = loss(painted, photo, torch.tensor([0], device=photo.device))
    return float(whole), float(terms["style"])


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--model", type=Path, default=BUILT_IN_STYLES)
    options.add_argument("--side", type=int, default=256)
    options.add_argument("--steps", type=int, default=100)
    given = options.parse_args()
    chosen = setting(given)
    show(rows(chosen, given.model, given.side, given.steps), chosen)


if __name__ == "__main__":
    main()
