"""Write docs/networks.md: which techniques work on which networks, tried with random weights.

``python tools/make_network_table.py`` tries the networks that are not in the cache (``--cache``, JSON lines), or were
tried with other versions of torch, torchvision or timm, and writes the page; ``--only NAME`` tries one again;
``--page`` writes the page from the cache alone. It takes an hour or two on one processor; interrupted, it goes on where
it was.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import network_trials
from network_trials import TRIALS, WORKS

PAGE = Path(__file__).parents[1] / "docs" / "networks.md"
CACHE = Path(tempfile.gettempdir()) / "cnnviz-network-table.jsonl"
RETIRED = 1.5e9
"""A process that has held more bytes than these tries no further network."""

ALWAYS = ("classify", "saliency", "SmoothGrad", "integrated gradients", "occlusion", "fool")
"""The techniques that must work on every network."""

_HINT = "<!-- Written by tools/make_network_table.py, which tries each network: change it there. -->"
_HEAD = """# Networks

What works on which network: all that torchvision has for classification, and one small network of each of {families}
families of timm. Each was built with random weights and tried on
an image of the side given, in pixels: {side} where it takes any size. In the columns, ✓ is a technique that gave
numbers, finite and not all zero, and a number the [reason](#reasons) why it was refused.

*Traced* is how the layers were found: by `fx` (torch.fx), by `export` (torch.export) or by `hooks`, which see calls of
modules alone. Grad-CAM, activations and dream use the layers that cnnviz takes where none is named; `visualize` shows a
class. `fool` is the iterative method.

{versions}
"""
_OUTRO = "Networks of more than {millions} million parameters were tried in bfloat16."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--only", action="append", metavar="NAME", help="Try these, known or not.")
    parser.add_argument("--page", action="store_true", help="Try nothing.")
    parser.add_argument("--child", nargs="+", metavar="NAME", help=argparse.SUPPRESS)
    parser.add_argument("-o", "--output", type=Path, default=PAGE)
    options = parser.parse_args()
    if options.child:
        _print_rows(options.child)
        return
    if not options.page:
        current, known = network_trials.versions(), rows(options.cache)
        new = [name for name in network_trials.names() if known.get(name, {}).get("versions") != current]
        for row in tried(options.only or new):
            with options.cache.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            print(row["name"], row["seconds"], file=sys.stderr)
    options.output.write_text(page(rows(options.cache)), encoding="utf-8")
    print(options.output)


def rows(cache: Path) -> dict[str, dict[str, Any]]:
    """The rows of the cache by name; the last of several."""
    lines = cache.read_text(encoding="utf-8").splitlines() if cache.exists() else []
    return {row["name"]: row for row in map(json.loads, lines)}


def tried(names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The rows of networks, tried in processes of their own, each a few until it has held much memory."""
    waiting = list(names)
    while waiting:
        command = [sys.executable, __file__, "--child", *waiting]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            for line in child.stdout:
                row = json.loads(line)
                waiting.remove(row["name"])
                yield row
        if child.returncode:
            failed = waiting.pop(0)
            yield network_trials.ended(failed, child.returncode)


def _print_rows(names: Sequence[str]) -> None:
    for name in names:
        print(json.dumps(network_trials.measured(name)), flush=True)
        if network_trials.peak_memory() > RETIRED:
            return


def page(found: dict[str, dict[str, Any]]) -> str:
    """The page that shows these rows."""
    shown = [found[name] for name in network_trials.names() if name in found]
    reasons: dict[str, int] = {}
    for row in shown:
        for result in row["results"].values():
            if result != WORKS:
                reasons.setdefault(result, len(reasons) + 1)
    ours = [row for row in shown if not row["family"]]
    theirs = sorted((row for row in shown if row["family"]), key=lambda row: row["family"].lower())
    lines = [_HINT, _HEAD.format(families=len(theirs), side=network_trials.SIDE, versions=_versions(shown))]
    lines += ["## torchvision", "", *_table(ours, ("network",), reasons), ""]
    lines += ["## timm", "", *_table(theirs, ("family", "network"), reasons), ""]
    lines += [
        "## Reasons",
        "",
        *(f"{number}. {reason}" for reason, number in reasons.items()),
        "",
    ]
    lines.append(_OUTRO.format(millions=round(network_trials.HALVED / 1e6)))
    return "\n".join(lines) + "\n"


def _versions(shown: Sequence[dict[str, Any]]) -> str:
    """The sentence that says with which versions the rows were tried."""
    found = dict.fromkeys(row.get("versions", "versions not noted") for row in shown)
    return f"Made with {'; some rows with '.join(found)}."


def _table(shown: Sequence[dict[str, Any]], columns: Sequence[str], reasons: dict[str, int]) -> Iterator[str]:
    heads = [*columns, "side", "traced", *TRIALS]
    yield f"| {' | '.join(heads)} |"
    yield "|" + "---|" * len(columns) + "---:|---|" + ":-:|" * len(TRIALS)
    for row in shown:
        named = {"network": f"`{row['name']}`", "family": row["family"]}
        marks = ["✓" if row["results"][each] == WORKS else str(reasons[row["results"][each]]) for each in TRIALS]
        yield f"| {' | '.join([*(named[each] for each in columns), str(row['side']), row['traced'], *marks])} |"


if __name__ == "__main__":
    main()
