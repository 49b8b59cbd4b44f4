"""Measure ours beside the peers, and print one table.

Usage: python -m benchmarks [NAME…] [--device cuda] [--quick] [--json FILE] [--keep] [--write-docs]

Without names all are measured, which takes about an hour; ``--list`` names them. Peers are in the extra
``bench``: pip install 'cnnviz[bench]'. ``--keep`` puts the figures among those of ``benchmarks/results/``, in this
machine's file, and ``--write-docs`` writes docs/benchmarks.md from all of them (by itself it measures nothing).
A benchmark that fails is told of and the rest goes on; the exit code is 1 then.
"""

from __future__ import annotations

import sys
import traceback
from pathlib import Path

from benchmarks.page import PAGE, page
from benchmarks.peak import measured_peaks
from benchmarks.record import Record, describe
from benchmarks.row import Row
from benchmarks.running import Setting, parser, setting
from benchmarks.table import figure, table
from benchmarks.topics import TOPICS, measure


def main() -> int:
    """Measure, print, keep; the exit code."""
    options = parser(__doc__)
    options.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(TOPICS)}")
    options.add_argument("--list", action="store_true", help="name the benchmarks and leave")
    options.add_argument("--keep", action="store_true", help="the same in benchmarks/results/, in this machine's file")
    options.add_argument("--write-docs", action="store_true", help="write docs/benchmarks.md from benchmarks/results/")
    given = options.parse_args()
    unknown = [name for name in given.names if name not in TOPICS]
    if unknown:
        options.error(f"there is no benchmark '{unknown[0]}'; there are {', '.join(TOPICS)}")
    if given.list:
        print("\n".join(TOPICS))
        return 0
    code = 0
    if given.names or not given.write_docs:
        chosen = setting(given)
        empty = Record(describe(chosen.device), dict(measured_peaks(chosen.device)))
        files = [*([given.json] if given.json else []), *([empty.path] if given.keep else [])]
        code = _measure(given.names or list(TOPICS), chosen, empty, files)
    if given.write_docs:
        PAGE.write_text(page(), encoding="utf-8")
        print(PAGE)
    return code


def _measure(names: list[str], chosen: Setting, record: Record, files: list[Path]) -> int:
    """Take each benchmark's rows into the record and the files, and print them all as one table at the end."""
    failed = []
    for name in names:
        print(f"{name} …", file=sys.stderr, flush=True)
        try:
            record.add(name, measure(name, chosen))
        except Exception:
            traceback.print_exc()
            failed.append(name)
            continue
        for file in files:
            record.write_into(file)
    rows: list[Row] = [row for found in record.rows.values() for row in found]
    told = ", ".join(f"{name} {figure(value)}" for name, value in record.peaks.items())
    print(f"{record.machine}; GFLOP/s at best: {told}\n")
    if rows:
        print(table(rows, record.peaks, [name for name, found in record.rows.items() for _ in found]))
    if failed:
        print(f"Failed: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
