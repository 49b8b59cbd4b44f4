"""Slow style transfer against the loop of Gatys et al. and of neural-style-pt: quality for as many passes, and speed.

neural-style-pt (extra ``bench``: neural-style 0.5.7) is a program that reads its arguments when it is imported, so
its loop is written out here from its published description (VGG-19, relu1_1 … relu5_1 for the style, relu4_2 for the
content, weights 100 and 5, TV 1e-3, max pooling, ``torch.optim.LBFGS``, losses computed by modules inside the
network, BGR in 0..255), over torchvision's own VGG-19. Weights are random: speed does not depend on them.

``python -m benchmarks.style quality`` and ``python -m benchmarks.style speed [--size 256,384]``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

import cnnviz
from benchmarks.memory_use import peak_beyond, told_by
from benchmarks.row import Row
from benchmarks.running import Setting, operations, parser, setting, show
from benchmarks.timing import interleaved
from cnnviz.imaging.pixels import to_pil_image, to_pixels
from cnnviz.network.default_layers import style_layers
from cnnviz.network.network_transforms import with_average_pooling
from cnnviz.style.settings import StyleSettings
from cnnviz.style.transfer import StyleTransfer
from cnnviz.synthesis.feature_statistics import gram_distance, moments, relative_error
from cnnviz.synthesis.multiscale import resize
from cnnviz.synthesis.optimization import ImageOptimizer

SAMPLES = Path(__file__).parents[1] / "sample_images"
PASSES = 240
_SHIFT = StyleSettings().shift
_HISTORY = 5
"""Steps; each keeps two pictures, which is little beside the network's activations."""

SAME_LOSSES = StyleSettings(
    content_weight=0.35,
    content_target="photo",
    style_loss="gram",
    palette_weight=0.0,
    lightness_weight=0.0,
    tv_weight=0.0,
    fade=0.0,
    adam_fraction=0.0,
    fixed_fraction=0.6,
    steps=PASSES,
)
"""The judge's own loss but for a little more content, which keeps that below 1.1; most of the passes from the place
where the judge looks. As options in docs/style.md."""


