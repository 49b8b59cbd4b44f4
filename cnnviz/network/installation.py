"""What cnnviz finds on this machine: versions, devices, caches, the embedded network."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from cnnviz import __version__

PACKAGES = ("torch", "torchvision", "captum", "opencv-python", "scikit-learn", "matplotlib", "pillow")


def describe_installation() -> dict[str, Any]:
    """Each thing that cnnviz needs or can use, and what was found of it; a missing package with its remedy."""
    return dict(_findings())


def _findings() -> Iterator[tuple[str, Any]]:
    import torch

    from cnnviz.network import catalogue, download
    from cnnviz.network.hashing import sha256
    from cnnviz.network.loading import load_network
    from cnnviz.runtime.memory import available_memory

    yield "cnnviz", __version__
    yield "python", f"{platform.python_version()} on {platform.platform()}"
    for package in PACKAGES:
        yield package, _version(package)
    yield "cuda", ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())) or "none"
    yield "processors", os.cpu_count()
    free = available_memory(torch.device("cpu"))
    yield "free memory", f"{free / 2**30:.1f} GiB" if free else "unknown"
    yield "weights cache", str(catalogue.checkpoint_folder())
    on_disk = [w.file for e in catalogue.entries().values() for w in e.weights if download.is_cached(w)]
    yield "weights on disk", ", ".join(on_disk) or "none"
    yield "offline", download.offline()
    network = load_network(catalogue.EMBEDDED, device="cpu")
    yield "embedded network", f"{network.name}, {sha256(catalogue.EMBEDDED_FILE)[:12]}, loads"
    yield "opencv loads", _opencv_loads()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return f"missing (pip install {package})"


def _opencv_loads() -> str:
    try:
        __import__("cv2")
    except ImportError as error:
        return f"no: {error} (only GrabCut needs it; on servers: pip install opencv-python-headless)"
    return "yes"
