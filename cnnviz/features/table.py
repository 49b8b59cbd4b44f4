"""Tables of results, as CSV or Parquet files."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

from cnnviz.errors import UsageError

Table = Mapping[str, Sequence[Any]]
"""Columns of one length, by their names."""


def require_pyarrow() -> None:
    """UsageError where Parquet cannot be written."""
    if not find_spec("pyarrow"):
        raise UsageError("Parquet needs pyarrow: pip install 'cnnviz[embed]'.", remedy="use_csv")


def csv_bytes(table: Table) -> bytes:
    """A table as a CSV file with a line of names; file names that are not text keep their bytes."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table)
    writer.writerows(zip(*table.values(), strict=True))
    return text.getvalue().encode("utf-8", "surrogateescape")


def parquet_bytes(table: Table) -> bytes:
    """A table as a Parquet file. UsageError without pyarrow."""
    require_pyarrow()
    import pyarrow
    import pyarrow.parquet

    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(dict(table)), buffer)
    return buffer.getvalue()
