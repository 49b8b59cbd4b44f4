"""Checks a PyTorch weights file before it is loaded.

``torch.load(weights_only=True)`` runs no code of a file, but trusts it otherwise: it allocates storages larger than the
file, reads past the end of records, and builds tensors of types that crash later. Here the pickle is read with dummy
objects in place of all that it names, and each claimed size is compared with the file.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Sequence, Set
from pathlib import Path
from typing import Any, BinaryIO

from cnnviz.errors import ModelError, listed, shortened

LARGEST_PICKLE = 16 << 20
"""Bytes of a pickle or header beside the numbers themselves; a thousand tensors take some 0.2 MiB. One byte of it may
cost 64 of memory."""

_MAGIC = 0x1950A86A20F9469CFC6C
"""The number with which files of torch.save begin that are no archives."""

_NEWEST_PROTOCOL = 3  # of pickles, that PyTorch reads without running code

_DEEPEST_TUPLE = 100  # shapes are one deep; Python hashes tuples in tuples on the stack, without a limit

_BYTES = {"Double": 8, "Float": 4, "Half": 2, "BFloat16": 2, "Long": 8, "Int": 4, "Short": 2}
_BYTES |= {"ComplexDouble": 16, "ComplexFloat": 8, "QInt32": 4}
"""Of one element, by the storage's type; all others are of one byte or name their length in bytes."""

_KINDS = {
    "_rebuild_qtensor": "quantized tensors; save those of the network before it was quantized",
    "_rebuild_sparse_tensor": "sparse tensors; save them dense (tensor.to_dense())",
    "_rebuild_nested_tensor": "nested tensors, which no network takes",
    "_rebuild_meta_tensor_no_storage": "tensors without values, of the device 'meta'; save the network itself",
    "_rebuild_wrapper_subclass": "tensors of a class of their own; save plain ones (DTensor.full_tensor())",
}
"""Functions of ``torch._utils`` in a pickle -> what the file holds, and what to do."""


class _RefusedError(Exception):
    """Why a file is refused: the end of a sentence that begins with its name."""


def check_pickle(path: Path) -> frozenset[str]:
    """The classes and functions that a file names, as ``argparse.Namespace``.

    Raises ModelError, with what to do, where a file claims more than it holds, or holds unusable tensors: quantized,
    sparse and nested ones, and those without values. Nothing is unpickled, and memory is bounded by the size of the
    file.
    """
    try:
        return _check_archive(path) if zipfile.is_zipfile(path) else _check_legacy(path)
    except _RefusedError as error:
        raise ModelError(f"The weights file '{path}' {error}.") from error
    except Exception as error:  # an unpickler may raise anything on damaged files
        raise damaged(path) from error


def damaged(path: Path) -> ModelError:
    """The error for a file that cannot be read as weights."""
    return ModelError(f"The weights file '{path}' is truncated, corrupt, or not a weights file.")


def _check_archive(path: Path) -> frozenset[str]:
    with zipfile.ZipFile(path) as archive:
        records = {info.filename: info for info in archive.infolist()}
        if any(info.compress_type != zipfile.ZIP_STORED for info in records.values()):
            raise _RefusedError("is a compressed archive, which PyTorch never writes; save the weights again")
        if len(records) < len(archive.infolist()):
            raise _RefusedError("holds two records of one name: it is corrupt")
        name = next(name for name in records if name.endswith("/data.pkl") or name == "data.pkl")
        _check_length(records[name].file_size)
        content = archive.read(name)
    claims = _CheckingUnpickler(io.BytesIO(content))
    claims.load()
    if content[:1] == pickle.PROTO and content[1] > _NEWEST_PROTOCOL:
        raise _RefusedError(
            f"was saved with pickle protocol {content[1]}, which PyTorch loads only together with code; save it again "
            "without pickle_protocol"
        )
    folder = name.removesuffix("data.pkl")
    for key, claimed in claims.storages.items():
        if claimed > records[f"{folder}data/{key}"].file_size:
            raise _too_much(claimed, records[f"{folder}data/{key}"].file_size)
    return frozenset(claims.names)


def _check_legacy(path: Path) -> frozenset[str]:
    """Check a file from before PyTorch 1.6: three pickles of metadata, the content, the storages' keys and bytes."""
    size = path.stat().st_size
    with path.open("rb") as file:
        bounded = _BoundedFile(file)
        first = _CheckingUnpickler(bounded)
        if first.load() != _MAGIC:
            raise _RefusedError(
                f"was refused: it is a pickle{_of(first.names)} that torch.save did not write, and loading it could "
                "run code; save the tensors with torch.save(model.state_dict(), FILE), or use safetensors"
            )
        for _ in range(2):
            _CheckingUnpickler(bounded).load()
        claims = _CheckingUnpickler(bounded)
        claims.load()
    claimed = sum(claims.storages.values())
    if claimed > size:
        raise _too_much(claimed, size)
    return frozenset(claims.names)


