"""Files that would run code when they are unpickled: refused in one sentence, and nothing runs.

Each trick is the pickle of one object, made by hand. It is tried alone, and wherever a checkpoint may hold an object:
beside the weights, in wrappers, in a namespace's state, as a key, in a tensor's place.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import pathlib
import pickle
import struct
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import cnnviz
from cnnviz.errors import ModelError
from cnnviz.network import inert
from cnnviz.network.weights import read_checkpoint


def text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return b"X" + struct.pack("<I", len(raw)) + raw


def tricks(command: str) -> dict[str, bytes]:
    """Pickles of one object, without the first two bytes and the last, that would run ``command`` in a shell."""
    said = text(command)
    code = text(f"__import__('os').system({command!r})")
    called = b"(" + said + b"t"
    return {
        "REDUCE": b"cposix\nsystem\n" + called + b"R",
        "REDUCE of os": b"cos\nsystem\n" + called + b"R",
        "eval": b"cbuiltins\neval\n(" + code + b"tR",
        "exec of Python 2": b"c__builtin__\neval\n(" + code + b"tR",
        "INST": b"(" + said + b"iposix\nsystem\n",
        "OBJ": b"(cposix\nsystem\n" + said + b"o",
        "NEWOBJ": b"csubprocess\nPopen\n(" + said + b"t\x81",
        "NEWOBJ_EX": b"cbuiltins\neval\n(" + code + b"tR)}\x92",
        "BUILD with setstate": b"cargparse\nNamespace\n)\x81}"
        + text("__setstate__")
        + b"cposix\nsystem\nsb"
        + said
        + b"b",
        "a namespace that is called": b"cargparse\nNamespace\ncposix\nsystem\n\x85R",
        "STACK_GLOBAL": text("posix") + text("system") + b"\x93" + called + b"R",
        "a dotted name": text("argparse") + text("_sys.modules") + b"\x93",
        "a dotted name of an allowed class": b"cargparse\nNamespace.__init__\n" + called + b"R",
        "an attribute": b"cbuiltins\ngetattr\n(cargparse\nNamespace\n" + text("__init__") + b"tR",
        "an import": b"cbuiltins\n__import__\n(" + text("os") + b"tR",
        "a module run": b"crunpy\n_run_code\n(" + code + b"}tR",
        "torch's own loader": b"ctorch.storage\n_load_from_bytes\n(" + text("x") + b"tR",
        "torch.load": b"ctorch.serialization\nload\n(" + said + b"tR",
        "torch.hub": b"ctorch.hub\nload\n(" + said + b"tR",
        "a compiled function": b"ctorch.jit\nCompilationUnit\n(" + code + b"tR",
        "a partial": b"cfunctools\npartial\n(cposix\nsystem\n" + said + b"tR)R",
        "a class made by copyreg": b"ccopyreg\n_reconstructor\n(csubprocess\nPopen\ncbuiltins\nobject\nNtR",
        "a map": b"cbuiltins\nmap\n(cposix\nsystem\n(" + said + b"lt\x81",
        "an extension": b"\x82\x01" + called + b"R",
        "a persistent identity": said + b"Q",
        "a persistent identity in text": b"P" + command.encode() + b"\n",
        "a persistent identity that is code": b"(" + text("module") + b"cposix\nsystem\n" + said + b"tQ",
        "a NumPy object": b"cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n("
        + text("O8")
        + b"\x89\x88tRcposix\nsystem\n"
        + said
        + b"\x85RtR",
        "a NumPy array of calls": b"cnumpy.core.multiarray\n_reconstruct\n(cposix\nsystem\n(K\0t"
        + said
        + b"tRcposix\nsystem\n"
        + said
        + b"\x85Rb",
        "a path that is opened": b"cpathlib\nPosixPath.touch\n(" + said + b"tR",
        "a default that is made": b"ccollections\ndefaultdict\n(cposix\nsystem\ntR"
        + said
        + b"Ns"
        + called
        + b"cposix\nsystem\nR0",
        "a counter of calls": b"ccollections\nCounter\n(cbuiltins\nmap\n(cposix\nsystem\n(" + said + b"lt\x81tR",
        "a whole module": b"ctorch.nn.modules.linear\nLinear\n)\x81}" + text("forward") + b"cposix\nsystem\nsb",
        "a hook of a tensor": b"ctorch._utils\n_rebuild_parameter_with_state\n(cposix\nsystem\n" + said + b"tR",
        "a tensor's class": b"ctorch._tensor\n_rebuild_from_type_v2\n(cposix\nsystem\ncbuiltins\nstr\n("
        + said
        + b"tNtR",
    }


PLACES: dict[str, Callable[[bytes], bytes]] = {
    "alone": lambda trick: trick,
    "in a checkpoint": lambda trick: b"}(" + text("state_dict") + b"}" + text("optimizer") + trick + b"u",
    "in wrappers": lambda trick: b"}" + text("model") + b"}" + text("net") + b"}" + text("a") + trick + b"sss",
    "in a namespace": lambda trick: (
        b"}"
        + text("args")
        + b"cargparse\nNamespace\n)\x81}"
        + text("lr")
        + b"cargparse\nNamespace\n)\x81}"
        + text("hook")
        + trick
        + b"sbsbs"
    ),
    "as a state": lambda trick: b"}" + text("args") + b"cargparse\nNamespace\n)\x81" + trick + b"bs",
    "as a path's part": lambda trick: b"}" + text("path") + b"cpathlib\nPosixPath\n(" + trick + b"tRs",
    "as a key": lambda trick: b"}" + trick + b"Ns",
}


def archive(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("archive/data.pkl", b"\x80\x02" + content + b".")
        file.writestr("archive/version", "3\n")
    return buffer.getvalue()


def legacy(content: bytes) -> bytes:
    head = [0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}]
    return b"".join(pickle.dumps(part, 2) for part in head) + b"\x80\x02" + content + b"." + pickle.dumps([], 2)


def plain(content: bytes) -> bytes:
    return b"\x80\x04" + content + b"."


@pytest.mark.parametrize("form", [archive, legacy, plain])
@pytest.mark.parametrize("trick", tricks(""))
def test_no_trick_runs_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trick: str, form: Callable):
    monkeypatch.chdir(tmp_path)
    pickled = tricks("touch ran")[trick]
    for place, put in PLACES.items():
        (tmp_path / "evil.pth").write_bytes(form(put(pickled)))
        for model in ("auto", "squeezenet1_1"):
            with pytest.raises(ModelError) as refused:
                cnnviz.load_network(model, weights=tmp_path / "evil.pth", device="cpu")
            message = str(refused.value)
            assert message.isprintable() and "evil.pth" in message, (place, message)
    assert [path.name for path in tmp_path.iterdir()] == ["evil.pth"]


@pytest.mark.needs("posix")
@pytest.mark.parametrize("trick", ["REDUCE", "eval", "INST", "OBJ", "NEWOBJ_EX", "BUILD with setstate"])
def test_the_tricks_would_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trick: str):
    """Python's own unpickler obeys them."""
    monkeypatch.chdir(tmp_path)
    with contextlib.suppress(Exception):
        pickle.loads(b"\x80\x04" + tricks("touch ran")[trick] + b".")
    for _ in range(100):
        if (tmp_path / "ran").exists():
            break
        time.sleep(0.05)
    assert (tmp_path / "ran").exists()


