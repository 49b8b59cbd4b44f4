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
    options.add_argument("--json", type=Path, metavar="FILE", help="write the figures here, beside those there")
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
        record = Record.here(chosen.device) if given.keep else _started(given.json, chosen)
        code = _measure(given.names or list(TOPICS), chosen, record, record.path if given.keep else given.json)
        if given.keep and given.json:
            record.write(given.json)
    if given.write_docs:
        PAGE.write_text(page(), encoding="utf-8")
        print(PAGE)
    return code


def _started(path: Path | None, chosen: Setting) -> Record:
    """What is in the file already, if it is this machine's."""
    empty = Record(describe(chosen.device))
    there = Record.read(path) if path and path.exists() else empty
    return there if there.machine == empty.machine else empty


def _measure(names: list[str], chosen: Setting, record: Record, path: Path | None) -> int:
    """Take each benchmark's rows into the record, and print them all as one table at the end."""
    record.peaks = dict(measured_peaks(chosen.device))
    failed = []
    for name in names:
        print(f"{name} …", file=sys.stderr, flush=True)
        try:
            record.add(name, measure(name, chosen))
        except Exception:
            traceback.print_exc()
            failed.append(name)
            continue
        if path:
            record.write(path)
    done = [name for name in names if name not in failed]
    rows: list[Row] = [row for name in done for row in record.rows[name]]
    told = ", ".join(f"{name} {figure(value)}" for name, value in record.peaks.items())
    print(f"{record.machine}; GFLOP/s at best: {told}\n")
    if rows:
        print(table(rows, record.peaks, [name for name in done for _ in record.rows[name]]))
    if failed:
        print(f"Failed: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
