"""The feature store's cost over the bare network, and what a second run costs.

Usage: python -m benchmarks.features [--pictures N] [--rounds N] [--network NAME]

N JPEGs of 500×375 pixels, cut from sample_images at random, are described by the network (224 px, batches of 16):

- bare: a loop that decodes each picture, resizes it, and runs the network on batches; nothing is kept.
- store: ``cnnviz.features.feature_index.build_index``, which reads ahead, and keeps features, predictions, thumbnails
  and 32×32 pixels.
- again: the same with everything in the store already, as a second run of any command finds it.

Prints interleaved medians of seconds by the clock and of processor seconds of all threads.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import torch
from PIL import Image
from torch import Tensor

import cnnviz
from benchmarks.row import Row
from benchmarks.running import Setting, parser, setting, show
from benchmarks.timing import interleaved
from cnnviz.features.feature_index import (
    FeatureStoreRoot,
    Preprocessing,
    build_index,
    pooled_feature,
    thumbnail_feature,
)
from cnnviz.features.file_hashes import FileHashes
from cnnviz.imaging.decoding import read_pil_image
from cnnviz.imaging.pixels import to_pixels
from cnnviz.network.network import Network

SAMPLES = Path(__file__).parents[1] / "sample_images"
BATCH = 16


def make_pictures(folder: Path, count: int) -> list[Path]:
    """JPEGs of 500×375, as the photos of ImageNet are large."""
    rng = random.Random(0)
    photos = [read_pil_image(path) for path in sorted(SAMPLES.glob("*.[jp][pn]g"))]
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
    photo = read_pil_image(path)
    return photo, to_pixels(photo, 224)


def bare(network: Network, paths: list[Path]) -> None:
    """Decode a batch, run the network on it, and so on."""
    with torch.no_grad():
        for start in range(0, len(paths), BATCH):
            network(torch.cat([read(path)[1] for path in paths[start : start + BATCH]]))


def stored(network: Network, paths: list[Path], home: Path) -> None:
    """What folder-wide commands do before they draw."""
    keys = [key for key in FileHashes(home).keys(paths) if key]
    place = FeatureStoreRoot(home)
    features = [pooled_feature(network, None, place, Preprocessing(224)), thumbnail_feature(place, "white")]
    build_index(dict(zip(keys, paths, strict=True)), features, read, batch=BATCH)
    for feature in features:
        feature.store.vectors(keys)


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


def rows(setting: Setting, pictures: int | None = None, name: str = "squeezenet1_1") -> list[Row]:
    """Ours against the bare loop, and what a second run takes; processor seconds, and the clock's beside."""
    pictures = pictures or (100 if setting.quick else 400)
    network = cnnviz.load_network(name, device=str(setting.device))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        paths = make_pictures(folder, pictures)
        fresh, full = homes(folder), folder / "full"
        stored(network, paths, full)
        runs: dict[str, Callable[[], None]] = {
            "bare": lambda: bare(network, paths),
            "store": lambda: stored(network, paths, next(fresh)),
            "again": lambda: stored(network, paths, full),
        }
        cpu, clock = _both_clocks(runs, setting.turns(3))
        size = sum(file.stat().st_size for file in full.rglob("*") if file.is_file())
    told = {"store": {"KiB per image": size / pictures / 1024}}
    cases = {"store": f"{pictures} photos, a first run", "again": f"{pictures} photos, the next run"}
    return [
        Row(
            case,
            cpu[run],
            peer=cpu["bare"],
            against="bare loop",
            more={"by the clock, s": clock[run], "bare, by the clock": clock["bare"], **told.get(run, {})},
        )
        for run, case in cases.items()
    ]


def _both_clocks(runs: dict[str, Callable[[], None]], rounds: int) -> tuple[dict[str, float], dict[str, float]]:
    """Median processor seconds and seconds by the clock of runs taken in turn."""
    walls: dict[str, list[float]] = {name: [] for name in runs}

    def measured(name: str) -> Callable[[], float]:
        def run() -> float:
            wall, cpu = clocks(runs[name])
            walls[name].append(wall)
            return cpu

        return run

    cpu = interleaved({name: measured(name) for name in runs}, rounds, warmups=0)
    return cpu, {name: median(values) for name, values in walls.items()}


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--pictures", type=int)
    options.add_argument("--network", default="squeezenet1_1")
    given = options.parse_args()
    chosen = setting(given)
    show(rows(chosen, given.pictures, given.network), chosen)


if __name__ == "__main__":
    main()
