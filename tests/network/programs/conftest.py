"""A tiny classifier that is a program: standard library only, so that it starts at once."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

CLASSIFIER = '''"""The mean red, green and blue of PNG images (8-bit RGB, rows filtered with Up), as JSON lines.

After the frames: a file that counts calls, then the number of the first bad call, and what it does.
"""
import io, json, os, struct, subprocess, sys, time, zlib

NAMES = ["red", "green", "blue"]


def images(data):
    file = io.BytesIO(data)
    while file.read(8):
        found, pixels = None, b""
        while found != b"IEND":
            (length,), found = struct.unpack(">I", file.read(4)), file.read(4)
            chunk = file.read(length + 4)[:-4]
            if found == b"IHDR":
                width, height = struct.unpack(">II", chunk[:8])
            elif found == b"IDAT":
                pixels += chunk
        rows, row, sums = zlib.decompress(pixels), bytes(3 * width), [0, 0, 0]
        for start in range(0, len(rows), 3 * width + 1):
            assert rows[start] == 2
            row = bytes((a + b) % 256 for a, b in zip(row, rows[start + 1 : start + 1 + 3 * width]))
            sums = [total + sum(row[color::3]) for color, total in enumerate(sums)]
        yield [total / (255 * width * height) for total in sums]


place, counter, first_bad, mode = (*sys.argv[1:], "", "0", "good")[:4]
number = 1
if counter:
    with open(counter, "ab") as file:
        file.write(b".")
    number = os.path.getsize(counter)
bad = mode if number >= int(first_bad) else "good"
if place == "-":
    names, found = [], list(images(sys.stdin.buffer.read()))
else:
    names = sorted(os.listdir(place)) if os.path.isdir(place) else [os.path.basename(place)]
    folder = place if os.path.isdir(place) else os.path.dirname(place)
    found = [next(images(open(os.path.join(folder, name), "rb").read())) for name in names]
if bad == "fail":
    print("reading the weights", file=sys.stderr)
    print("\\x1b[31mno such camera", file=sys.stderr)
    sys.exit(1)
if bad in ("sleep", "orphan"):
    kept = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    with open(counter + ".pids", "a") as file:
        file.write(f"{os.getpid()} {kept.pid} ")
    if bad == "sleep":
        time.sleep(600)
lines = []
for place, values in enumerate(found):
    scores = dict(zip(NAMES, values))
    if bad == "nan":
        scores["green"] = float("nan")
    if bad == "labels":
        scores["violet"] = scores.pop("green")
    if bad == "top":
        scores.pop("green")
    lines.append(json.dumps({**({"input": names[place]} if names else {}), "scores": scores}))
if bad == "shuffle":
    lines.reverse()
if bad == "rows":
    lines.append(lines[-1])
text = "".join(line + "\\n" for line in lines)
sys.stdout.write(text[: len(text) // 2] if bad == "half" else text)
'''


@pytest.fixture(scope="session")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """The command line of a tiny classifier: ``classifier("{frames}", counter, 3, "fail")``."""
    script = tmp_path_factory.mktemp("program") / "mean_color.py"
    script.write_text(CLASSIFIER)

    def command(frames: str, counter: Path | str = "", first_bad: int = 0, mode: str = "good") -> str:
        return shlex.join([sys.executable, "-I", "-S", str(script), frames, str(counter), str(first_bad), mode])

    return command
