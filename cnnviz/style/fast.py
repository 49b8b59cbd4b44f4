"""The network that paints a photo in one pass, in any of the styles it was trained on, or between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnnviz.errors import UsageError

_EPSILON = 1e-5
_GRAIN = (1, 4, 16)
"""Pixels between the values of each noise channel."""


@dataclass(frozen=True)
class FastStyleConfig:
    """What a network is built like.

    ``widths``: channels at full, half and quarter resolution; ``blocks``: residual blocks at the quarter; ``kernel``:
    side of the first and last kernels; ``noise``: whether noise is seen beside the photo.
    """

    widths: tuple[int, int, int] = (16, 32, 64)
    blocks: int = 5
    kernel: int = 9
    noise: bool = True

    def __post_init__(self) -> None:
        if len(self.widths) != 3 or min(self.widths) < 1 or self.blocks < 0:
            raise UsageError("A fast style network has three widths of at least 1, and no fewer than 0 blocks.")
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise UsageError(f"The outer kernels need an odd side, not {self.kernel}.")

    @property
    def reach(self) -> int:
        """Pixels to each side that one pixel of the result depends on, apart from the statistics."""
        outer, down, blocks, up = 2 * (self.kernel // 2), 1 + 2, 8 * self.blocks, 4 + 2
        return outer + down + blocks + up + 4  # 4: nearest-neighbour enlargement looks up to a quarter's cell away


class Statistics:
    """Means and inverse deviations of what each normalisation sees, (N, C) each.

    Filled by the first pass it is given to and used by the later ones: so tiles are normalised as the whole is.
    """

    def __init__(self) -> None:
        self._seen: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def get(self, layer: nn.Module) -> tuple[Tensor, Tensor] | None:
        return self._seen.get(layer)

    def put(self, layer: nn.Module, mean: Tensor, inverse: Tensor) -> None:
        self._seen[layer] = mean, inverse


class ConditionalInstanceNorm(nn.Module):
    """Instance normalisation with a scale and a shift for each style.

    Ulyanov, Vedaldi & Lempitsky, "Instance Normalization", 2016, arXiv:1607.08022; Dumoulin, Shlens & Kudlur, "A
    Learned Representation for Artistic Style", ICLR 2017, arXiv:1610.07629.
    """

    def __init__(self, channels: int, styles: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(styles, channels))
        self.shift = nn.Parameter(torch.zeros(styles, channels))

    def forward(self, x: Tensor, shares: Tensor, statistics: Statistics | None = None) -> Tensor:
        """Features (N, C, H, W) in the mixture of styles that ``shares`` (N, S) says."""
        scale, shift = (shares @ part for part in (self.scale, self.shift))
        known = statistics.get(self) if statistics else None
        if known is not None:
            mean, inverse = known
            normal, scale, shift = x, scale * inverse, shift - mean * inverse * scale
        else:
            count, channels, height, width = x.shape
            # Groups of one channel are instances; this kernel keeps channels_last, and tells what it found.
            normal, mean, inverse = torch.native_group_norm(
                x, None, None, count, channels, height * width, channels, _EPSILON
            )
            if statistics is not None:
                statistics.put(self, mean.detach().to(x.dtype), inverse.detach().to(x.dtype))
        scale, shift = scale[:, :, None, None], shift[:, :, None, None]
        if torch.is_grad_enabled():
            return normal * scale + shift
        return normal.mul_(scale).add_(shift)  # x is the convolution's, and no one else's


class Layer(nn.Module):
    """Reflected border, convolution, conditional instance normalisation; at twice the size where it ``enlarges``."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, styles: int, *, stride: int = 1, enlarges: bool = False
    ) -> None:
        super().__init__()
        self.border, self.enlarges = kernel // 2, enlarges
        # Without bias: the normalisation would take it out again.
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, bias=False)
        self.norm = ConditionalInstanceNorm(outputs, styles)

    def forward(self, x: Tensor, shares: Tensor, statistics: Statistics | None) -> Tensor:
        if self.enlarges:
            return self.norm(upsample_conv(x, self.conv.weight), shares, statistics)
        border = self.border
        return self.norm(self.conv(F.pad(x, (border, border, border, border), mode="reflect")), shares, statistics)


