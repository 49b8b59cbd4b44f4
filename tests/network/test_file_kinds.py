"""Files that are no weights of PyTorch, whatever they are called: each is named for what it is, with what to do."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from cnnviz.cli.hints import message_with_hint
from cnnviz.errors import ModelError
from cnnviz.network.weights import read_checkpoint

STATE = {"fc.weight": torch.ones(3, 2), "fc.bias": torch.ones(3)}


def saved(content: object, **options: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def zipped(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, b"{}")
    return buffer.getvalue()


def tarred(*names: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name))
    return buffer.getvalue()


def npz() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, a=np.ones(3))
    return buffer.getvalue()


def script() -> bytes:
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.rand(1, 2)), buffer)
    return buffer.getvalue()


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"

KINDS: dict[str, tuple[Callable[[], bytes], str]] = {
    "a Git-LFS pointer": (lambda: POINTER, "a Git-LFS pointer, not the file it stands for; 'git lfs pull'"),
    "a web page": (lambda: b"\n <!DOCTYPE html><html>Log in</html>", r"a web page \(HTML\)"),
    "a page without a type": (lambda: b"\xef\xbb\xbf<html><head>", r"a web page \(HTML\)"),
    "an error of a server": (lambda: b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "a web page"),
    "ONNX": (lambda: b"\x08\x08\x12\x07pytorch\x1a\x052.1.0", "an ONNX network"),
    "TensorFlow Lite": (lambda: b"\x1c\0\0\0TFL3" + bytes(50), "a TensorFlow Lite network"),
    "Keras in HDF5": (lambda: b"\x89HDF\r\n\x1a\n" + bytes(50), r"a Keras file \(HDF5\); convert"),
    "Keras": (lambda: zipped("metadata.json", "config.json", "model.weights.h5"), "a Keras network; convert"),
    "TorchScript": (script, r"a TorchScript program; .*state_dict\(\)"),
    "an exported program": (lambda: zipped("net/archive_format", "net/models/model.json"), "an exported program"),
    "an older exported program": (lambda: zipped("serialized_exported_program.json"), "an exported program"),
    "NumPy's arrays": (npz, "an archive of NumPy arrays"),
    "a zip archive": (lambda: zipped("run/readme", "run/best.pth"), "a zip archive that holds 'run/best.pth'; unpack"),
    "an empty zip archive": (zipped, "a zip archive; unpack it"),
    "a tar archive": (lambda: tarred("a.txt", "w.ckpt"), "a tar archive that holds 'w.ckpt'; unpack it"),
    "PyTorch 0.1": (lambda: tarred("storages", "tensors", "pickle"), r"from PyTorch 0\.1"),
    "gzip": (lambda: gzip.compress(saved(STATE)), r"compressed \(gzip\); unpack it first"),
    "an image": (lambda: b"\x89PNG\r\n\x1a\n" + bytes(20), "an image"),
    "JSON": (lambda: json.dumps({"architectures": ["ResNet"]}).encode(), "JSON, a text"),
    "an index of shards": (lambda: b'{"metadata": {}, "weight_map": {}}', "the index of a network in several files"),
    "GGUF": (lambda: b"GGUF" + bytes(20), "a GGUF file"),
    "nothing": (lambda: b"", "is empty"),
    "half a file": (lambda: saved({"a": torch.ones(999)})[:2000], "is truncated: .*2,000 bytes are here"),
    "half a safetensors file": (
        lambda: struct.pack("<Q", 60) + b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}     ' + bytes(9),
        "truncated or not a safetensors file",
    ),
    "a plain pickle": (lambda: pickle.dumps({"a": 1}), "a pickle that torch.save did not write"),
    "a pickle of NumPy arrays": (lambda: pickle.dumps({"a": np.ones(3)}), r"a pickle of .*numpy.* did not write"),
    "a text": (lambda: b"epoch 3, loss 0.5\n", "truncated, corrupt, or not a weights file"),
    "quantized weights": (
        lambda: saved({"fc.weight": torch.quantize_per_tensor(torch.ones(2, 2), 0.1, 0, torch.qint8)}),
        "quantized tensors; save those of the network before",
    ),
    "sparse weights": (lambda: saved({"fc.weight": torch.eye(3).to_sparse()}), r"sparse tensors; save them dense"),
    "weights without values": (lambda: saved({"fc.weight": torch.ones(2, device="meta")}), "tensors without values"),
}


@pytest.mark.filterwarnings("ignore:.*torch.jit", "ignore:.*quantiz")
@pytest.mark.parametrize("name", ["w.pth", "w.bin", "model"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_is_told_by_what_it_holds(tmp_path: Path, kind: str, name: str):
    make, message = KINDS[kind]
    (tmp_path / name).write_bytes(make())
    with pytest.raises(ModelError, match=message) as refused:
        read_checkpoint(tmp_path / name)
    assert str(refused.value).isprintable() and f"'{tmp_path / name}'" in str(refused.value)


@pytest.mark.parametrize("name", ["w.safetensors", "W.SAFETENSORS"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (saved(STATE), None),
        (POINTER, "Git-LFS"),
        (b"<html>", "web page"),
        (b"text of a sort", "not a safetensors file"),
    ],
)
def test_what_is_called_safetensors_need_not_be(tmp_path: Path, name: str, content: bytes, message: str | None):
    (tmp_path / name).write_bytes(content)
    if message is None:
        assert torch.equal(read_checkpoint(tmp_path / name).tensors["fc.bias"], STATE["fc.bias"])
        return
    with pytest.raises(ModelError, match=message):
        read_checkpoint(tmp_path / name)


def test_whole_networks_are_to_be_given_as_the_model(tmp_path: Path):
    for content, hint in ((b"\x08\x08\x12\x07pytorch", "Give it with -m."), (zipped("archive_format"), "--trust")):
        (tmp_path / "w").write_bytes(content)
        with pytest.raises(ModelError) as refused:
            read_checkpoint(tmp_path / "w")
        assert hint in message_with_hint(refused.value)


def test_folders_are_looked_into(tmp_path: Path):
    with pytest.raises(ModelError, match="is a folder, not a file"):
        read_checkpoint(tmp_path)
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(ModelError, match=r"It holds model\.safetensors: name one"):
        read_checkpoint(tmp_path)
    (tmp_path / "__0_0.distcp").touch()
    with pytest.raises(ModelError, match=r"a folder of a distributed checkpoint; .*dcp_to_torch_save"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_other_protocols_of_pickle(tmp_path: Path, protocol: int):
    (tmp_path / "w.pth").write_bytes(saved({"state_dict": STATE, "long": "x" * 300}, pickle_protocol=protocol))
    if protocol == 3:
        assert torch.equal(read_checkpoint(tmp_path / "w.pth").tensors["fc.bias"], STATE["fc.bias"])
        return
    with pytest.raises(ModelError, match=f"was saved with pickle protocol {protocol}, .*without pickle_protocol"):
        read_checkpoint(tmp_path / "w.pth")
