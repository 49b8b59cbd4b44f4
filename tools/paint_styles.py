"""Paint the three style pictures of ``sample_images/``: starry.jpg, mosaic.jpg and ink.jpg.

    python tools/paint_styles.py [-o FOLDER] [--size PIXELS]

Each picture is a small program: a composition in the unit square (x to the right, y down), then the marks of
one craft laid over it. ``starry`` lays curved brush strokes along a flow and lights the relief of the paint;
``mosaic`` sets tesserae in rows along the outlines of shapes; ``ink`` hatches with a pen, in more directions
where it is darker. The random numbers are seeded: the same size gives the same picture.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from painting.ink import ink
from painting.mosaic import mosaic
from painting.shared import Array
from painting.starry import starry
from PIL import Image

SMALLEST = 64  # pixels: below that a mark is finer than a pixel
STYLES: dict[str, Callable[[int], Array]] = {"starry": starry, "mosaic": mosaic, "ink": ink}


def save(picture: Array, path: Path) -> None:
    Image.fromarray(picture).save(path, quality=88, optimize=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Paint the style pictures of sample_images/.")
    parser.add_argument("-o", "--output", type=Path, default=Path("sample_images"), help="folder (%(default)s)")
    parser.add_argument("--size", type=int, default=768, help="side in pixels (%(default)s)")
    options = parser.parse_args(arguments)
    if options.size < SMALLEST:
        parser.error(f"--size must be at least {SMALLEST}")
    options.output.mkdir(parents=True, exist_ok=True)
    for name, paint in STYLES.items():
        path = options.output / f"{name}.jpg"
        save(paint(options.size), path)
        print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
