"""How long commands take as whole processes, against the shortest script that does the same with the usual libraries.

Usage: python -m benchmarks.startup [--rounds N]

Processor seconds (and seconds by the clock) of ``--help`` beside ``import torch``, and of one ``cnnviz saliency`` on
the embedded network beside a script of torchvision's SqueezeNet and captum's Saliency.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.row import Row
from benchmarks.running import Setting, parser, setting, show
from benchmarks.timing import interleaved, process_seconds

PHOTO = Path(__file__).parents[1] / "sample_images" / "chelsea.png"

CAPTUM_SCRIPT = """
import sys, torch, torchvision
from PIL import Image
from captum.attr import Saliency
from torchvision.transforms import functional as F
model = torchvision.models.squeezenet1_1()
model.load_state_dict(torch.load(sys.argv[1], weights_only=True))
model.eval()
photo = Image.open(sys.argv[2]).convert("RGB")
x = F.normalize(F.to_tensor(F.resize(photo, 224)), [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])[None]
target = int(model(x).argmax())
found = Saliency(model).attribute(x.requires_grad_(), target=target).abs().amax(1)[0]
F.to_pil_image((found / found.max()).detach()).save(sys.argv[3])
"""


def save_weights(folder: Path) -> Path:
    """The embedded weights as the usual ``.pth``, for the script."""
    import torch

    import cnnviz

    path = folder / "squeezenet.pth"
    torch.save(cnnviz.load_network("squeezenet1_1", device="cpu").module.state_dict(), path)
    return path


def measure(commands: dict[str, Sequence[str]], rounds: int) -> tuple[dict[str, float], dict[str, float]]:
    """Median processor and wall-clock seconds of each command, taken in turn."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CNNVIZ_OFFLINE": "1"}
    walls: dict[str, list[float]] = {name: [] for name in commands}

    def runner(name: str) -> Callable[[], float]:
        def run() -> float:
            started = time.perf_counter()
            processor = process_seconds(commands[name], env=environment)
            walls[name].append(time.perf_counter() - started)
            return processor

        return run

    processor = interleaved({name: runner(name) for name in commands}, rounds)
    return processor, {name: sorted(values[1:])[len(values[1:]) // 2] for name, values in walls.items()}


def rows(setting: Setting) -> list[Row]:
    """Whole commands; always on the processor, whatever the device."""
    command = str(Path(sys.executable).with_name("cnnviz"))
    with tempfile.TemporaryDirectory() as folder:
        weights, out = save_weights(Path(folder)), str(Path(folder) / "out.png")
        explain = [command, "saliency", str(PHOTO), "-m", "squeezenet1_1", "--device", "cpu", "-f", "-o", out]
        commands: dict[str, Sequence[str]] = {
            "import torch": [sys.executable, "-c", "import torch"],
            "captum script": [sys.executable, "-c", CAPTUM_SCRIPT, str(weights), str(PHOTO), out],
            "`cnnviz --help`": [command, "--help"],
            "`cnnviz saliency --help`": [command, "saliency", "--help"],
            "`cnnviz saliency chelsea.png -m squeezenet1_1`": explain,
            "the same with `--view raw`, all that the script does": [*explain, "--view", "raw"],
        }
        processor, wall = measure(commands, setting.turns(7))
    peers = {name: "import torch" if "--help" in name else "captum script" for name in list(commands)[2:]}
    return [
        Row(name, processor[name], peer=processor[peer], against=peer, more={"by the clock, s": wall[name]})
        for name, peer in peers.items()
    ]


if __name__ == "__main__":
    chosen = setting(parser(__doc__).parse_args())
    show(rows(chosen), chosen)
