"""Print the sum of everything that cnnviz's commands put out, to compare two states of the code on one machine.

    python tools/output_sums.py > new.txt
    python tools/output_sums.py --tree ../old-checkout > old.txt
    diff old.txt new.txt

For each command line: its exit code, what it says on standard error, each line of its standard output (of JSON without
times), and for each file it wrote the SHA-256 of its pixels, or of its content, and of the recipe it carries. All is
small and seeded. Numbers differ by rounding from machine to machine: compare sums of one machine only.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image, ImageSequence

ROOT = Path(__file__).parent.parent
SAMPLES = ROOT / "sample_images"

COMMANDS = """
classify cat.png -s 64 --json
classify photos -r -s 64 -k 3
classify cat.png coffee.png -w random --seed 3 --json
classify missing.png cat.png -s 64
classify -
saliency cat.png -s 96 -o out.png --json
saliency cat.png -s 64 --method smoothgrad --samples 4 --view overlay -o out.jpg
saliency cat.png -s 64 --method integrated --steps 6 --baseline white --view heat -o out.png --json
saliency cat.png -s 64 --method input-x-gradient --target lynx -o {stem}.{target}.png
saliency coffee.png -s 96 --grabcut -o out.png --json
saliency cat.png -s 64 --check -o out.png --json
saliency photos -r -s 64 --view raw -o out/ --jobs 2
saliency cat.png -s 64 -o cat.png
saliency cat.png --target nonsense
guided cat.png -s 96 -o out.png --json
guided cat.png -s 64 --method deconvnet --raw -o out.png
guided cat.png -s 64 --layer fire5 --channel 17 --at 2,3 -o out.png --json
gradcam cat.png -s 96 -o out.png --json
gradcam photos -r -s 64 --guided --view overlay -o out/
gradcam cat.png -s 96 --layer fire5 --target 130 --check -o out.png --json
occlusion cat.png -s 64 --stride 8 -o out.png --json
occlusion cat.png -s 64 --stride 16 --class-map --fill noise --score logit -o out.png --json
occlusion cat.png -s 64 --stride 4 --patch 8 --approximate --view heat -o out.png
compare cat.png -s 64 --methods saliency,gradcam,guided -o out.png --json
compare cat.png -s 64 -m squeezenet1_1 -m squeezenet1_0 -w random --methods saliency -o out.png --json
fool cat.png -s 64 -e 8 -o out.png --json
fool cat.png -s 64 --method iterative --target 130 --steps 5 --norm l2 -e 40 --raw -o out.png --json
fool cat.png -s 64 --method deepfool -o out.png --json
fool cat.png -s 64 --min-epsilon --jpeg 80 -o out.jpg --json
universal photos -r -s 64 --passes 2 --rate 1 -o out.png --json
universal photos -r -s 64 --passes 1 --rate 1 --method deepfool --norm l2 -e 500 -o out.safetensors --json
filters -o out.png --json
filters --layer fire2/expand3x3 --limit 6 --shared-scale -o out.png
activations cat.png -s 64 -l fire2 --top 9 -o out.png --json
activations cat.png -s 64 -l fire5 -c 3,5 -o out.png --json
patches photos -r -s 64 -l fire5 -c 3,5 -k 2 --store store -o out.png --json
patches photos -r -s 64 -l fire5 -c 3 -k 2 --guided --store store -o out.png
neighbors cat.png photos -r -s 64 --store store -k 2 -o out.png --json
embed photos -r -s 64 --method pca --store store -o out.png --json
embed photos -r -s 64 --method tsne --layout grid --perplexity 1.5 --store store -o out.html
embed-index photos -r -s 64 --store store --json
visualize --class flamingo --size 48 --steps 5 -o out.png --json
visualize --class 130 --method simonyan --size 48 --steps 4 --raw -o out.png
visualize --layer fire5 -c 3,7 --size 48 --steps 4 --gif -o out.png --json
visualize --layer fire5 -c 3 --facets 2 --from photos --size 48 --steps 4 -o out.png
dream cat.png -s 64 --steps 2 --octaves 2 -o out.png --json
dream cat.png -s 64 --layer fire5 --channel 3 --guide mosaic.png --steps 2 --octaves 2 -o out.png
dream cat.png -s 64 --zoom 3 --rotate 5 --steps 2 --octaves 2 -o out.gif --json
invert cat.png -s 64 --layer fire4,fire7 --steps 5 -o out.png --json
style cat.png mosaic.png -s 64 --steps 4 -o out.png --json
style cat.png mosaic.png -s 48 --steps 3 --scales 1 --optimizer adam --keep-color luminance -o out.png
style cat.png mosaic.png -s 48 --steps 3 --sweep style-weight=1,10 -o out.png
texture mosaic.png --sample-size 48 --steps 6 -o out.png --json
texture mosaic.png --sample-size 48 --method efros-leung --size 40 -o out.png
texture mosaic.png --sample-size 48 --steps 4 --seamless --size 64x48 -o out.png
fast-style list --json
fast-style apply cat.png -m mosaic -o out.png --json
fast-style apply photos -r -m ink --size 64 -o out/
fast-style train mosaic.png -c photos --steps 2 --batch 2 --crop 48 --style-size 64 --blocks 1 -o out.safetensors
layers --json
layers -m resnet18 -w random
models list --json
models path alexnet
info made.png
info made.png --command
info cat.png
doctor --json
report cat.png -s 64 --methods saliency,gradcam --layer fire2 --channels-per-layer 2 --top 2 -o out.html --json
help
help exit-codes
saliency --steps 1_000 cat.png
saliency cat.png --size 0
style cat.png
nonsense
""".strip().splitlines()
"""One or more of every command, of every kind of output, and of mistakes."""


def prepare(folder: Path, environment: dict[str, str]) -> None:
    """Write the input files that the commands name."""
    (folder / "photos/more").mkdir(parents=True)
    for name, source in (("cat", "chelsea.png"), ("coffee", "coffee.png"), ("mosaic", "mosaic.jpg")):
        with Image.open(SAMPLES / source) as photo:
            photo.convert("RGB").resize((150, 120)).save(folder / f"{name}.png")
    for name in ("astronaut.png", "rocket.jpg", "brick.png", "more/grass.png"):
        with Image.open(SAMPLES / Path(name).name) as photo:
            photo.convert("RGB").resize((120, 96)).save(folder / "photos" / name)
    run("guided cat.png -s 64 -o made.png", folder, environment)


def run(line: str, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
    """What a command line of cnnviz gives, run in ``folder``."""
    words = [sys.executable, "-m", "cnnviz", *shlex.split(line)]
    return subprocess.run(words, cwd=folder, env=environment, input=b"", capture_output=True, check=False)


def sums(line: str, folder: Path, environment: dict[str, str]) -> Iterator[str]:
    """Everything a command line puts out, a line each."""
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    done = run(line, folder, environment)
    yield f"$ cnnviz {line}"
    yield f"  exit {done.returncode}"
    for name, stream in (("stdout", done.stdout), ("stderr", done.stderr)):
        for text in stream.decode(errors="replace").splitlines():
            yield f"  {name}: {_without_times(text)}"
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if path.is_file() and inside.parts[0] != "store" and before.get(path) != path.stat().st_mtime_ns:
            yield f"  {inside.as_posix()}: {_sum_of(path)}"
    if "made" not in line:
        for path in folder.glob("out*"):
            _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        for inner in path.iterdir():
            _remove(inner)
        path.rmdir()
    else:
        path.unlink()


def _without_times(text: str) -> str:
    """A line of output without the seconds something took, and without versions and places."""
    try:
        return json.dumps(_timeless(json.loads(text)), sort_keys=True)
    except ValueError:
        return re.sub(r"\b[\d.]+ (s|min|MB|GiB)\b", "# \\1", text)


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(item) for key, item in value.items() if "seconds" not in key and key != "version"}
    return [_timeless(item) for item in value] if isinstance(value, list) else value


def _sum_of(path: Path) -> str:
    """SHA-256 of a file's pixels and recipe, or of its content where it is no image."""
    if path.suffix in {".png", ".jpg", ".gif", ".webp", ".tif"}:
        with Image.open(path) as image:
            frames = [frame.convert("RGBA").tobytes() for frame in ImageSequence.Iterator(image)]
            size = "x".join(map(str, image.size))
        return f"{size} {len(frames)} {hashlib.sha256(b''.join(frames)).hexdigest()[:20]}"
    data = path.read_bytes()
    if path.suffix == ".html":
        data = re.sub(rb"data:[a-z]+/[a-z0-9.+-]+;base64,[A-Za-z0-9+/=]+", b"data", data)
        data = re.sub(rb"\d+(\.\d+)? s\b", b"# s", data)
    return hashlib.sha256(data).hexdigest()[:20]


def main() -> None:
    """Run the command lines and print their sums."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tree", type=Path, default=ROOT, help="the checkout whose cnnviz is run")
    parser.add_argument("--only", default="", help="only command lines in which this regular expression is found")
    wanted = parser.parse_args()
    environment = {**os.environ, "PYTHONPATH": str(wanted.tree.resolve()), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment["XDG_CACHE_HOME"] = str(folder / "store/cache")
        environment["TORCH_HOME"] = str(folder / "store/torch")
        prepare(folder, environment)
        for line in COMMANDS:
            if re.search(wanted.only, line):
                for text in sums(line, folder, environment):
                    print(text.replace(name, "FOLDER").replace(str(wanted.tree.resolve()), "TREE"), flush=True)


if __name__ == "__main__":
    main()