def _of(names: Set[str]) -> str:
    shown = [f"'{shortened(name)}'" for name in sorted(names)[:2]]
    return f" of {listed(shown)}" if shown else ""


def _check_length(length: int) -> None:
    if length > LARGEST_PICKLE:
        raise _RefusedError(
            f"holds {length:,} bytes beside its tensors, where {LARGEST_PICKLE:,} are the most; "
            "save only the tensors: torch.save(model.state_dict(), FILE)"
        )


def _too_much(claimed: int, held: int) -> _RefusedError:
    return _RefusedError(f"claims {claimed:,} bytes of numbers where it holds {held:,}: it is truncated or corrupt")


class _BoundedFile:
    """A file from which at most ``LARGEST_PICKLE`` bytes are read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, count: int) -> bytes:
        _check_length(self._file.tell() + count)
        return self._file.read(count)

    def readline(self) -> bytes:
        line = self._file.readline(LARGEST_PICKLE)
        _check_length(self._file.tell())
        return line


class _Tuple(tuple):
    """A tuple with its depth of nesting."""

    depth: int


class _CheckingUnpickler(pickle._Unpickler):  # the unpickler in C would allocate as many objects as a file claims
    """Unpickles with dummy objects; collects the claimed bytes of each storage, and the names of what would be made."""

    dispatch = dict(pickle._Unpickler.dispatch)  # noqa: RUF012 (as the base class has it)

    def __init__(self, file: Any) -> None:
        super().__init__(file)
        self.storages: dict[str, int] = {}
        self.names: set[str] = set()

    def find_class(self, module: str, name: str) -> Any:
        self.names.add(f"{module}.{name}")
        return type(f"{module}.{name}", (_Dummy,), {})

    def persistent_load(self, identity: Sequence[Any]) -> int:
        """The number of elements of a storage, in place of the storage."""
        kind, key, count = identity[1].__name__, identity[2], identity[4]
        if type(count) is not int or count < 0:
            raise ValueError("a storage of no length")
        width = _BYTES.get(kind.removeprefix("torch.").removesuffix("Storage"), 1)
        self.storages[key] = max(self.storages.get(key, 0), count * width)
        return count


def _with_depth(opcode: int) -> Any:
    load: Any = pickle._Unpickler.dispatch[opcode]

    def measure(self: Any) -> None:
        load(self)
        made = _Tuple(self.stack[-1])
        made.depth = 1 + max((part.depth for part in made if isinstance(part, _Tuple)), default=0)
        if made.depth > _DEEPEST_TUPLE:
            raise ValueError("tuples in tuples")
        self.stack[-1] = made

    return measure


for _opcode in (pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3):
    _CheckingUnpickler.dispatch[_opcode[0]] = _with_depth(_opcode[0])
del _CheckingUnpickler.dispatch[pickle.FROZENSET[0]]  # which torch does not know either


class _Dummy:
    """In place of anything that a pickle names: it can be called, filled and changed, and does nothing.

    Only calls that would make a tensor are checked: its type, and whether it lies within its storage.
    """

    def __new__(cls, *arguments: Any) -> _Dummy:
        module, _, name = cls.__name__.rpartition(".")
        if name in _KINDS:
            raise _RefusedError(f"holds {_KINDS[name]}")
        if name == "bytearray" or (module.startswith("torch") and name.endswith(("Tensor", "Storage"))):
            raise _RefusedError("makes objects that are no weights: it is corrupt")
        if name in ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3"):
            _check_extent(*arguments[:4])
        return super().__new__(cls)

    def __init__(self, *arguments: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def append(self, value: Any) -> None:
        pass


def _check_extent(count: int, offset: int, size: Sequence[int], stride: Sequence[int]) -> None:
    """Raise ValueError if a tensor of this size and stride does not lie within ``count`` elements."""
    if min((offset, *size, *stride)) < 0 or len(size) != len(stride):
        raise ValueError("a tensor that lies before its storage")
    last = offset + sum((side - 1) * step for side, step in zip(size, stride, strict=True))
    if 0 not in size and last >= count:
        raise ValueError("a tensor that goes on behind its storage")
