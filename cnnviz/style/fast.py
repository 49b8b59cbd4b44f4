"""The fast style network: one forward pass renders a photo in any of its styles, or in a blend of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnnviz.errors import UsageError
from cnnviz.style.catalogue import unknown_style
from cnnviz.style.row_bands import BandedMap, BandStatistics, convolved_in_bands, suits_bands
from cnnviz.style.settings import FastStyleConfig

Features = Tensor | BandedMap

_EPSILON = 1e-5
_NOISE_SCALES = (1, 4, 16)
"""Pixels between the values of each noise map."""
_FEW_CHANNELS = 8
"""Channels below which a layer's output stands channel by channel, and is computed for 2×2 positions at once: a CPU
works on 8 or 16 values at a time, and channels_last would leave most of them empty."""


class NormStatistics:
    """Means and inverse deviations of the input of each normalization layer, (N, C) each.

    Recorded by the first pass it is given to and used by later ones, so that tiles are normalized as the whole is.
    """

    def __init__(self) -> None:
        self._recorded: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def get(self, layer: nn.Module) -> tuple[Tensor, Tensor] | None:
        """The layer's mean and inverse deviation; None before the first pass."""
        return self._recorded.get(layer)

    def put(self, layer: nn.Module, mean: Tensor, inverse: Tensor) -> None:
        """Record the layer's mean and inverse deviation."""
        self._recorded[layer] = mean, inverse


class ConditionalInstanceNorm(nn.Module):
    """Instance normalization with a scale and a shift for each style.

    Ulyanov, Vedaldi & Lempitsky, "Instance Normalization", 2016, arXiv:1607.08022; Dumoulin, Shlens & Kudlur, "A
    Learned Representation for Artistic Style", ICLR 2017, arXiv:1610.07629.
    """

    def __init__(self, channels: int, styles: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(styles, channels))
        self.shift = nn.Parameter(torch.zeros(styles, channels))

    def forward(self, x: Tensor, weights: Tensor, statistics: NormStatistics | None = None) -> Tensor:
        """Features (N, C, H, W), normalized, with the scales and shifts of the styles averaged by weights (N, S)."""
        known = statistics.get(self) if statistics else None
        if known is not None:
            normal, (scale, shift) = x, self.affine(weights, *known)
        else:
            scale, shift = (weights @ part for part in (self.scale, self.shift))
            is_one = len(x) == 1 and not torch.is_grad_enabled()
            affine = (scale[0].to(x), shift[0].to(x)) if is_one else (None, None)
            normal, mean, inverse = _normalized(x, *affine)
            if statistics is not None:
                statistics.put(self, mean.detach().to(x.dtype), inverse.detach().to(x.dtype))
            if is_one:
                return normal
        scale, shift = scale[:, :, None, None], shift[:, :, None, None]
        if torch.is_grad_enabled():
            return normal * scale + shift
        return normal.mul_(scale).add_(shift)  # in place: nothing else holds x

    def affine(self, weights: Tensor, mean: Tensor, inverse: Tensor) -> tuple[Tensor, Tensor]:
        """By what (N, C) features are multiplied, and what is added then, given their mean and inverse deviation."""
        scale, shift = (weights @ part for part in (self.scale, self.shift))
        return scale * inverse, shift - mean * inverse * scale

    def in_bands(
        self, weights: Tensor, statistics: NormStatistics | None, convolve: Callable[[BandStatistics | None], Tensor]
    ) -> BandedMap:
        """What ``convolve`` computes, taking statistics of it if it gets some, normalized."""
        found = statistics.get(self) if statistics else None
        if found is not None:
            raw = convolve(None)
        else:
            own = BandStatistics()
            raw = convolve(own)
            found = own.result(_EPSILON)
            if statistics is not None:
                statistics.put(self, *found)
        scale, shift = (part[:, :, None, None] for part in self.affine(weights, *found))
        return BandedMap(raw, scale, shift)


