"""How near one pass of a fast style network comes to ``style``'s optimisation, on photos it was not trained on.

Usage: python -m benchmarks.fast_style_quality [--model FILE] [--side N] [--steps N]

For each held-out photo (chelsea.png, coffee.png) and style: content and style loss, relative as everywhere in cnnviz
and weighed as the model's training weighed them, of the untouched photo, of one pass, and of ``transfer_style`` after
100 steps with the same losses. All are measured alike, by ``cnnviz.style.perception``.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import torch
from torch import Tensor

import cnnviz
from cnnviz.style.perception import PerceptualLoss
from cnnviz.style.stylefile import BUNDLED_FILE, load_fast_style, read_metadata
from cnnviz.style.training import TrainingSettings

SAMPLES = Path(__file__).parents[1] / "sample_images"
HELD_OUT = ("chelsea.png", "coffee.png")


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
        style_scale=settings.style_size / math.sqrt(photo.shape[2] * photo.shape[3]),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=BUNDLED_FILE)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--steps", type=int, default=100)
    options = parser.parse_args()
    torch.set_num_threads(1)
    network, fast = cnnviz.load_network("squeezenet1_1"), load_fast_style(options.model)
    made = read_metadata(options.model)["training"].get("settings", {})
    settings = TrainingSettings(**{**made, "widths": tuple(made.get("widths", (16, 32, 64)))})
    print(
        "photo, style: losses of the photo, one pass, optimised | one pass / optimised | style loss: photo / one pass"
    )
    for name in HELD_OUT:
        photo = cnnviz.read_image(SAMPLES / name, options.side)
        for style in fast.styles:
            picture = cnnviz.read_image(SAMPLES / f"{style}.jpg")
            loss = PerceptualLoss(network, [picture], settings)
            made_by = {
                "photo": photo,
                "pass": cnnviz.apply_fast_style(fast, photo, style),
                "optimised": optimised(network, photo, picture, settings, options.steps),
            }
            parts = {who: _parts(loss, painted, photo) for who, painted in made_by.items()}
            total = {who: settings.content_weight * c + settings.style_weight * s for who, (c, s) in parts.items()}
            told = ", ".join(f"{total[who]:.2f} (style {parts[who][1]:.2f})" for who in made_by)
            nearness, gain = total["pass"] / total["optimised"], parts["photo"][1] / parts["pass"][1]
            print(f"{name}, {style}: {told} | {nearness:.2f} | {gain:.1f}")


def _parts(loss: PerceptualLoss, painted: Tensor, photo: Tensor) -> tuple[float, float]:
    with torch.no_grad():
        _, terms = loss(painted, photo, torch.tensor([0]))
    return float(terms["content"]), float(terms["style"])


if __name__ == "__main__":
    main()
