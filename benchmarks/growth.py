"""How cost grows: with the picture's size, the number of pictures, of patches, of styles, and of layers.

Usage: python -m benchmarks.growth

The embedded SqueezeNet; captum beside us where it has the technique. *Times the first* is ours over ours in the first
row of its kind. captum's occlusion costs the same for each position, which is measured on 49 of them at its best batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch

import cnnviz
from benchmarks.photos import Plain, photo
from benchmarks.row import Row
from benchmarks.running import Setting, parser, setting, show
from cnnviz.network.network import Network

SIZES = (224, 448, 896)
PICTURES = (1, 4, 16)
STRIDES = (32, 16, 8, 4)
STYLES = ("starry.jpg", "mosaic.jpg", "ink.jpg", "brick.png")
CAPTUM_BATCH = {"cpu": 2, "cuda": 64}
STYLE_SIZES, FAST_SIZES = (128, 256, 384), (256, 512, 1024)
LAYERS = ("features.3", "features.6", "features.9", "features.12")
STEPS, TARGET, PATCH = 10, 285, 32

Case = tuple[str, Callable[[], object], Callable[[], object] | None, float]
"""Words, ours, captum's, and how many times what captum's run does is meant."""


def by_size(network: Network, plain: Plain, setting: Setting) -> Iterator[Case]:
    """Saliency of one picture, by its side."""
    from captum.attr import Saliency

    for size in SIZES:
        pixels = photo(size, setting.device)
        yield (
            f"saliency, {size}×{size}",
            lambda pixels=pixels: cnnviz.saliency(network, pixels, TARGET),  # type: ignore[misc]
            lambda pixels=pixels: Saliency(plain).attribute(pixels.clone().requires_grad_(), TARGET),  # type: ignore[misc]
            1,
        )


def by_count(network: Network, plain: Plain, setting: Setting) -> Iterator[Case]:
    """Saliency of several pictures at once."""
    from captum.attr import Saliency

    for count in PICTURES:
        pixels = photo(224, setting.device).repeat(count, 1, 1, 1)
        yield (
            f"saliency, {count} image{'s' if count > 1 else ''} at once",
            lambda pixels=pixels: cnnviz.saliency(network, pixels, TARGET),  # type: ignore[misc]
            lambda pixels=pixels: Saliency(plain).attribute(pixels.clone().requires_grad_(), TARGET),  # type: ignore[misc]
            1,
        )


def by_patches(network: Network, plain: Plain, setting: Setting) -> Iterator[Case]:
    """Occlusion of one picture, by the number of patches."""
    from captum.attr import Occlusion

    pixels, occlusion, window = photo(224, setting.device), Occlusion(plain), (3, PATCH, PATCH)
    batch = CAPTUM_BATCH[setting.device.type]

    def captum() -> object:
        with torch.inference_mode():
            return occlusion.attribute(pixels, window, window, target=TARGET, perturbations_per_eval=batch)

    for stride in STRIDES:
        count = ((224 - PATCH) // stride + 1) ** 2
        yield (
            f"occlusion, {count} patches (stride {stride})",
            lambda stride=stride: cnnviz.occlusion(network, pixels, TARGET, patch=PATCH, stride=stride),  # type: ignore[misc]
            captum,
            (count + 1) / 50,
        )


def by_styles(network: Network, plain: Plain, setting: Setting) -> Iterator[Case]:
    """A few steps of a style transfer, by the number of styles mixed."""
    content = photo(256, setting.device)
    styles = [photo(256, setting.device, name) for name in STYLES]
    for count in range(1, len(styles) + 1):
        yield (
            f"style, {count} style{'s' if count > 1 else ''}, {STEPS} steps",
            lambda count=count: cnnviz.transfer_style(network, content, styles[:count], steps=STEPS, scales=1),  # type: ignore[misc]
            None,
            1,
        )


def by_style_size(network: Network, plain: Plain, setting: Setting) -> Iterator[Case]:
    """A few steps of a style transfer, by the painting's side."""
    style = photo(256, setting.device, STYLES[0])
    for size in STYLE_SIZES:
        content = photo(size, setting.device)
        yield (
            f"style, {size}×{size}, {STEPS} steps",
            lambda content=content: cnnviz.transfer_style(network, content, [style], steps=STEPS, scales=1),  # type: ignore[misc]
            None,
            1,
        )


def by_fast_size(network: Network, plain: Plain, setting: Setting) -> Iterator[Case]:
    """A pass of fast style transfer, by the photo's side."""
    model = cnnviz.load_fast_style().to(setting.device)
    for size in FAST_SIZES:
        pixels = photo(size, setting.device)
        yield (
            f"fast-style, {size}×{size}",
            lambda pixels=pixels: cnnviz.apply_fast_style(model, pixels, model.styles[0]),  # type: ignore[misc]
            None,
            1,
        )


def by_depth(network: Network, plain: Plain, setting: Setting) -> Iterator[Case]:
    """A few steps of feature visualization, by how deep the layer is."""
    for layer in LAYERS:
        yield (
            f"visualize, {layer}, {STEPS} steps",
            lambda layer=layer: cnnviz.visualize(network, layer=layer, channel=0, size=128, steps=STEPS),  # type: ignore[misc]
            None,
            1,
        )


def rows(setting: Setting) -> list[Row]:
    """A row for each case, the smallest of its kind first."""
    network = cnnviz.load_network("squeezenet1_1", device=str(setting.device))
    plain, found = Plain(network), []
    for kind in KINDS:
        found += _compared(list(kind(network, plain, setting))[: 2 if setting.quick else None], setting)
    return found


KINDS = (by_size, by_count, by_patches, by_styles, by_style_size, by_fast_size, by_depth)


def _compared(cases: Sequence[Case], setting: Setting) -> list[Row]:
    rows, first = [], None
    for words, ours, theirs, times in cases:
        spent = setting.compare({"ours": ours, **({"peer": theirs} if theirs else {})}, 3)
        first = first or spent["ours"]
        peer = 1e3 * times * spent["peer"] if theirs else None
        more = {"times the first": spent["ours"] / first}
        rows.append(Row(words, 1e3 * spent["ours"], "ms", peer, "captum" if theirs else None, more=more))
    return rows


if __name__ == "__main__":
    chosen = setting(parser(__doc__).parse_args())
    show(rows(chosen), chosen)