def _normalized(x: Tensor, scale: Tensor | None, shift: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Features (N, C, H, W), each channel of each normalized, times ``scale`` (C,), plus ``shift``; with the mean and
    the inverse deviation of each (N, C)."""
    count, channels, height, width = x.shape
    # Groups of one channel are instances; this kernel keeps channels_last, and returns mean and deviation.
    return torch.native_group_norm(x, scale, shift, count, channels, height * width, channels, _EPSILON)


class ConvLayer(nn.Module):
    """Reflection padding, convolution, conditional instance normalization; at twice the size with ``upsample``."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, styles: int, *, stride: int = 1, upsample: bool = False
    ) -> None:
        super().__init__()
        self.border, self.upsample = kernel // 2, upsample
        # Without bias: the normalization would remove it.
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, bias=False)
        self.norm = ConditionalInstanceNorm(outputs, styles)

    def forward(self, x: Features, weights: Tensor, statistics: NormStatistics | None) -> Features:
        """Features (N, D, H', W') of features (N, C, H, W), in the styles weighted by ``weights`` (N, S)."""
        if isinstance(x, BandedMap):
            convolve = _upsampled_in_bands if self.upsample else _convolved_in_bands
            return self.norm.in_bands(weights, statistics, partial(convolve, x, self.conv))
        if self.upsample:
            return self.norm(upsample_conv(x, self.conv.weight), weights, statistics)
        padded = _reflected(x, self.border)
        found = block_conv(padded, self.conv.weight) if _takes_blocks(self.conv, x.shape) else self.conv(padded)
        return self.norm(found, weights, statistics)


class PlainConvLayer(nn.Module):
    """Reflection padding and a convolution with a bias: the same in every style."""

    def __init__(self, inputs: int, outputs: int, kernel: int, styles: int, *, stride: int = 1) -> None:
        super().__init__()
        self.border = kernel // 2
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride)

    def forward(self, x: Features, weights: Tensor, statistics: NormStatistics | None) -> Features:
        """Features (N, D, H', W') of features (N, C, H, W); the styles' weights and statistics are not looked at."""
        if isinstance(x, BandedMap):
            return BandedMap(_convolved_in_bands(x, self.conv, None))
        output: Tensor = self.conv(_reflected(x, self.border))
        return output


def _reflected(x: Tensor, border: int) -> Tensor:
    return F.pad(x, (border, border, border, border), mode="reflect")


def _takes_blocks(conv: nn.Conv2d, shape: torch.Size) -> bool:
    """Whether ``block_conv`` computes what ``conv`` does of features (N, C, H, W), and faster."""
    is_even = shape[2] % 2 == shape[3] % 2 == 0
    return is_even and conv.bias is None and conv.out_channels < _FEW_CHANNELS and conv.stride == (1, 1)


def upsample_conv(x: Tensor, weight: Tensor) -> Tensor:
    """Features (N, C, H, W) upsampled by nearest neighbor, padded by reflection, convolved 3×3: (N, D, 2H, 2W).

    Of three neighboring upsampled rows two are copies of one row, so each of the four output phases is a 2×2
    convolution of the original by sums of the kernel's rows and columns: 4 multiplications for 9, and the upsampled
    features need not be stored. Reflecting the upsampled border is the same as replicating the original's.
    """
    height, width = x.shape[2:]
    layout = torch.contiguous_format if len(weight) < _FEW_CHANNELS else torch.channels_last
    shape = len(x), len(weight), 2 * height, 2 * width
    outputs = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=layout)
    _write_phases(F.pad(x, (1, 1, 1, 1), mode="replicate"), outputs, weight)
    return outputs


def _write_phases(padded: Tensor, outputs: Tensor, weight: Tensor) -> None:
    """Write the four phases of an upsampled convolution of ``padded`` features into ``outputs``."""
    height, width = (side - 2 for side in padded.shape[2:])
    for down, right in product((0, 1), (0, 1)):
        kernel = _phase_kernel(_phase_kernel(weight, 2, down), 3, right)
        window = padded[:, :, down : down + height + 1, right : right + width + 1]
        outputs[:, :, down::2, right::2] = F.conv2d(window, kernel)


