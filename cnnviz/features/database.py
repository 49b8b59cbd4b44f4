"""An SQLite file that is replaced by an empty one if it is damaged."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from cnnviz.errors import ImageError

Value = TypeVar("Value")

_LOCK_TIMEOUT = 60.0  # seconds to wait for another process that writes


class Database:
    """One SQLite file with a schema; safe for several processes at once.

    Every access goes through ``read`` or ``write``. If SQLite finds the file damaged, it is replaced by an empty one,
    ``on_rebuilt`` is called with its path, and the access is repeated: all it holds can be computed again.
    """

    def __init__(self, path: Path, schema: str, on_rebuilt: Callable[[Path], None] | None = None) -> None:
        self.path = path
        self._schema = schema
        self._on_rebuilt = on_rebuilt
        self._connection: sqlite3.Connection | None = None

    def read(self, action: Callable[[sqlite3.Connection], Value]) -> Value:
        """What ``action`` returns; it must not change anything."""
        return self._guarded(action)

    def write(self, action: Callable[[sqlite3.Connection], Value]) -> Value:
        """What ``action`` returns, run in a transaction that no other process writes in."""

        def alone(connection: sqlite3.Connection) -> Value:
            with _transaction(connection):
                return action(connection)

        return self._guarded(alone)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _guarded(self, action: Callable[[sqlite3.Connection], Value]) -> Value:
        try:
            return self._attempt(action)
        except sqlite3.DatabaseError:
            self._replace()
        try:
            return self._attempt(action)
        except sqlite3.DatabaseError as error:
            raise self._unusable(error) from error

    def _attempt(self, action: Callable[[sqlite3.Connection], Value]) -> Value:
        """Run ``action``; ImageError for errors that a new file would not mend: a full disk, a lock."""
        try:
            return action(self._open())
        except sqlite3.OperationalError as error:
            if _is_damage(error):
                raise sqlite3.DatabaseError(*error.args) from error
            raise self._unusable(error) from error
        except (UnicodeDecodeError, sqlite3.InterfaceError) as error:  # SQLite's own message quotes a damaged schema
            raise sqlite3.DatabaseError(str(error)) from error
        except OSError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: Exception) -> ImageError:
        why = error.strerror or str(error) if isinstance(error, OSError) else str(error)
        return ImageError(f"The feature store '{self.path}' cannot be used: {why}.")

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(self.path, timeout=_LOCK_TIMEOUT, isolation_level=None)
            self._connection.executescript(self._schema)
        return self._connection

    def _replace(self) -> None:
        self.close()
        try:
            for suffix in ("", "-journal", "-wal", "-shm"):
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        except OSError as error:
            raise self._unusable(error) from error
        if self._on_rebuilt:
            self._on_rebuilt(self.path)


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.rollback()
        raise
    connection.execute("COMMIT")


def _is_damage(error: sqlite3.OperationalError) -> bool:
    """Whether the error means a damaged file, rather than one that is locked, full or not accessible."""
    message = str(error).lower()
    return message.startswith(("no such table", "no such column", "table ", "could not decode")) or any(
        word in message for word in ("malformed", "view", "unsupported file format", "has no column")
    )
