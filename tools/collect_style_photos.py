"""Collect the photos that the built-in styles are trained on, from freely licensed packages, as JPEG files.

    python tools/collect_style_photos.py FOLDER [--unpacked FOLDER]

The Debian packages of ``PACKAGES`` are downloaded with ``apt-get download`` and unpacked by ``dpkg-deb`` (no root is
needed, and nothing is installed); others stand in Python packages (``pip install scikit-image matplotlib``). Their
copyright files name author and licence of each photo, NOTICE sums them up. Photos are reduced to ``SIDE`` pixels. What
the styles are judged by, china.jpg and flower.jpg of scikit-learn and astronaut.png, chelsea.png and coffee.png of
scikit-image, is not among them.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

from PIL import Image

SIDE = 640  # pixels, the shorter side: two and a half crops
LEAST_BYTES, LEAST_SIDE = 15_000, 200  # of a photo inside a resource file: smaller ones are icons

PACKAGES = ("gcompris-qt-data", "mate-backgrounds", "lomiri-wallpapers-16.04", "lomiri-wallpapers-20.04")
RESOURCES = {
    "gcompris-qt-data": (
        "explore_monuments",
        "explore_world_animals",
        "explore_farm_animals",
        "explore_world_music",
        "categorization",
    ),
}
"""Qt resource files, whose members are found by their signatures."""
FILES = {
    "mate-backgrounds": ("mate/nature/*.jpg",),
    "lomiri-wallpapers-16.04": ("*_by_*.jpg",),
    "lomiri-wallpapers-20.04": ("Kleiber_*.jpg",),
}
"""Patterns below usr/share/backgrounds/."""
LEFT_OUT = ("analogpattern", "umang")  # drawn, not photographed
CARRIED = {
    "skimage": ("data/camera.png", "data/rocket.jpg"),
    "matplotlib": ("mpl-data/sample_data/grace_hopper.jpg",),
}
SIGNATURES = (b"\xff\xd8\xff", b"RIFF", b"\x89PNG\r\n")


def unpack(folder: Path) -> None:
    """Download and unpack the packages, each into a folder of its name."""
    for package in PACKAGES:
        if not (folder / package).exists():
            subprocess.run(["apt-get", "download", package], cwd=folder, check=True)
            (archive,) = folder.glob(f"{package}_*.deb")
            subprocess.run(["dpkg-deb", "-x", archive, folder / package], check=True)


def members(content: bytes) -> Iterator[bytes]:
    """The images in a Qt resource file: each stands uncompressed behind its length, 4 bytes, the highest first."""
    starts = []
    for signature in SIGNATURES:
        at = content.find(signature)
        while at >= 0:
            starts.append(at)
            at = content.find(signature, at + 1)
    for start in sorted(starts):
        length = int.from_bytes(content[start - 4 : start], "big")
        if LEAST_BYTES <= length <= len(content) - start:
            yield content[start : start + length]


def photos(folder: Path) -> Iterator[tuple[str, Image.Image]]:
    """Name and image of each photo."""
    for package, names in RESOURCES.items():
        for name in names:
            (file,) = (folder / package).rglob(f"{name}.rcc")
            for number, content in enumerate(members(file.read_bytes())):
                try:
                    image = Image.open(BytesIO(content))
                    image.load()
                except (OSError, SyntaxError):
                    continue  # bytes that only look like an image
                if min(image.size) >= LEAST_SIDE:
                    yield f"{name}-{number:03d}", image
    found = [
        path
        for package, patterns in FILES.items()
        for pattern in patterns
        for path in sorted((folder / package / "usr/share/backgrounds").glob(pattern))
    ]
    for package, names in CARRIED.items():
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            raise SystemExit(f"pip install {package}: some photos come with it")
        found += [Path(spec.origin).parent / name for name in names]
    for path in found:
        if not path.stem.startswith(LEFT_OUT):
            yield path.stem, Image.open(path)


def save(image: Image.Image, path: Path) -> None:
    image = image.convert("RGB")
    factor = min(1.0, SIDE / min(image.size))
    image.resize((round(image.width * factor), round(image.height * factor))).save(path, quality=95)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Collect freely licensed photos to train styles on.")
    parser.add_argument("folder", type=Path, help="for the photos")
    parser.add_argument("--unpacked", type=Path, help="where packages are kept (a temporary folder)")
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        unpacked = options.unpacked or Path(temporary)
        unpacked.mkdir(parents=True, exist_ok=True)
        unpack(unpacked)
        for name, image in photos(unpacked):
            save(image, options.folder / f"{name}.jpg")
    print(f"{options.folder}: {len(list(options.folder.glob('*.jpg')))} photos")


if __name__ == "__main__":
    main()
