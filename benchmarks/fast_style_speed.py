"""One pass of the default fast style network against the architecture of pytorch/examples.

Usage: python -m benchmarks.fast_style_speed [--side N] [--rounds N]

The peer is Johnson et al.'s network (ECCV 2016, arXiv:1603.08155, supplementary material) as pytorch/examples'
fast_neural_style builds it: 32, 64 and 128 channels, five residual blocks, instance normalisation, reflected borders,
nearest-neighbour enlargement; written here from the paper. Both have random weights, which costs the same.

Prints interleaved medians of processor seconds for one picture, and the peak of memory that a process of its own takes
for the pass beyond what it held before.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.memory_use import peak_beyond, told_by
from benchmarks.row import Row
from benchmarks.running import Setting, operations, parser, setting, show
from cnnviz.style.fast import FastStyleNetwork
from cnnviz.style.inference import apply_fast_style

SIDES = (512, 1024)
MODULE = "benchmarks.fast_style_speed"


class Peer(nn.Sequential):
    """Pixels (N, 3, H, W) times 255 -> painted, at the standard width."""

    def __init__(self) -> None:
        super().__init__(
            *_layer(3, 32, 9),
            *_layer(32, 64, 3, stride=2),
            *_layer(64, 128, 3, stride=2),
            *(_Residual(128) for _ in range(5)),
            nn.Upsample(scale_factor=2, mode="nearest"),
            *_layer(128, 64, 3),
            nn.Upsample(scale_factor=2, mode="nearest"),
            *_layer(64, 32, 3),
            nn.ReflectionPad2d(4),
            nn.Conv2d(32, 3, 9),
        )


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*_layer(channels, channels, 3), *_layer(channels, channels, 3)[:-1])

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def _layer(inputs: int, outputs: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    return [
        nn.ReflectionPad2d(kernel // 2),
        nn.Conv2d(inputs, outputs, kernel, stride),
        nn.InstanceNorm2d(outputs, affine=True),
        nn.ReLU(),
    ]


def passes(side: int, device: torch.device) -> dict[str, Callable[[], Tensor]]:
    """One pass of each over the same picture."""
    pixels = torch.rand(1, 3, side, side, device=device)
    ours, peer = FastStyleNetwork(["one"]).eval().to(device), Peer().eval().to(device)
    ours.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def peers() -> Tensor:
        with torch.inference_mode():
            return peer(pixels * 255)

    return {"ours": lambda: apply_fast_style(ours, pixels, "one"), "peer": peers}


def rows(setting: Setting, side: int | None = None) -> list[Row]:
    """One row for each side of the picture."""
    found = []
    for extent in [side] if side else SIDES[: 1 if setting.quick else None]:
        runs = passes(extent, setting.device)
        seconds = setting.compare(runs, 5)
        peaks = {
            name: told_by(MODULE, "--device", setting.device, "--side", extent, "--peak-of", name)
            if setting.memory
            else None
            for name in runs
        }
        found.append(
            Row(
                f"{extent}×{extent}",
                seconds["ours"],
                peer=seconds["peer"],
                against="pytorch/examples",
                operations=operations(runs["ours"]),
                memory=peaks["ours"],
                peer_memory=peaks["peer"],
            )
        )
    return found


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--side", type=int)
    options.add_argument("--peak-of", choices=("ours", "peer"))
    given = options.parse_args()
    chosen = setting(given)
    if given.peak_of:
        passes(64, chosen.device)[given.peak_of]()
        print(peak_beyond(passes(given.side, chosen.device)[given.peak_of], chosen.device))
    else:
        show(rows(chosen, given.side), chosen)


if __name__ == "__main__":
    main()
