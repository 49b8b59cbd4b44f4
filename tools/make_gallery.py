"""Makes docs/gallery.md and its images: one command per image, embedded network, fixed seeds, on sample_images.

``python tools/make_gallery.py [NAME...]`` makes all of them, or those named, and writes the page.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
PAGE = ROOT / "docs" / "gallery.md"
_WIDEST = 1200  # pixels


@dataclass(frozen=True)
class Exhibit:
    """One image: its file's stem, what it shows, and the command that makes it (without network and output)."""

    name: str
    caption: str
    command: str

    @property
    def network(self) -> tuple[str, ...]:
        """The embedded network, for commands that take one."""
        return () if self.command.startswith("fast-style") else ("-m", "squeezenet1_1")


EXHIBITS = (
    Exhibit("saliency", "Which pixels decide the class of a photo", "saliency sample_images/chelsea.png"),
    Exhibit(
        "compare",
        "Seven methods side by side",
        "compare sample_images/chelsea.png "
        "--methods saliency,smoothgrad,integrated,guided,gradcam,guided-gradcam,occlusion",
    ),
    Exhibit("occlusion", "Where hiding a patch lowers the score", "occlusion sample_images/coffee.png"),
    Exhibit(
        "visualize",
        "What the network responds to: flamingo, tarantula, espresso, bell pepper",
        "visualize --target flamingo --target tarantula --target espresso --target 'bell pepper'",
    ),
    Exhibit("channels", "Sixteen channels of the fifth layer", "visualize --layer fire5 --channel 0-15"),
    Exhibit("dream", "DeepDream: eyes and faces", "dream sample_images/astronaut.png"),
    Exhibit("swirls", "DeepDream in a shallower layer", "dream sample_images/rocket.jpg --layer fire5"),
    Exhibit(
        "invert", "The same photo, reconstructed from deeper and deeper layers", "invert sample_images/chelsea.png"
    ),
    Exhibit(
        "starry", "A photo in the style of a painted sky", "style sample_images/rocket.jpg sample_images/starry.jpg"
    ),
    Exhibit("mosaic", "In the style of a mosaic", "style sample_images/chelsea.png sample_images/mosaic.jpg"),
    Exhibit("ink", "In the style of an ink drawing", "style sample_images/chelsea.png sample_images/ink.jpg"),
    Exhibit("sheet", "A photo in every built-in style", "fast-style sheet sample_images/astronaut.png"),
    Exhibit(
        "any",
        "In the style of an image, in one pass",
        "fast-style apply sample_images/chelsea.png --style sample_images/starry.jpg",
    ),
    Exhibit("brick", "More of the same wall", "texture sample_images/brick.png"),
    Exhibit(
        "fool",
        "Two images of a cat; one is classified as a flamingo",
        "fool sample_images/chelsea.png --target flamingo",
    ),
    Exhibit("filters", "The first layer's filters", "filters"),
    Exhibit(
        "neighbors",
        "The nearest images, by features and by pixels",
        "neighbors sample_images/brick.png sample_images -k 4",
    ),
)


def make(exhibit: Exhibit) -> None:
    """Run the command and keep its image, no wider than a page."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / f"{exhibit.name}.png"
        line = ["cnnviz", *shlex.split(exhibit.command), *exhibit.network, "-o", str(place)]
        print(shlex.join(line[:-2]), flush=True)
        subprocess.run(line, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        with Image.open(place) as image:
            shown = image.convert("RGB")
    shown.thumbnail((_WIDEST, _WIDEST))
    shown.save(IMAGES / f"gallery.{exhibit.name}.jpg", quality=85, optimize=True)


def page() -> str:
    """The gallery as Markdown."""
    head = (
        "# Gallery\n\n"
        "Each image was made by the command above it, with the embedded SqueezeNet 1.1 (`-m squeezenet1_1`) and the\n"
        "default seed, from the sample images; `tools/make_gallery.py` makes all of them again.\n"
    )
    shows = (
        f"\n## {e.caption}\n\n`cnnviz {e.command}`\n\n![{e.caption}](images/gallery.{e.name}.jpg)\n" for e in EXHIBITS
    )
    return head + "".join(shows)


def main() -> None:
    """Make the images named on the command line, or all, and the page."""
    wanted = set(sys.argv[1:])
    unknown = wanted - {exhibit.name for exhibit in EXHIBITS}
    if unknown:
        sys.exit(f"There is no exhibit {', '.join(sorted(unknown))}.")
    for exhibit in EXHIBITS:
        if not wanted or exhibit.name in wanted:
            make(exhibit)
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
