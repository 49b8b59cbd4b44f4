"""The mean red, green and blue of PNG images (8-bit RGB, rows filtered with Up), as JSON lines.

Standard library only, so that it starts at once. Arguments after the frames: a file that counts calls, the number of
the first bad call (negative: of the only one), and what it does.
"""

import io
import json
import os
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

NAMES = ["red", "green", "blue"]


def images(data):
    """The mean colors of PNG files that follow each other."""
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
            below = rows[start + 1 : start + 1 + 3 * width]
            row = bytes((a + b) % 256 for a, b in zip(row, below, strict=True))
            sums = [total + sum(row[color::3]) for color, total in enumerate(sums)]
        yield [total / (255 * width * height) for total in sums]


frames, counter, first_bad, mode = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
number = 1
if counter.name:
    with counter.open("ab") as file:
        file.write(b".")
    number = counter.stat().st_size
bad = mode if first_bad and (number == -first_bad or number >= first_bad > 0) else "good"
paths = [] if frames == "-" else sorted(Path(frames).iterdir()) if Path(frames).is_dir() else [Path(frames)]
found = list(images(b"".join(path.read_bytes() for path in paths) if paths else sys.stdin.buffer.read()))
if bad == "fail":
    print("reading the weights", file=sys.stderr)
    print("\x1b[31mno such camera", file=sys.stderr)
    sys.exit(1)
if bad in ("sleep", "orphan"):
    kept = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    with Path(f"{counter}.pids").open("a") as file:
        file.write(f"{os.getpid()} {kept.pid} ")
    if bad == "sleep":
        time.sleep(600)
lines = []
for place, values in enumerate(found):
    scores = dict(zip(NAMES, values, strict=True))
    if bad == "nan":
        scores["green"] = float("nan")
    if bad == "labels":
        scores["violet"] = scores.pop("green")
    if bad == "top":
        scores.pop("green")
    lines.append(json.dumps({**({"input": paths[place].name} if paths else {}), "scores": scores}))
if bad == "shuffle":
    lines.reverse()
if bad == "rows":
    lines.append(lines[-1])
text = "".join(line + "\n" for line in lines)
sys.stdout.write(text[: len(text) // 2] if bad == "half" else text)
