"""Each technique's peak of memory at 512, 1024 and 2048 px, with the embedded SqueezeNet.

Usage: python -m benchmarks.memory [--techniques saliency,style…]

A process for each case: it imports torch, loads the network, does the same at 128 px, and then tells the peak of one
run beyond what it holds by then. On CUDA it is what torch allocated. Runs are shortened to where the peak is reached:
L-BFGS keeps up to 25 (style, texture) or 50 (invert) pairs of pictures, so these take so many steps and no more.
What does not fit in ``--most`` GiB, or takes more than ``--limit`` processor seconds, is told as that.
"""

from __future__ import annotations

import resource
import signal
import subprocess
from collections.abc import Callable, Sequence

from torch import Tensor

import cnnviz
from benchmarks.memory_use import held, peak_beyond, told_by
from benchmarks.photos import photo
from benchmarks.row import Row
from benchmarks.running import Setting, parser, setting, show
from cnnviz.network.network import Network
from cnnviz.style.model_file import BUILT_IN_STYLES, load_fast_style

SIZES = (512, 1024, 2048)
WARM = 128
LIMIT, MOST = 120, 8

Run = Callable[[Network, Tensor], object]


def _stride(pixels: Tensor) -> int:
    """Such that a patch has some fifty places in the picture."""
    return max(1, pixels.shape[2] // 8)


def _painted(network: Network, pixels: Tensor) -> Tensor:
    style = photo(256, network.device, "mosaic.jpg")
    return cnnviz.transfer_style(network, pixels, style, steps=42, scales=1)


def _fast(network: Network, pixels: Tensor) -> Tensor:
    model = load_fast_style(BUILT_IN_STYLES).to(network.device)
    return cnnviz.apply_fast_style(model, pixels, model.styles[0])


TECHNIQUES: dict[str, Run] = {
    "classify": lambda network, pixels: network.predict(pixels),
    "saliency": lambda network, pixels: cnnviz.saliency(network, pixels, 285),
    "saliency, SmoothGrad": lambda network, pixels: cnnviz.smoothgrad(network, pixels, 285, samples=16),
    "saliency, integrated gradients": lambda network, pixels: cnnviz.integrated_gradients(
        network, pixels, 285, steps=16
    ),
    "guided": lambda network, pixels: cnnviz.guided_backprop(network, pixels, 285),
    "gradcam": lambda network, pixels: cnnviz.grad_cam(network, pixels, 285),
    "occlusion": lambda network, pixels: cnnviz.occlusion(network, pixels, 285, stride=_stride(pixels)),
    "occlusion, full passes": lambda network, pixels: cnnviz.occlusion(
        network, pixels, 285, stride=_stride(pixels), algorithm="full"
    ),
    "fool": lambda network, pixels: cnnviz.iterative_fgsm(network, pixels, steps=2),
    "universal, 16 photos": lambda network, pixels: cnnviz.universal_perturbation(
        network, pixels.repeat(16, 1, 1, 1), passes=1
    ),
    "activations": lambda network, pixels: cnnviz.activation_grid(network, pixels, "features.1"),
    "embed, 16 photos": lambda network, pixels: cnnviz.embed_images(network, pixels.repeat(16, 1, 1, 1)),
    "visualize": lambda network, pixels: cnnviz.visualize(network, 130, size=pixels.shape[2], steps=2),
    "dream": lambda network, pixels: cnnviz.dream(network, pixels, octaves=1, steps=2),
    "invert": lambda network, pixels: cnnviz.invert(network, pixels, "features.6", steps=52),
    "texture": lambda network, pixels: cnnviz.synthesize_texture(
        network, photo(256, network.device, "brick.png"), tuple(pixels.shape[2:]), steps=42, scales=1
    ),
    "style": _painted,
    "fast-style": _fast,
}
"""Command -> what it does for one picture."""


def measured(technique: str, size: int, chosen: Setting, limit: int, most: int) -> float:
    """MiB of one case, in this process."""
    network = cnnviz.load_network("squeezenet1_1", device=str(chosen.device))
    run = TECHNIQUES[technique]
    run(network, photo(WARM, network.device))
    pixels = photo(size, network.device)
    spent = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    resource.setrlimit(resource.RLIMIT_CPU, (int(spent) + limit,) * 2)
    if not chosen.on_cuda:
        resource.setrlimit(resource.RLIMIT_AS, ((held("VmSize") << 10) + (most << 30),) * 2)
    return peak_beyond(lambda: run(network, pixels), chosen.device)


def told(technique: str, size: int, chosen: Setting, limit: int, most: int) -> float | str:
    """The same of a process of its own, or why there is no figure."""
    options = ("--device", chosen.device, "--limit", limit, "--most", most)
    try:
        return told_by("benchmarks.memory", *options, "--of", technique, "--size", size)
    except subprocess.CalledProcessError as error:
        if error.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
            return f"over {limit} s"
        if "can't allocate memory" in error.stderr or "OutOfMemoryError" in error.stderr:
            return f"over {most} GiB"
        raise


def rows(
    chosen: Setting,
    techniques: Sequence[str] = tuple(TECHNIQUES),
    sizes: Sequence[int] = SIZES,
    limit: int = LIMIT,
    most: int = MOST,
) -> list[Row]:
    """A row for each technique: MiB at each size."""
    sizes = sizes[: 1 if chosen.quick else None]
    found = []
    for technique in techniques:
        peaks: dict[str, float | str] = {}
        for size in sizes:
            peaks[f"{size} px, MiB"] = told(technique, size, chosen, limit, most)
        found.append(Row(f"`{technique.partition(',')[0]}`{''.join(technique.partition(',')[1:])}", more=peaks))
    return found


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--techniques", help="comma-separated first words")
    options.add_argument("--sizes", default=",".join(map(str, SIZES)), help="sides, comma-separated")
    options.add_argument("--limit", type=int, default=LIMIT, help="processor seconds for a case")
    options.add_argument("--most", type=int, default=MOST, help="GiB for a case, on the CPU")
    options.add_argument("--of", choices=tuple(TECHNIQUES))
    options.add_argument("--size", type=int)
    given = options.parse_args()
    chosen = setting(given)
    wanted = (given.techniques or "").split(",")
    if given.of:
        print(measured(given.of, given.size, chosen, given.limit, given.most))
    else:
        named = [name for name in TECHNIQUES if wanted == [""] or name.partition(",")[0] in wanted]
        sizes = [int(size) for size in given.sizes.split(",")]
        show(rows(chosen, named, sizes, given.limit, given.most), chosen)


if __name__ == "__main__":
    main()