def upsample_conv(x: Tensor, weight: Tensor) -> Tensor:
    """Features (N, C, H, W) repeated to twice their size, their border reflected, convolved 3×3: (N, D, 2H, 2W).

    Of three neighbours in the doubled rows two are one row of the original, so each of the four places in a cell is a
    2×2 convolution of the original by sums of the kernel's rows and columns: 4 multiplications for 9, and the doubled
    features need not be held. Reflecting the doubled border is repeating the original's.
    """
    height, width = x.shape[2:]
    padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
    outputs = x.new_empty(len(x), len(weight), 2 * height, 2 * width).to(memory_format=torch.channels_last)
    for down, right in product((0, 1), (0, 1)):
        kernel = _halved(_halved(weight, 2, down), 3, right)
        seen = padded[:, :, down : down + height + 1, right : right + width + 1]
        outputs[:, :, down::2, right::2] = F.conv2d(seen, kernel)
    return outputs


def _halved(weight: Tensor, axis: int, place: int) -> Tensor:
    """The kernel's three rows (or columns) as the two that the first (0) or second (1) of a doubled pair sees."""
    first, second, third = weight.unbind(axis)
    pair = (first, second + third) if place == 0 else (first + second, third)
    return torch.stack(pair, axis)


class FastStyleNetwork(nn.Module):
    """A photo and shares of styles -> the painted photo, in one pass.

    Johnson, Alahi & Fei-Fei, "Perceptual Losses for Real-Time Style Transfer and Super-Resolution", ECCV 2016,
    arXiv:1603.08155, with Dumoulin's conditional instance normalisation. Opposed to Johnson et al.: narrower layers
    by default (0.43 million parameters for 1.7); borders are reflected at each convolution, so blocks need no
    cropping; what becomes larger is enlarged by repetition and then convolved, which leaves no checkerboard (Odena,
    Dumoulin & Olah, "Deconvolution and Checkerboard Artifacts", Distill 2016); a sigmoid ends it, as Dumoulin's; and
    noise of three grains is seen beside the photo (after Ulyanov et al., "Texture Networks", ICML 2016,
    arXiv:1603.03417): without it, nothing tells one place of a clear sky from the next, and no strokes come; and what
    was seen at full and half size is added again on the way up, so the photo's edges need not go through the narrow
    middle.

    Args:
        styles: their names, each once.
        config: widths and depth.
    """

    def __init__(self, styles: Sequence[str], config: FastStyleConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or FastStyleConfig()
        self.styles = check_names(styles)
        count, (full, half, quarter) = len(self.styles), config.widths
        seen = 3 + (len(_GRAIN) if config.noise else 0)
        self.first = Layer(seen, full, config.kernel, count)
        self.down = nn.ModuleList(
            [Layer(full, half, 3, count, stride=2), Layer(half, quarter, 3, count, stride=2)],
        )
        self.blocks = nn.ModuleList([Layer(quarter, quarter, 3, count) for _ in range(2 * config.blocks)])
        self.up = nn.ModuleList(
            [Layer(quarter, half, 3, count, enlarges=True), Layer(half, full, 3, count, enlarges=True)]
        )
        self.last = Layer(full, 3, config.kernel, count)

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def forward(
        self, pixels: Tensor, shares: Tensor, noise: Tensor | None = None, statistics: Statistics | None = None
    ) -> Tensor:
        """Pixels (N, 3, H, W), RGB in [0, 1], H and W multiples of 4 -> painted pixels of that shape, in (0, 1).

        ``shares`` (N, S) mix the styles; ``noise`` (N or 1, 3, H, W) is ``noise_map``'s, drawn if None.
        """
        x = (pixels - 0.5) * 4  # about one deviation of natural pictures
        if self.config.noise:
            field = noise_map(pixels.shape[2], pixels.shape[3]).to(pixels) if noise is None else noise.to(pixels)
            x = torch.cat([x, field.expand(len(x), -1, -1, -1)], dim=1)
        x = x.contiguous(memory_format=torch.channels_last)
        seen = []
        for layer in (self.first, *self.down):
            x = layer(x, shares, statistics).relu_()
            seen.append(x)
        seen.pop()
        for one, two in zip(self.blocks[::2], self.blocks[1::2], strict=True):
            x = _sum(two(one(x, shares, statistics).relu_(), shares, statistics), x)
        for layer in self.up:
            x = _sum(layer(x, shares, statistics).relu_(), seen.pop())
        return torch.sigmoid(self.last(x, shares, statistics).float())

    def shares(self, styles: str | Mapping[str, float]) -> Tensor:
        """(1, S), adding up to 1, of one style's name or the weights of several; UsageError for any unknown."""
        wanted = {styles: 1.0} if isinstance(styles, str) else dict(styles)
        for name in wanted:
            if name not in self.styles:
                raise UsageError(f"There is no style '{name}'; there are {', '.join(self.styles)}.")
        if not wanted or min(wanted.values()) < 0 or sum(wanted.values()) <= 0:
            raise UsageError("The weights of styles must not be negative, and one of them must be positive.")
        values = torch.tensor([[wanted.get(name, 0.0) for name in self.styles]], device=self.device)
        return values / values.sum()

    def style_parameters(self) -> list[nn.Parameter]:
        """The scales and shifts, which alone differ from style to style."""
        norms = [module for module in self.modules() if isinstance(module, ConditionalInstanceNorm)]
        return [part for norm in norms for part in (norm.scale, norm.shift)]

    def extended(self, styles: Sequence[str]) -> FastStyleNetwork:
        """A copy that knows ``styles`` too; each new one begins as the mean of the old."""
        wider = FastStyleNetwork([*self.styles, *styles], self.config).to(self.device)
        state = self.state_dict()
        for name, value in wider.state_dict().items():
            old = state[name]
            value[: len(old)] = old
            if value.shape != old.shape:
                value[len(old) :] = old.mean(0)
        return wider


def _sum(own: Tensor, other: Tensor) -> Tensor:
    return own + other if torch.is_grad_enabled() else own.add_(other)


def noise_map(height: int, width: int, seed: int = 0, *, generator: torch.Generator | None = None) -> Tensor:
    """Noise (1, 3, height, width) of deviation about 1, with values every 1, 4 and 16 pixels and smooth between.

    Nothing but the size and the seed (or the generator's state) decides it.
    """
    generator = generator or torch.Generator().manual_seed(seed)
    fields = []
    for grain in _GRAIN:
        rows, columns = -(-height // grain) + 2, -(-width // grain) + 2
        coarse = torch.randn(1, 1, rows, columns, generator=generator)
        if grain > 1:
            smooth = F.interpolate(coarse, scale_factor=grain, mode="bilinear", align_corners=False)
            coarse = smooth[:, :, grain : grain + height, grain : grain + width] * 1.5  # interpolation evens out
        fields.append(coarse[:, :, :height, :width])
    return torch.cat(fields, dim=1)


def check_names(styles: Sequence[str]) -> tuple[str, ...]:
    """Names as a tuple; UsageError unless there is one, each is once, and each can stand in ``a:0.7,b:0.3``."""
    if not styles:
        raise UsageError("A fast style network needs at least one style.")
    for name in styles:
        if not name or any(sign in name for sign in ",: /\\") or styles.count(name) > 1:
            raise UsageError(f"'{name}' cannot be a style's name: give each once, without spaces, commas and colons.")
    return tuple(styles)
