"""How long commands take as whole processes, against the shortest script that does the same with the usual libraries.

Usage: python -m benchmarks.startup [--rounds N]

Prints wall-clock and processor seconds: of ``--help`` and a usage error beside ``import torch``, and of one
``cnnviz saliency`` on the embedded network beside a script of torchvision's SqueezeNet and captum's Saliency.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.timing import interleaved, machine, process_seconds

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    cnnviz = str(Path(sys.executable).with_name("cnnviz"))
    with tempfile.TemporaryDirectory() as folder:
        weights, out = save_weights(Path(folder)), str(Path(folder) / "out.png")
        commands = {
            "import torch": [sys.executable, "-c", "import torch"],
            "cnnviz --help": [cnnviz, "--help"],
            "cnnviz saliency --help": [cnnviz, "saliency", "--help"],
            "cnnviz saliency IMG": [cnnviz, "saliency", str(PHOTO), "-m", "squeezenet1_1", "-f", "-o", out],
            "cnnviz saliency IMG --view raw": [
                *(cnnviz, "saliency", str(PHOTO), "-m", "squeezenet1_1", "-f", "-o", out, "--view", "raw")
            ],
            "torchvision + captum": [sys.executable, "-c", CAPTUM_SCRIPT, str(weights), str(PHOTO), out],
        }
        processor, wall = measure(commands, rounds)
    print(f"{machine()}; medians of {rounds} rounds, one thread\n")
    print(f"{'command':34}{'cpu s':>8}{'wall s':>8}{'cpu / import torch':>20}{'cpu / captum script':>21}")
    for name in commands:
        torch_share = processor[name] / processor["import torch"]
        captum_share = processor[name] / processor["torchvision + captum"]
        print(f"{name:34}{processor[name]:8.2f}{wall[name]:8.2f}{torch_share:20.2f}{captum_share:21.2f}")


if __name__ == "__main__":
    main()
