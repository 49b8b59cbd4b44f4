"""Any image as a style in one pass: a predictor of what a style is, and the network that paints in it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnnviz.errors import ImageError, UsageError
from cnnviz.imaging.checks import require_in_range
from cnnviz.imaging.pixel_ops import resize
from cnnviz.style.fast import ConditionalInstanceNorm, FastStyleNetwork
from cnnviz.style.settings import LEAST_STYLE_SIZE, STYLE_SIZE, FastStyleConfig

STYLE_NUMBERS = 100
"""Numbers that describe a style."""

_LONGEST = 4
_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""MobileNetV2's stages: expansion, channels, blocks, stride of the first."""

PAINTER_CONFIG = FastStyleConfig((8, 16, 32), blocks=5, noise=False, skips=False, up_widths=(16, 8), plain_down=True)


class SameConv(nn.Conv2d):
    """A convolution padded as TensorFlow's ``SAME``: with stride 2 one pixel more at the right and bottom."""

    def forward(self, input: Tensor) -> Tensor:
        (kernel, _), (stride, _) = self.kernel_size, self.stride
        down, right = (max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in input.shape[2:])
        padded = F.pad(input, (right // 2, right - right // 2, down // 2, down - down // 2))
        return F.conv2d(padded, self.weight, self.bias, self.stride, groups=self.groups)


class InvertedResidual(nn.Module):
    """MobileNetV2's block: 1×1 up to many channels, 3×3 in each, 1×1 down; added to its input where sizes agree."""

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.expand = SameConv(inputs, inner, 1) if expansion > 1 else None
        self.depthwise = SameConv(inner, inner, 3, stride, groups=inner)
        self.project = SameConv(inner, outputs, 1)
        self.is_residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Features (N, D, H', W') of features (N, C, H, W)."""
        inner = x if self.expand is None else F.relu6(self.expand(x))
        output: Tensor = self.project(F.relu6(self.depthwise(inner)))
        return output + x if self.is_residual else output


class StylePredictor(nn.Module):
    """The style of an image as 100 numbers: MobileNetV2 1.0 with its batch normalization folded in.

    Sandler, Howard, Zhu, Zhmoginov & Chen, "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018,
    arXiv:1801.04381, as used by Ghiasi et al. (see ``AnyStyleNetwork``).
    """

    def __init__(self) -> None:
        super().__init__()
        self.first = SameConv(3, 32, 3, 2)
        channels, blocks = 32, []
        for expansion, outputs, count, stride in _STAGES:
            for number in range(count):
                blocks.append(InvertedResidual(channels, outputs, expansion, stride if number == 0 else 1))
                channels = outputs
        self.blocks = nn.ModuleList(blocks)
        self.last = SameConv(channels, 1280, 1)
        self.numbers = nn.Linear(1280, STYLE_NUMBERS)

    def forward(self, pixels: Tensor) -> Tensor:
        """The style vectors (N, 100) of pixels (N, 3, H, W), RGB in [0, 1]."""
        x = F.relu6(self.first(pixels))
        for block in self.blocks:
            x = block(x)
        vector: Tensor = self.numbers(F.relu6(self.last(x)).mean((2, 3)))
        return vector


class AnyStyleNetwork(nn.Module):
    """Paints photos in the style of any image: a predictor, and the network whose styles it predicts.

    Ghiasi, Lee, Kudlur, Dumoulin & Shlens, "Exploring the Structure of a Real-Time, Arbitrary Neural Artistic
    Stylization Network", BMVC 2017, arXiv:1705.06830; with the smaller networks that Google published for mobile
    devices: MobileNetV2 as the predictor, and 177,777 parameters that paint. An image becomes a style vector of 100
    numbers, of which the scale and shift of each conditional normalization are linear functions; so a blend of styles
    is a blend of vectors.

    Example:
        >>> model = cnnviz.load_any_style()
        >>> style = cnnviz.read_image("sample_images/starry.jpg")
        >>> network = model.with_styles({"mine": model.style_vector(style)})
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> cnnviz.apply_fast_style(network, pixels, "mine").shape
        torch.Size([1, 3, 64, 96])
    """

    def __init__(self) -> None:
        super().__init__()
        self.predictor = StylePredictor()
        self.painter = FastStyleNetwork(["any"], PAINTER_CONFIG)
        modules = self.painter.named_modules()
        norms = {name: norm for name, norm in modules if isinstance(norm, ConditionalInstanceNorm)}
        self._norms = list(norms)
        channels = [norm.scale.shape[1] for norm in norms.values()]
        self.scales = nn.ModuleList([nn.Linear(STYLE_NUMBERS, count) for count in channels])
        self.shifts = nn.ModuleList([nn.Linear(STYLE_NUMBERS, count) for count in channels])

    @property
    def device(self) -> torch.device:
        """The device of the parameters."""
        return self.painter.device

    @property
    def unset_shapes(self) -> dict[str, torch.Size]:
        """The shapes of the scales and shifts of ``painter``, which no style vector has set, by their names."""
        state = self.painter.state_dict()
        return {f"painter.{name}": value.shape for name, value in state.items() if ".norm." in name}

    def style_vector(self, image: Tensor, size: int = STYLE_SIZE) -> Tensor:
        """The style vector (1, 100) of an image (1, 3, H, W), RGB in [0, 1], seen with a shorter side of ``size``.

        Of a strip the middle is taken, four times as long as it is wide.

        Raises:
            ImageError: the image is smaller than 16 pixels.
            UsageError: ``size`` is below 32.
        """
        height, width = require_in_range(image).shape[2:]
        if min(height, width) < 16:
            raise ImageError(f"A style image of {width}×{height} pixels is too small; both sides need 16.")
        if size < LEAST_STYLE_SIZE:
            raise UsageError(f"A style image is to be seen at {LEAST_STYLE_SIZE} pixels or more, not {size}.")
        longest = _LONGEST * min(height, width)
        top, left = max(0, height - longest) // 2, max(0, width - longest) // 2
        image = image[:, :, top : top + longest, left : left + longest]
        factor = size / min(height, width)
        sides = tuple(max(size, round(side * factor)) for side in image.shape[2:])
        with torch.inference_mode():
            vector: Tensor = self.predictor(resize(image, sides).clamp(0, 1).to(self.device))  # type: ignore[arg-type]
        return vector.clone()

    def with_styles(self, vectors: Mapping[str, Tensor]) -> FastStyleNetwork:
        """The network that paints in the styles of some vectors (1, 100), by name; it shares the kernels.

        Raises:
            UsageError: no vector, one of another shape, or a name that cannot be a style's.
        """
        names = list(vectors)
        if any(tuple(vector.shape) != (1, STYLE_NUMBERS) for vector in vectors.values()):
            raise UsageError(f"A style vector has the shape (1, {STYLE_NUMBERS}).")
        with torch.device("meta"):
            network = FastStyleNetwork(names, PAINTER_CONFIG)
        stacked = torch.cat(list(vectors.values())).to(self.device)
        state = {name: value for name, value in self.painter.state_dict().items() if ".norm." not in name}
        with torch.no_grad():
            for name, scale, shift in zip(self._norms, self.scales, self.shifts, strict=True):
                state |= {f"{name}.scale": scale(stacked), f"{name}.shift": shift(stacked)}
        network.load_state_dict(state, assign=True)
        return network.eval().requires_grad_(False)


def contrast(image: Tensor) -> float:
    """The largest standard deviation of a color of an image (1, 3, H, W); 0 for an image of one color."""
    return float(image.std((2, 3)).max())