def test_a_refusal_names_what_would_have_run(tmp_path: Path):
    for trick, name in (("REDUCE", "posix.system"), ("NEWOBJ", "subprocess.Popen"), ("eval", "builtins.eval")):
        (tmp_path / "evil.pth").write_bytes(archive(tricks("touch ran")[trick]))
        with pytest.raises(ModelError, match=f"refused: it holds Python objects \\('{name}'\\)"):
            read_checkpoint(tmp_path / "evil.pth")


def test_a_whole_module_is_called_that(tmp_path: Path):
    torch.save(torch.nn.Sequential(torch.nn.Linear(2, 2)), tmp_path / "whole.pth")
    with pytest.raises(ModelError, match=r"it is a whole pickled module .*torch\.nn\.modules.*state_dict"):
        read_checkpoint(tmp_path / "whole.pth")


def test_what_is_let_in_is_let_in_while_a_file_is_read_only(tmp_path: Path):
    """And is nothing of argparse, NumPy or pathlib."""
    before = torch.serialization.get_safe_globals()
    state = {"fc.weight": torch.zeros(2, 2)}
    arguments = argparse.Namespace(out=pathlib.Path("a") / "b")
    torch.save({"state_dict": state, "args": arguments}, tmp_path / "w.pth")
    read_checkpoint(tmp_path / "w.pth")
    assert set(torch.serialization.get_safe_globals()) == set(before)
    for stand_in in set(inert.SAFE.values()):
        assert stand_in.__module__ in (inert.__name__, "collections")


def test_stand_ins_keep_what_is_plain(tmp_path: Path):
    import numpy as np

    from cnnviz.network import weights

    content = {
        "args": argparse.Namespace(lr=0.1, out=pathlib.PurePosixPath("runs/3"), best=np.float64(0.25)),
        "epoch": np.int32(7),
        "big": np.array(5, dtype=">i2")[()],
        "done": np.bool_(True),
        "none": np.str_("text"),
        "w": torch.zeros(2),
    }
    torch.save(content, tmp_path / "w.pth")
    found = weights._read_pickle(tmp_path / "w.pth", copy=True)
    assert vars(found["args"]) == {"lr": 0.1, "out": "runs/3", "best": 0.25}
    assert (found["epoch"], found["big"], found["done"], found["none"]) == (7, 5, True, None)