def _upsampled_in_bands(x: BandedMap, conv: nn.Conv2d, statistics: BandStatistics | None) -> Tensor:
    """What ``upsample_conv`` computes."""
    height, width = x.raw.shape[2:]
    return convolved_in_bands(
        x,
        (conv.out_channels, 2 * height, 2 * width),
        lambda top, bottom: (top // 2 - 1, bottom // 2 + 1, 1, "replicate"),
        partial(_write_phases, weight=conv.weight),
        statistics,
    )


def _convolved_in_bands(x: BandedMap, conv: nn.Conv2d, statistics: BandStatistics | None) -> Tensor:
    """What ``conv`` computes of reflected features."""
    (height, width), stride, border = x.raw.shape[2:], conv.stride[0], conv.kernel_size[0] // 2
    run = partial(block_conv, weight=conv.weight) if _takes_blocks(conv, x.raw.shape) else conv

    def write(window: Tensor, band: Tensor) -> None:
        band.copy_(run(window))

    return convolved_in_bands(
        x,
        (conv.out_channels, -(-height // stride), -(-width // stride)),
        lambda top, bottom: (top * stride - border, (bottom - 1) * stride + border + 1, border, "reflect"),
        write,
        statistics,
    )


def _phase_kernel(weight: Tensor, axis: int, phase: int) -> Tensor:
    """The kernel's three rows (or columns) as the two that the first (0) or second (1) of an upsampled pair sees."""
    first, second, third = weight.unbind(axis)
    pair = (first, second + third) if phase == 0 else (first + second, third)
    return torch.stack(pair, axis)


def block_conv(x: Tensor, weight: Tensor) -> Tensor:
    """Features (N, C, H + k - 1, W + k - 1), H and W even, convolved with few kernels (D, C, k, k): (N, D, H, W).

    The four outputs of a block of 2×2 are channels of a convolution of stride 2, whose kernels are four shifted copies
    of each kernel, with zeros around. So D = 3 fills 12 lanes of a processor instead of 3.
    """
    shifted = [F.pad(weight, (right, 1 - right, down, 1 - down)) for down, right in product((0, 1), (0, 1))]
    blocks = F.conv2d(x, torch.stack(shifted, 1).flatten(0, 1), stride=2).unflatten(1, (len(weight), 2, 2))
    return blocks.permute(0, 1, 4, 2, 5, 3).flatten(4, 5).flatten(2, 3)


class FastStyleNetwork(nn.Module):
    """Renders a photo in a blend of its styles, in one forward pass.

    Johnson, Alahi & Fei-Fei, "Perceptual Losses for Real-Time Style Transfer and Super-Resolution", ECCV 2016,
    arXiv:1603.08155, with the conditional instance normalization of Dumoulin et al. Unlike Johnson et al.: narrower
    layers by default (0.43 million parameters instead of 1.7); reflection padding at each convolution, so that blocks
    need no cropping; upsampling by nearest neighbor and then a convolution, which leaves no checkerboard (Odena,
    Dumoulin & Olah, "Deconvolution and Checkerboard Artifacts", Distill 2016); a final sigmoid, as in Dumoulin et al.;
    noise maps of three scales concatenated to the photo (after Ulyanov et al., "Texture Networks", ICML 2016,
    arXiv:1603.03417), without which all positions of a clear sky look alike and no strokes appear; and skip
    connections at full and half resolution, so that the photo's edges need not pass the bottleneck. ``config`` leaves
    out noise and skips, as in the networks of Dumoulin et al. and of Ghiasi et al. that come with cnnviz.

    Args:
        styles: their names, each once.
        config: widths and depth; None takes the defaults of ``FastStyleConfig``.

    Raises:
        UsageError: no style, or a name that is repeated or has spaces, commas, colons or slashes.

    Example:
        >>> model = cnnviz.load_fast_style()
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> model(pixels, model.style_weights({"starry": 0.7, "ink": 0.3})).shape
        torch.Size([1, 3, 64, 96])
    """

    def __init__(self, styles: Sequence[str], config: FastStyleConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or FastStyleConfig()
        self.styles = check_names(styles)
        count, (full, half, quarter) = len(self.styles), config.widths
        inputs = 3 + (len(_NOISE_SCALES) if config.noise else 0)
        layer = PlainConvLayer if config.plain_down else ConvLayer
        self.first = layer(inputs, full, config.kernel, count)
        self.down = nn.ModuleList([layer(full, half, 3, count, stride=2), layer(half, quarter, 3, count, stride=2)])
        self.blocks = nn.ModuleList([ConvLayer(quarter, quarter, 3, count) for _ in range(2 * config.blocks)])
        up_half, up_full = config.up_widths or (half, full)
        self.up = nn.ModuleList(
            [ConvLayer(quarter, up_half, 3, count, upsample=True), ConvLayer(up_half, up_full, 3, count, upsample=True)]
        )
        self.last = ConvLayer(up_full, 3, config.kernel, count)

    @property
    def device(self) -> torch.device:
        """The device of the parameters."""
        return next(self.parameters()).device

    def forward(
        self, pixels: Tensor, weights: Tensor, noise: Tensor | None = None, statistics: NormStatistics | None = None
    ) -> Tensor:
        """The images (N, 3, H, W), in (0, 1), of pixels (N, 3, H, W), RGB in [0, 1], H and W multiples of 4.

        ``weights`` (N, S) blend the styles, see ``style_weights``; ``noise`` (N or 1, 3, H, W) is a ``noise_map``,
        drawn if None.
        """
        given = (pixels - 0.5) * 4  # about the deviation of natural images
        if self.config.noise:
            maps = noise_map(pixels.shape[2], pixels.shape[3]).to(pixels) if noise is None else noise.to(pixels)
            given = torch.cat([given, maps.expand(len(given), -1, -1, -1)], dim=1)
        given = given.contiguous(memory_format=torch.channels_last)
        x: Features = BandedMap(given) if suits_bands(given) else given
        skips = []
        for layer in (self.first, *self.down):
            x = layer(x, weights, statistics).relu_()
            skips.append(x)
        skips.pop()
        for one, two in zip(self.blocks[::2], self.blocks[1::2], strict=True):
            x = _sum(two(one(x, weights, statistics).relu_(), weights, statistics), x)
        for layer in self.up:
            x = layer(x, weights, statistics).relu_()
            x = _sum(x, skips.pop()) if self.config.skips else x
        x = self.last(x, weights, statistics)
        return torch.sigmoid((x.whole() if isinstance(x, BandedMap) else x).float())

    def style_weights(self, styles: str | Mapping[str, float]) -> Tensor:
        """The weights (1, S), adding up to 1, of one style by name, or of several weighted ones.

        Raises:
            UsageError: an unknown style, a negative weight, or none above 0.
        """
        wanted = {styles: 1.0} if isinstance(styles, str) else dict(styles)
        for name in wanted:
            if name not in self.styles:
                raise unknown_style(name, self.styles)
        if not wanted or min(wanted.values()) < 0 or sum(wanted.values()) <= 0:
            raise UsageError("The weights of styles must not be negative, and one of them must be positive.")
        values = torch.tensor([[wanted.get(name, 0.0) for name in self.styles]], device=self.device)
        return values / values.sum()

    def shares(self, styles: str | Mapping[str, float]) -> Tensor:
        """The old name of ``style_weights``."""
        warnings.warn("'shares' is now called 'style_weights'.", DeprecationWarning, stacklevel=2)
        return self.style_weights(styles)

    def style_parameters(self) -> list[nn.Parameter]:
        """The scales and shifts, the only parameters that differ from style to style."""
        norms = [module for module in self.modules() if isinstance(module, ConditionalInstanceNorm)]
        return [part for norm in norms for part in (norm.scale, norm.shift)]

    def extended(self, styles: Sequence[str]) -> FastStyleNetwork:
        """A copy with ``styles`` added; each new one starts as the mean of the old."""
        wider = FastStyleNetwork([*self.styles, *styles], self.config).to(self.device)
        state = self.state_dict()
        for name, value in wider.state_dict().items():
            old = state[name]
            value[: len(old)] = old
            if value.shape != old.shape:
                value[len(old) :] = old.mean(0)
        return wider


def _sum(own: Features, other: Features) -> Features:
    if isinstance(own, BandedMap) or isinstance(other, BandedMap):
        assert isinstance(own, BandedMap) and isinstance(other, BandedMap)
        return own.add_(other)
    return own + other if torch.is_grad_enabled() else own.add_(other)


def noise_map(height: int, width: int, seed: int = 0, *, generator: torch.Generator | None = None) -> Tensor:
    """Noise (1, 3, height, width) of deviation about 1, with values every 1, 4 and 16 pixels, interpolated between.

    It depends on the size and the seed (or the generator's state) alone.
    """
    generator = generator or torch.Generator().manual_seed(seed)
    maps = []
    for scale in _NOISE_SCALES:
        rows, columns = -(-height // scale) + 2, -(-width // scale) + 2
        coarse = torch.randn(1, 1, rows, columns, generator=generator)
        if scale > 1:
            smooth = F.interpolate(coarse, scale_factor=scale, mode="bilinear", align_corners=False)
            coarse = smooth[:, :, scale : scale + height, scale : scale + width] * 1.5  # interpolation averages
        maps.append(coarse[:, :, :height, :width])
    return torch.cat(maps, dim=1)


def check_names(styles: Sequence[str]) -> tuple[str, ...]:
    """The names as a tuple; UsageError where there is none, one is repeated, or one cannot stand in ``a:0.7,b:0.3``."""
    if not styles:
        raise UsageError("A fast style network needs at least one style.")
    for name in styles:
        if not name or any(sign in name for sign in ",: /\\") or styles.count(name) > 1:
            raise UsageError(f"'{name}' cannot be a style's name: give each once, without spaces, commas and colons.")
    return tuple(styles)
