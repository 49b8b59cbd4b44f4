"""One pass of the default fast style network against the architecture of pytorch/examples.

Usage: python -m benchmarks.fast_style_speed [--side N] [--rounds N]

The peer is Johnson et al.'s network (ECCV 2016, arXiv:1603.08155, supplementary material) as pytorch/examples'
fast_neural_style builds it: 32, 64 and 128 channels, five residual blocks, instance normalisation, reflected borders,
nearest-neighbour enlargement; written here from the paper. Both have random weights, which costs the same.

Prints interleaved medians of processor seconds for one picture, and the peak of memory that a process of its own takes
for the pass beyond what it held before.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.timing import interleaved, machine
from cnnviz.style.fast import FastStyleNetwork
from cnnviz.style.stylize import apply_fast_style


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


def passes(side: int) -> dict[str, Callable[[], Tensor]]:
    """One pass of each over the same picture."""
    pixels = torch.rand(1, 3, side, side)
    ours, peer = FastStyleNetwork(["one"]).eval(), Peer().eval()
    ours.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def peers() -> Tensor:
        with torch.inference_mode():
            return peer(pixels * 255)

    return {"ours": lambda: apply_fast_style(ours, pixels, "one"), "peer": peers}


def _seconds(run: Callable[[], Tensor]) -> Callable[[], float]:
    def measure() -> float:
        started = time.process_time()
        run()
        return time.process_time() - started

    return measure


def _peak(name: str, side: int) -> float:
    """MiB that a pass takes at its peak, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.fast_style_speed", "--peak-of", name, "--side", str(side)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _print_own_peak(name: str, side: int) -> None:
    passes(64)[name]()
    run = passes(side)[name]
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # Linux: the peak begins anew at what is held now
    before = _status("VmRSS")
    run()
    print((_status("VmHWM") - before) / 1024)


def _status(field: str) -> int:
    """KiB that Linux tells of this process."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peak-of", choices=("ours", "peer"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.peak_of:
        _print_own_peak(options.peak_of, options.side)
        return
    seconds = interleaved({name: _seconds(run) for name, run in passes(options.side).items()}, options.rounds)
    peaks = {name: _peak(name, options.side) for name in seconds}
    print(f"{options.side}×{options.side} pixels, one thread, {machine()}")
    for name, value in seconds.items():
        print(f"{name}: {value:.2f} s, {peaks[name]:.0f} MiB")
    speed, memory = seconds["peer"] / seconds["ours"], peaks["ours"] / peaks["peer"]
    print(f"ours is {speed:.1f} times as fast, with {memory:.2f} of the memory")


if __name__ == "__main__":
    main()
