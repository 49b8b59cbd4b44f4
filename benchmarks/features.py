"""The feature store's cost over the bare network, and what a second run costs.

Usage: python -m benchmarks.features [--pictures N] [--rounds N] [--network NAME]

N JPEGs of 500×375 pixels, cut from sample_images at random, are described by the network (224 px, batches of 16):

- bare: a loop that decodes each picture, resizes it, and runs the network on batches; nothing is kept.
- store: ``cnnviz.features.collection.fill``, which reads ahead, and keeps features, predictions, thumbnails and
  32×32 pixels.
- again: the same with everything in the store already, as a second run of any command finds it.

Prints interleaved medians of seconds by the clock and of processor seconds of all threads.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

import cnnviz
from benchmarks.timing import interleaved, machine
from cnnviz.features.collection import Framing, Home, features_aspect, fill, looks_aspect
from cnnviz.features.contents import Contents
from cnnviz.imaging import read_photo, to_pixels
from cnnviz.network import Network

SAMPLES = Path(__file__).parents[1] / "sample_images"
BATCH = 16


def make_pictures(folder: Path, count: int) -> list[Path]:
    """JPEGs of 500×375, as the photos of ImageNet are large."""
    rng = random.Random(0)
    photos = [read_photo(path) for path in sorted(SAMPLES.glob("*.[jp][pn]g"))]
    paths = []
    for number in range(count):
        photo = rng.choice(photos)
        scale = rng.uniform(0.4, 1.0) * min(photo.width / 4, photo.height / 3)
        width, height = int(4 * scale), int(3 * scale)
        left, top = rng.randint(0, photo.width - width), rng.randint(0, photo.height - height)
        path = folder / f"{number:05d}.jpg"
        photo.crop((left, top, left + width, top + height)).resize((500, 375)).save(path, quality=90)
        paths.append(path)
    return paths


def read(path: Path) -> tuple[Image.Image, Tensor]:
    photo = read_photo(path)
    return photo, to_pixels(photo, 224)


def bare(network: Network, paths: list[Path]) -> None:
    """Decode a batch, run the network on it, and so on."""
    with torch.no_grad():
        for start in range(0, len(paths), BATCH):
            network(torch.cat([read(path)[1] for path in paths[start : start + BATCH]]))


def stored(network: Network, paths: list[Path], home: Path) -> None:
    """What folder-wide commands do before they draw."""
    keys = [key for key in Contents(home).keys(paths) if key]
    place = Home(home)
    aspects = [features_aspect(network, None, place, Framing(224)), looks_aspect(place, "white")]
    fill(dict(zip(keys, paths, strict=True)), aspects, read, batch=BATCH)
    for aspect in aspects:
        aspect.store.vectors(keys)


def clocks(run: Callable[[], None]) -> tuple[float, float]:
    """Seconds by the clock, and of all of the process's threads."""
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - wall, time.process_time() - cpu


def homes(folder: Path) -> Iterator[Path]:
    """New empty stores, one after the other."""
    number = 0
    while True:
        number += 1
        yield folder / f"store{number}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--network", default="squeezenet1_1")
    options = parser.parse_args()
    network = cnnviz.load_network(options.network, device="cpu")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        paths = make_pictures(folder, options.pictures)
        fresh, full = homes(folder), folder / "full"
        stored(network, paths, full)
        runs: dict[str, Callable[[], None]] = {
            "bare": lambda: bare(network, paths),
            "store": lambda: stored(network, paths, next(fresh)),
            "again": lambda: stored(network, paths, full),
        }
        walls: dict[str, list[float]] = {name: [] for name in runs}

        def measured(name: str) -> Callable[[], float]:
            def run() -> float:
                wall, cpu = clocks(runs[name])
                walls[name].append(wall)
                return cpu

            return run

        cpu = interleaved({name: measured(name) for name in runs}, options.rounds, warmups=0)
        size = sum(file.stat().st_size for file in full.rglob("*") if file.is_file())
    print(f"{machine()}; {torch.get_num_threads()} threads; torch {torch.__version__}; {options.network}")
    print(f"{options.pictures} pictures; {size / options.pictures / 1024:.1f} KiB of store for each")
    print(f"{'run':6s} {'cpu s':>8s} {'/ bare':>7s} {'clock s':>8s} {'/ bare':>7s}")
    clock = {name: sorted(values)[len(values) // 2] for name, values in walls.items()}
    for name in runs:
        row = f"{cpu[name]:8.2f} {cpu[name] / cpu['bare']:7.2f} {clock[name]:8.2f} {clock[name] / clock['bare']:7.2f}"
        print(f"{name:6s} {row}", flush=True)


if __name__ == "__main__":
    main()
