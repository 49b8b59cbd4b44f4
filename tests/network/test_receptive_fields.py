"""Receptive fields contain the gradient at every position; where there is no window, none is stated."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models.convnext import LayerNorm2d

from cnnviz.network.geometry import ReceptiveField
from cnnviz.network.network import Network
from cnnviz.network.spec import InputSpec


class Then(nn.Module):
    """A convolution of stride 2, what is in question, and a convolution."""

    def __init__(self, between, stride: int = 2) -> None:
        super().__init__()
        self.stem, self.last = nn.Conv2d(3, 4, 3, stride, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.between = between

    def forward(self, x):
        return self.last(self.between(self.stem(x)))


def wrapped(module: nn.Module) -> Network:
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    spec = InputSpec(size=32, mean=(0.0,) * 3, std=(1.0,) * 3)
    return Network(module.double(), labels=("a", "b"), spec=spec)


def bounds(reached: torch.Tensor) -> tuple[int, int, int, int]:
    rows, columns = reached.any(1).nonzero(), reached.any(0).nonzero()
    return int(rows.min()), int(columns.min()), int(rows.max()) + 1, int(columns.max()) + 1


def check_stated_fields(network: Network, size: tuple[int, int] = (32, 40), exact: bool = False) -> int:
    """Compare the field of every layer with the gradient of some of its positions; returns how many were compared."""
    compared = 0
    for row in network.layer_table(size):
        if row.receptive_field is None or not row.is_spatial:
            continue
        x = torch.rand(1, 3, *size, dtype=torch.float64).requires_grad_()
        maps = network.features(x, [row.name])[row.name]
        height, width = maps.shape[2:]
        for y, z in {(0, 0), (height // 2, width // 2), (height - 1, width - 1), (height // 3, width // 2 + 1)}:
            gradient = torch.autograd.grad(
                maps[0, :, min(y, height - 1), min(z, width - 1)].sum(), x, retain_graph=True
            )
            reached = (gradient[0][0] != 0).any(0)
            if not reached.any():
                continue  # what was padded
            found = bounds(reached)
            top, left, bottom, right = row.receptive_field.window(min(y, height - 1), min(z, width - 1))
            stated = max(top, 0), max(left, 0), min(bottom, size[0]), min(right, size[1])
            assert found[0] >= stated[0] and found[1] >= stated[1], (row.name, found, stated)
            assert found[2] <= stated[2] and found[3] <= stated[3], (row.name, found, stated)
            if exact and row.name == "last":
                assert found == stated, (row.name, found, stated)
            compared += 1
    return compared


class Standardized(nn.Conv2d):
    def forward(self, x):
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        weight = weight / weight.std((1, 2, 3), keepdim=True)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class SameAsTensorFlow(nn.Conv2d):
    """Padded for the image's size, more after it than before."""

    def forward(self, x):
        total = [max((-(-n // s) - 1) * s + k - n, 0) for n, s, k in zip((16, 20), self.stride, (4, 3), strict=True)]
        x = F.pad(x, [total[1] // 2, total[1] - total[1] // 2, total[0] // 2, total[0] - total[0] // 2])
        return F.conv2d(x, self.weight, self.bias, self.stride)


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight, self.up = nn.Parameter(torch.rand(4, 2, 3, 5)), nn.Parameter(torch.rand(4, 4, 3, 3))

    def forward(self, x):
        x = F.conv2d(x, self.weight, None, (1, 2), (1, 2), groups=2)
        return F.conv_transpose2d(F.avg_pool2d(x, 2), self.up, stride=2)


class Shuffled(nn.Module):
    def forward(self, x):
        n, c, h, w = x.size()
        one, other = x.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, -1, h, w).chunk(2, dim=1)
        return torch.cat([F.max_pool2d(one, 3, 1, 1), other], 1)


class OverChannels(nn.Module):
    """Linear layers, softmax, means and normalization along the channels alone."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.wide, self.narrow = nn.LayerNorm(4), nn.Linear(4, 8), nn.Parameter(torch.rand(8, 4))

    def forward(self, x):
        y = torch.matmul(self.wide(self.norm(x.permute(0, 2, 3, 1))).softmax(-1), self.narrow).movedim(-1, 1)
        return F.normalize(x) + y - y.mean(1, keepdim=True) + y[:, :1] + x.sum(1).unsqueeze(1) + y.flip(1).roll(1, 1)


WINDOWS = {
    "nothing": nn.Identity(),
    "dilated": nn.Conv2d(4, 4, 3, dilation=(3, 2), padding=2),
    "strided": nn.Conv2d(4, 4, (1, 5), (3, 2), (0, 1)),
    "same": nn.Conv2d(4, 4, (4, 2), padding="same"),
    "mirrored": nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
    "up again": nn.ConvTranspose2d(4, 4, (4, 3), 2, 1, output_padding=(0, 1)),
    "transposed, dilated": nn.ConvTranspose2d(4, 4, 3, dilation=2, padding=1),
    "functions": Functional(),
    "weights standardized": Standardized(4, 4, 5, 2, 3),
    "weight norm": nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 4, 5, padding=2)),
    "spectral norm": nn.utils.parametrizations.spectral_norm(nn.Conv2d(4, 4, 3)),
    "as TensorFlow pads": SameAsTensorFlow(4, 4, (4, 3), 2),
    "cropped by padding": lambda x: F.pad(x, (-2, 1, -1, 0)),
    "nn.ZeroPad2d": nn.ZeroPad2d((3, 0, 1, 2)),
    "pooling": nn.Sequential(nn.MaxPool2d(3, 2, 1, ceil_mode=True), nn.AvgPool2d((1, 2)), nn.LPPool2d(2, 2, 1)),
    "adaptive pooling that divides": nn.AdaptiveAvgPool2d((8, 5)),
    "LayerNorm2d": LayerNorm2d(4),
    "BatchNorm2d": nn.BatchNorm2d(4),
    "channels shuffled": Shuffled(),
    "along channels": OverChannels(),
    "rows for columns": lambda x: F.avg_pool2d(x.transpose(2, 3), (3, 1), (2, 1), (1, 0)),
    "rows for columns and back": lambda x: F.avg_pool2d(x.mT, (3, 1), (2, 1)).permute(0, 1, 3, 2),
}


@pytest.mark.parametrize("name", WINDOWS)
def test_stated_fields_hold_for_the_gradient(name):
    network = wrapped(Then(WINDOWS[name]))
    row = network.layer_table((32, 40))[-1]
    assert (row.sees, row.name) == ("window", "last")
    assert check_stated_fields(network, exact=name in ("nothing", "strided", "same", "as TensorFlow pads")) >= 8


@torch.fx.wrap
def opaque(x):
    return x + x.mean()


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, slope):
        return 2 * slope


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attend = nn.MultiheadAttention(4, 1, batch_first=True)

    def forward(self, x):
        tokens = x.flatten(2).transpose(1, 2)
        return self.attend(tokens, tokens, tokens)[0].transpose(1, 2).view(x.shape)


def gated(x):
    return x * x.mean((2, 3), keepdim=True).sigmoid()


def beside(x):
    """Positions of the whole image laid over each."""
    return x + x.amax(3, keepdim=True)


ELSEWHERE = {
    "GroupNorm": (nn.GroupNorm(2, 4), "all"),
    "F.group_norm": (lambda x: F.group_norm(x, 2), "all"),
    "InstanceNorm2d": (nn.InstanceNorm2d(4), "all"),
    "F.instance_norm": (F.instance_norm, "all"),
    "LayerNorm over space": (nn.LayerNorm([4, 16, 20]), "all"),
    "BatchNorm2d of the batch": (nn.BatchNorm2d(4, track_running_stats=False), "all"),
    "squeeze and excitation": (gated, "all"),
    "adaptive pooling to one": (lambda x: x + F.adaptive_avg_pool2d(x, 1), "all"),
    "along rows": (beside, "all"),
    "softmax over rows": (nn.Softmax(2), "all"),
    "F.normalize over columns": (lambda x: F.normalize(x, dim=-1), "all"),
    "cumsum": (lambda x: x.cumsum(3), "all"),
    "roll": (lambda x: x.roll(5, 3), "unknown"),
    "roll of all": (lambda x: torch.roll(x, 7), "unknown"),
    "flip": (lambda x: x.flip(2, 3), "unknown"),
    "rot90": (lambda x: torch.rot90(x, 2, (2, 3)), "unknown"),
    "sum with its transpose": (lambda x: x[..., :16] + x[..., :16].transpose(2, 3), "unknown"),
    "matmul over positions": (lambda x: torch.matmul(x.double(), torch.ones(20, 20, dtype=torch.float64)), "unknown"),
    "matmul from the left": (lambda x: torch.ones(16, 16, dtype=torch.float64) @ x.double(), "unknown"),
    "einsum": (lambda x: torch.einsum("nchw,nchv->nchw", x, x), "unknown"),
    "nn.Linear over columns": (nn.Linear(20, 20), "unknown"),
    "attention": (Attention(), "unknown"),
    "interpolate": (lambda x: F.interpolate(x, scale_factor=2.0), "unknown"),
    "nn.Upsample": (nn.Upsample(scale_factor=2), "unknown"),
    "pixel shuffle": (nn.Sequential(nn.PixelShuffle(2), nn.Conv2d(1, 4, 1)), "unknown"),
    "grid_sample": (
        lambda x: F.grid_sample(x, x.new_zeros(1, 9, 9, 2).expand(x.shape[0], -1, -1, -1)),
        "unknown",
    ),
    "fft": (lambda x: torch.fft.fft2(x).real, "unknown"),
    "sort": (lambda x: torch.sort(x, 3)[0], "unknown"),
    "cat along rows": (lambda x: torch.cat([x, x], 2), "unknown"),
    "halves of the height": (lambda x: x.chunk(2, 2)[1], "unknown"),
    "crop": (lambda x: x[:, :, 3:, ::2], "unknown"),
    "circular": (nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular"), "unknown"),
    "mirrored far": (nn.ReflectionPad2d(5), "unknown"),
    "F.pad, replicate": (lambda x: F.pad(x, (2, 2, 2, 2), mode="replicate"), "unknown"),
    "a code of its own": (lambda x: opaque(x), "unknown"),  # noqa: PLW0108 (looked up while tracing)
    "a function of autograd": (Doubled.apply, "unknown"),
    "rearranged": (lambda x: x.reshape(x.shape[0], 4, 20, 16), "unknown"),
    "adaptive pooling that does not divide": (nn.AdaptiveMaxPool2d((7, 7)), "unknown"),
    "smaller beside larger": (lambda x: x + F.avg_pool2d(x, (16, 20)), "unknown"),
    "finer than pixels": (nn.Sequential(nn.ConvTranspose2d(4, 4, 2, 2), nn.ConvTranspose2d(4, 4, 2, 2)), "unknown"),
}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_what_mixes_or_moves_positions_has_no_field(name):
    between, sees = ELSEWHERE[name]
    network = wrapped(Then(between))
    rows = network.layer_table((32, 40))
    assert rows[0].sees == "window"
    assert (rows[-1].sees, rows[-1].receptive_field) == (sees, None)
    assert check_stated_fields(network) >= 3


def test_pieces_of_pictures_are_not_made_where_positions_see_elsewhere():
    from cnnviz.errors import UsageError
    from cnnviz.synthesis.tiling import plan_tiles, smallest_tile

    network = wrapped(Then(lambda x: x.roll(5, 3)))
    assert smallest_tile(network, ["last"]) is None
    with pytest.raises(UsageError, match="in tiles"):
        plan_tiles(network, ["last"], (64, 64), side=40)


def test_a_transposed_convolution_by_hand():
    field = ReceptiveField(stride=(4, 4), low=(-3, -3), high=(3, 3))
    from cnnviz.network.geometry import conv_windows

    up = field.through_transposed(conv_windows((2, 3), (2, 4), (0, 1)))
    assert up is not None
    assert (up.stride, up.low, up.high) == ((2, 1), (-3 - 2, -3 + 1 - 2), (3, 3 + 1))
    assert field.through_transposed(conv_windows((2, 2), (3, 3))) is None