class Judge:
    """The loss both are measured by, on the picture as written: 0.3 · relative content + Σ relative Gram losses."""

    def __init__(self, network: cnnviz.Network, content: Tensor, style: Tensor) -> None:
        self.network = with_average_pooling(network)
        layers = style_layers(network)
        self.style_layers, self.content_layer = list(layers.style), layers.content[0]
        area = (content.shape[2] * content.shape[3]) ** 0.5
        factor = area / (style.shape[2] * style.shape[3]) ** 0.5
        style = resize(style, (round(style.shape[2] * factor), round(style.shape[3] * factor)))
        with torch.no_grad():
            seen = self.network.features(style, self.style_layers)
            self.targets = {layer: moments(features) for layer, features in seen.items()}
            self.wanted = self.network.features(content, [self.content_layer])[self.content_layer]

    def parts(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Relative content loss, and the sum of the layers' relative Gram losses."""
        seen = self.network.features(pixels, [*self.style_layers, self.content_layer])
        style = sum(
            (gram_distance(moments(seen[k]), v) for k, v in self.targets.items()), torch.zeros((), device=pixels.device)
        )
        return relative_error(seen[self.content_layer], self.wanted), style

    def loss(self, pixels: Tensor) -> Tensor:
        content, style = self.parts(pixels)
        return 0.3 * content + style

    def written(self, pixels: Tensor) -> tuple[float, float, float]:
        """Of a picture after rounding to eight bits: the loss, the content's part, and the style layers' mean."""
        with torch.no_grad():
            content, style = self.parts(to_pixels(to_pil_image(pixels)).to(self.network.device))
        return float(0.3 * content + style), float(content), float(style) / len(self.targets)


def plain_gatys(judge: Judge, content: Tensor) -> Tensor:
    """torch's L-BFGS on the judge's own loss, from the content, in one go."""
    pixels = content.clone().requires_grad_()
    optimizer = torch.optim.LBFGS([pixels], max_iter=PASSES, max_eval=PASSES, tolerance_grad=0, tolerance_change=0)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = 1e3 * judge.loss(pixels)
        loss.backward()
        return loss

    optimizer.step(closure)
    return pixels.detach().clamp(0, 1)


def quality_rows(setting: Setting) -> list[Row]:
    """The loss for each photo and painting: with the same losses as the plain loop, and of the defaults."""
    network = cnnviz.load_network("squeezenet1_1", device=str(setting.device))
    found = []
    for photo in ("chelsea.png", "rocket.jpg")[: 1 if setting.quick else None]:
        content = cnnviz.read_image(SAMPLES / photo, size=(256, 384)).to(setting.device)
        for painting in ("starry.jpg", "mosaic.jpg", "ink.jpg")[: 1 if setting.quick else None]:
            style = cnnviz.read_image(SAMPLES / painting).to(setting.device)
            judge = Judge(network, content, style)
            ours, content_loss, style_loss = judge.written(
                StyleTransfer(network, content, [style], settings=SAME_LOSSES).run()
            )
            defaults = judge.written(StyleTransfer(network, content, [style]).run())
            plain = judge.written(plain_gatys(judge, content))
            more = {"our content": content_loss, "our style": style_loss}
            more |= {"peer's content": plain[1], "peer's style": plain[2], "defaults": defaults[0]}
            more |= {"defaults' content": defaults[1], "defaults' style": defaults[2]}
            case = f"{Path(photo).stem}, {Path(painting).stem}"
            found.append(Row(case, ours, "loss", plain[0], "plain Gatys loop", more=more))
    return found


class _ContentLoss(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.target: Tensor | None = None
        self.loss: Tensor | float = 0.0

    def forward(self, x: Tensor) -> Tensor:
        if self.target is None:
            self.target = x.detach()
        self.loss = 5 * F.mse_loss(x, self.target)
        return x


class _StyleLoss(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.target: Tensor | None = None
        self.loss: Tensor | float = 0.0

    def forward(self, x: Tensor) -> Tensor:
        flat = x.view(x.shape[1], -1)
        gram = (flat @ flat.T) / x.nelement()
        if self.target is None:
            self.target = gram.detach()
        self.loss = 100 * F.mse_loss(gram, self.target)
        return x


def neural_style_loop(features: nn.Sequential, content: Tensor, style: Tensor) -> Iterator[float]:
    """neural-style-pt's iteration; yields the loss after each function evaluation."""
    parts: list[nn.Module] = []
    contents, styles, block, index = [], [], 1, 0
    for module in features:
        parts.append(nn.ReLU(inplace=True) if isinstance(module, nn.ReLU) else module)
        if isinstance(module, nn.MaxPool2d):
            block, index = block + 1, 0
        if isinstance(module, nn.ReLU):
            index += 1
            if index == 1:
                styles.append(_StyleLoss())
                parts.append(styles[-1])
            if (block, index) == (4, 2):
                contents.append(_ContentLoss())
                parts.append(contents[-1])
            if (block, index) == (5, 1):
                break
    network = nn.Sequential(*parts)
    network.requires_grad_(False)
    mean = content.new_tensor([103.939, 116.779, 123.68]).view(1, 3, 1, 1)
    content, style = ((x.flip(1) * 255 - mean) for x in (content, style))
    with torch.no_grad():
        network(style)
        for module in contents:
            module.target = None
        kept = [module.target for module in styles]
        network(content)
        for module, target in zip(styles, kept, strict=True):
            module.target = target
    picture = nn.Parameter(content.clone())
    optimizer = torch.optim.LBFGS([picture], max_iter=1, history_size=100, tolerance_grad=-1, tolerance_change=-1)

    def closure() -> Tensor:
        optimizer.zero_grad()
        network(picture)
        tv = (picture[..., 1:] - picture[..., :-1]).abs().sum() + (picture[:, :, 1:] - picture[:, :, :-1]).abs().sum()
        loss = sum((m.loss for m in [*contents, *styles]), 1e-3 * tv)
        loss.backward()
        return loss

    while True:
        yield float(optimizer.step(closure).detach())


def our_ascent(network: cnnviz.Network, content: Tensor, style: Tensor, steps: int, shift: int) -> ImageOptimizer:
    """Our run over one scale, of L-BFGS alone, with the peer's layers, losses and pooling."""
    settings = StyleSettings(
        steps=steps, scales=1, adam_fraction=0.0, style_loss="gram", palette_weight=0.0, pooling="max", shift=shift
    )
    transfer = StyleTransfer(network, content, [style], settings=settings)
    return transfer.prepare_stage(transfer.multiscale.stages[0], content)


def our_loop(network: cnnviz.Network, content: Tensor, style: Tensor, steps: int, shift: int) -> Iterator[float]:
    """Our run over one scale, step by step."""
    ascent = our_ascent(network, content, style, steps, shift)
    for count in range(1, steps + 1):
        ascent.steps = count
        terms: dict[str, float] = {}
        ascent.run(lambda step, terms=terms: terms.update(step.terms))
        yield terms["loss"]


_LOOPS = {
    "fp32, in place": ("fp32", True, 0),
    "fp32": ("fp32", True, _SHIFT),
    "fp32, in place, direct convolutions": ("fp32", False, 0),
    "bf16, in place": ("bf16", False, 0),
    "bf16": ("bf16", False, _SHIFT),
}
"""Ours: precision, whether with fast convolutions, and the largest move."""


def load_vgg19(setting: Setting, precision: str, fast_conv: bool) -> cnnviz.Network:
    """VGG-19 with random weights, the same each time."""
    return cnnviz.load_network(
        "vgg19", weights="random", device=str(setting.device), precision=precision, fast_conv=fast_conv
    )


def torchvision_features(network: cnnviz.Network) -> nn.Sequential:
    """The convolutional part of torchvision's VGG-19 as its users have it, with the network's weights."""
    own = torchvision.models.vgg19()
    own.load_state_dict(network.module.state_dict())
    features: nn.Sequential = own.features.eval().to(network.device)
    return features


def chelsea_and_starry(setting: Setting, size: int) -> tuple[Tensor, Tensor]:
    """A photo and a painting (1, 3, size, size)."""
    content, style = (cnnviz.read_image(SAMPLES / name, size=(size, size)) for name in ("chelsea.png", "starry.jpg"))
    return content.to(setting.device), style.to(setting.device)


def speed_rows(setting: Setting, sizes: Sequence[int] = (256, 384)) -> list[Row]:
    """A step at each size, in several ways, against the peer's loop on torchvision's module; and the losses."""
    plain = load_vgg19(setting, "fp32", False)
    networks = {("fp32", False): plain, ("fp32", True): load_vgg19(setting, "fp32", True)}
    networks["bf16", False] = load_vgg19(setting, "bf16", False)
    features = torchvision_features(plain)
    found = []
    for size in sizes[: 1 if setting.quick else None]:
        images = chelsea_and_starry(setting, size)
        loops = {"peer": neural_style_loop(features, *images)}
        for name, (precision, fast, shift) in _LOOPS.items():
            loops[name] = our_loop(networks[precision, fast], *images, 1000, shift)
        steps = {name: setting.clocked(partial(next, loop)) for name, loop in loops.items()}
        spent = interleaved(steps, setting.turns(7), warmups=2)
        count = operations(partial(next, loops["fp32, in place, direct convolutions"]))
        found += [_speed_row(setting, size, name, spent, count) for name in _LOOPS]
    return [*found, *loss_rows(setting)]


def _speed_row(setting: Setting, size: int, name: str, spent: Mapping[str, float], count: float) -> Row:
    given = ("peak", f"--device={setting.device}", f"--size={size}")
    memory, peer_memory = (
        told_by("benchmarks.style", *given, f"--loop={which}") if setting.memory else None for which in (name, "peer")
    )
    rival, case = "neural-style-pt's loop", f"VGG-19, {size} px, {name}"
    return Row(case, spent[name], "s", spent["peer"], rival, count, _LOOPS[name][0], memory, peer_memory)


def loss_rows(setting: Setting, steps: int = 100) -> list[Row]:
    """The losses that runs in bf16 and with fast convolutions end with, beside that of a direct one in fp32.

    All are judged by the last, where they lie.
    """
    steps, size = (10, 64) if setting.quick else (steps, 256)
    images = chelsea_and_starry(setting, size)
    judge = our_ascent(load_vgg19(setting, "fp32", False), *images, steps, shift=0).objective

    def end(precision: str, fast: bool) -> float:
        result = our_ascent(load_vgg19(setting, precision, fast), *images, steps, _SHIFT).run()
        with torch.no_grad():
            return float(judge(result)[0])

    direct, case = end("fp32", False), f"VGG-19, {size} px, the loss after {steps} steps"
    ends = {"in bf16": ("bf16", False), "with fast convolutions": ("fp32", True)}
    return [
        Row(f"{case} {name}", end(precision, fast), "loss", direct, "fp32", precision=precision)
        for name, (precision, fast) in ends.items()
    ]


def peak(setting: Setting, size: int, which: str) -> float:
    """MiB that a loop takes beyond the loaded network; what a first run at 32 px loads is not counted.

    The transformed weights of fast convolutions are, but for those of the first layers.
    """
    precision, fast, shift = _LOOPS.get(which, ("fp32", False, 0))
    network = load_vgg19(setting, precision, fast)
    features = torchvision_features(network) if which == "peer" else None

    def run(side: int) -> None:
        images = chelsea_and_starry(setting, side)
        loop = neural_style_loop(features, *images) if features is not None else our_loop(network, *images, 1000, shift)
        for _ in range(_HISTORY):
            next(loop)

    run(32)
    return peak_beyond(partial(run, size), setting.device)


def main() -> None:
    options = parser(__doc__)
    options.add_argument("what", choices=("quality", "speed", "peak"))
    options.add_argument("--size", default="256,384", help="sides, comma-separated")
    options.add_argument("--loop", default="bf16", help="of which 'peak' tells the memory, as its last word")
    given = options.parse_args()
    chosen = setting(given)
    if given.what == "quality":
        show(quality_rows(chosen), chosen)
    elif given.what == "peak":
        print(peak(chosen, int(given.size.split(",")[0]), given.loop))
    else:
        show(speed_rows(chosen, [int(size) for size in given.size.split(",")]), chosen)


if __name__ == "__main__":
    main()
