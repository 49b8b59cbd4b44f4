"""Weights files that claim more than they hold, or hold no weights: refused in one sentence, and no code run."""

from __future__ import annotations

import io
import json
import pickle
import struct
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

import cnnviz
from cnnviz.errors import MemoryShortError, ModelError
from cnnviz.network import architecture, catalogue_weights

STATE = architecture.build_random("lenet5", 5, 0).state_dict()
CLASSIFIER = "classifier.fc5.weight"
BIAS = "classifier.fc5.bias"


def saved(content: object, **options) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def changed(**tensors: torch.Tensor) -> bytes:
    return saved({**STATE, **{name.replace("__", "."): tensor for name, tensor in tensors.items()}})


def classifier(weight: torch.Tensor, bias: torch.Tensor | None = None, **options) -> bytes:
    return saved({**STATE, CLASSIFIER: weight, BIAS: STATE[BIAS] if bias is None else bias}, **options)


def expanded(classes: int, **options) -> bytes:
    """A classifier of many classes in a file of a few kilobytes."""
    return classifier(torch.ones(1, 1).expand(classes, 84), torch.ones(1).expand(classes), **options)


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def integer(value: int) -> bytes:
    return b"\x8a\x10" + value.to_bytes(16, "little", signed=True)


def numbers(*values: int) -> bytes:
    return b"(" + b"".join(map(integer, values)) + b"t"


def tensor(count: int, offset: int, size: tuple[int, ...], stride: tuple[int, ...], legacy: bytes = b"") -> bytes:
    """The pickle of one tensor over a storage ``0`` that is said to have ``count`` floats."""
    storage = (
        b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + integer(count) + legacy + b"tQ"
    )
    shape = integer(offset) + numbers(*size) + numbers(*stride) + b"\x89ccollections\nOrderedDict\n)R"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + shape + b"tR"


def archive(content: bytes, numbers_held: int = 16, how: int = zipfile.ZIP_STORED) -> bytes:
    """A file as torch.save writes it, around a pickle (without its first two bytes and its last) made by hand."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", how) as file:
        file.writestr("archive/data.pkl", b"\x80\x02" + content + b".")
        file.writestr("archive/version", "3\n")
        file.writestr("archive/data/0", bytes(4 * numbers_held))
    return buffer.getvalue()


def claiming(*arguments: object) -> bytes:
    return archive(b"}" + text("a") + tensor(*arguments) + b"s")  # type: ignore[arg-type]


def legacy(content: bytes) -> bytes:
    """The same in the format before PyTorch 1.6, with 16 floats."""
    head = [0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}]
    held = pickle.dumps(["0"], 2) + struct.pack("<q", 16) + bytes(64)
    return b"".join(pickle.dumps(part, 2) for part in head) + b"\x80\x02" + content + b"." + held


def safe(header: object, held: bytes = b"") -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + held


def nested(key: str, depth: int) -> bytes:
    return (b"}" + text(key)) * depth + b"}" + b"s" * depth


def one_tensor(**facts: object) -> bytes:
    return safe({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16], **facts}}, bytes(16))


def quantized() -> torch.Tensor:
    return torch.quantize_per_tensor(STATE[CLASSIFIER], 0.1, 0, torch.qint8)


def whole_numbers(kind: torch.dtype) -> dict[str, torch.Tensor]:
    return {name: tensor.to(kind) for name, tensor in STATE.items()}


PICKLES: dict[str, tuple[Callable[[], bytes], str]] = {
    "a million classes": (lambda: expanded(10**6), r"'classifier.fc5.weight' is of 84,000,000 numbers, more than"),
    "a billion classes": (lambda: expanded(10**9), "more than the file has room for"),
    "a million classes, old format": (
        lambda: expanded(10**6, _use_new_zipfile_serialization=False),
        "more than the file has room for",
    ),
    "a huge tensor that no network asks for": (lambda: changed(other=torch.ones(1).expand(10**13)), "'other' is of"),
    "a billion channels": (
        lambda: changed(features__conv1__weight=torch.ones(1, 1, 1, 1).expand(6, 10**9, 5, 5)),
        "more than the file has room for",
    ),
    "no classes": (lambda: classifier(torch.ones(0, 84), torch.ones(0)), "no classifier"),
    "a number for a classifier": (lambda: classifier(torch.tensor(1.0)), "no classifier"),
    "no channels": (lambda: changed(features__conv1__weight=torch.ones(6, 0, 5, 5)), "other shapes"),
    "meta": (lambda: saved({name: t.to("meta") for name, t in STATE.items()}), "without values"),
    "quantized": (lambda: classifier(quantized()), "quantized"),
    "sparse": (lambda: classifier(STATE[CLASSIFIER].to_sparse()), "sparse"),
    "sparse rows": (lambda: classifier(STATE[CLASSIFIER].to_sparse_csr()), "sparse"),
    "nested": (lambda: classifier(torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])), "nested"),
    "int8": (
        lambda: saved(whole_numbers(torch.int8)),
        "'features.conv1.weight' as int8, where the network needs floats",
    ),
    "bool": (lambda: saved(whole_numbers(torch.bool)), "as bool"),
    "complex": (lambda: saved(whole_numbers(torch.complex64)), "as complex64"),
    "a record shorter than claimed": (
        lambda: claiming(10**9, 0, (10**9,), (1,)),
        "claims 4,000,000,000 bytes .* holds 64",
    ),
    "a record a little shorter": (lambda: claiming(17, 0, (17,), (1,)), "claims 68 bytes"),
    "more than there is memory": (
        lambda: claiming(10**18, 0, (10**18,), (1,)),
        "claims 4,000,000,000,000,000,000 bytes",
    ),
    "a negative storage": (lambda: claiming(-16, 0, (16,), (1,)), "corrupt"),
    "a tensor behind its storage": (lambda: claiming(16, 0, (10**9,), (1,)), "corrupt"),
    "a tensor before its storage": (lambda: claiming(16, -4, (4,), (1,)), "corrupt"),
    "a backward tensor": (lambda: claiming(16, 0, (4,), (-1,)), "corrupt"),
    "a negative size": (lambda: claiming(16, 0, (-4,), (1,)), "corrupt"),
    "old format, more than it holds": (
        lambda: legacy(b"}" + text("a") + tensor(10**9, 0, (10**9,), (1,), b"N") + b"s"),
        "claims 4,000,000,000 bytes",
    ),
    "old format, a tensor behind its storage": (
        lambda: legacy(b"}" + text("a") + tensor(16, 0, (10**9,), (1,), b"N") + b"s"),
        "corrupt",
    ),
    "dicts in dicts": (lambda: archive(nested("model", 20_000)), "no state_dict"),
    "dicts in dicts, old format": (lambda: legacy(nested("net", 20_000)), "corrupt"),
    "a dict in itself": (lambda: archive(b"}q\0" + text("model") + b"h\0s"), "no state_dict"),
    "tuples in tuples": (lambda: archive(b"})" + b"\x85" * 10**6 + b"Ns"), "corrupt"),
    "lists in lists": (lambda: archive(b"]" * 20_000 + b"a" * 19_999), "no state_dict"),
    "20 MB of lists": (lambda: archive(b"(" + b"]" * 20_000_000 + b"l"), "20,000,005 bytes beside its tensors"),
    "a compressed bomb": (
        lambda: archive(b"(" + b"]" * 20_000_000 + b"l", how=zipfile.ZIP_DEFLATED),
        "compressed archive",
    ),
    "a bytearray": (lambda: archive(b"cbuiltins\nbytearray\n(" + integer(10**11) + b"tR"), "no weights"),
    "a tensor made by its size": (lambda: archive(b"ctorch\nFloatTensor\n(" + integer(10**10) + b"tR"), "no weights"),
    "a text too long": (lambda: archive(b"X\xff\xff\xff\xff"), "corrupt"),
}

SAFE: dict[str, tuple[Callable[[], bytes], str]] = {
    "deep": (lambda: safe(b'{"a":' * 10**5 + b"1" + b"}" * 10**5), "not a safetensors file"),
    "a header of 20 MB": (lambda: safe(b"{" + b" " * 20_000_000 + b"}"), "a header of 20,000,002 bytes"),
    "a header longer than the file": (lambda: struct.pack("<Q", 10**18) + b"{}", "not a safetensors file"),
    "more than it holds": (lambda: one_tensor(shape=[10**15], data_offsets=[0, 4 * 10**15]), "not a safetensors file"),
    "an unknown type": (lambda: one_tensor(dtype="Q7"), "not a safetensors file"),
    "a type torch lacks": (lambda: one_tensor(dtype="F6_E2M3", shape=[16], data_offsets=[0, 12]), "not a safetensors"),
    "a negative shape": (lambda: one_tensor(shape=[-4]), "not a safetensors file"),
    "uint8": (lambda: save(whole_numbers(torch.uint8)), "as uint8"),
    "no classes": (lambda: save({**STATE, CLASSIFIER: torch.ones(0, 84), BIAS: torch.ones(0)}), "no classifier"),
}


def refusal(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        cnnviz.load_network("lenet5", weights=path, device="cpu")
    message = str(caught.value)
    assert message.isprintable() and len(message) < 500 + 2 * len(str(path)), message
    return message


@pytest.mark.filterwarnings("ignore:.*quantiz", "ignore:Sparse CSR", "ignore:.*nested")
@pytest.mark.parametrize("kind", PICKLES)
def test_a_pickle_is_refused_before_it_takes_memory(tmp_path: Path, kind: str):
    make, message = PICKLES[kind]
    (tmp_path / "w.pth").write_bytes(make())
    with pytest.raises(ModelError, match=message):
        cnnviz.load_network("lenet5", weights=tmp_path / "w.pth", device="cpu")
    refusal(tmp_path / "w.pth")


@pytest.mark.parametrize("kind", SAFE)
def test_safetensors_are_refused(tmp_path: Path, kind: str):
    make, message = SAFE[kind]
    (tmp_path / "w.safetensors").write_bytes(make())
    with pytest.raises(ModelError, match=message):
        cnnviz.load_network("lenet5", weights=tmp_path / "w.safetensors", device="cpu")
    refusal(tmp_path / "w.safetensors")


@pytest.mark.parametrize("kind", ["pth", "old.pth", "safetensors"])
def test_a_cut_or_altered_file_is_whole_or_refused(tmp_path: Path, kind: str):
    whole = {
        "pth": lambda: saved(STATE),
        "old.pth": lambda: saved(STATE, _use_new_zipfile_serialization=False),
        "safetensors": lambda: save(STATE),
    }[kind]()
    path = tmp_path / f"w.{kind}"
    for cut in range(1, len(whole), len(whole) // 25):
        path.write_bytes(whole[:cut])
        refusal(path)
    for place in range(0, 4_000, 97):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        try:
            cnnviz.load_network("lenet5", weights=path, device="cpu")
        except ModelError as error:
            assert str(error).isprintable()


def test_names_from_a_file_cannot_garble_the_terminal(tmp_path: Path):
    odd = {"\x1b[31mred\x1b]0;title\x07\n": torch.ones(1), "x" * 10**6: torch.ones(1), (1, 2): torch.ones(1)}
    torch.save({**STATE, **odd}, tmp_path / "w.pth")
    message = refusal(tmp_path / "w.pth")
    assert r"\x1b[31mred" in message
    assert "has unknown 3 tensors" in message


@pytest.mark.parametrize("kind", ["float64", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_every_kind_of_float_is_read(tmp_path: Path, kind: str):
    state = {name: tensor.to(getattr(torch, kind)) for name, tensor in STATE.items()}
    torch.save(state, tmp_path / "w.pth")
    network = cnnviz.load_network("lenet5", weights=tmp_path / "w.pth", device="cpu")
    assert torch.equal(network.module.classifier.fc5.weight, state[CLASSIFIER].float())


def test_what_is_unusual_but_sound_is_read(tmp_path: Path):
    """Parameters, parts of a larger storage, other strides, small expanded tensors, and a pickle's odd company."""
    room = torch.randn(100_000)
    state = {name: room[: t.numel()].view_as(t) for name, t in STATE.items()}
    state[BIAS] = torch.ones(1).expand(5)
    first = next(iter(state))
    state[first] = torch.nn.Parameter(state[first].contiguous(memory_format=torch.channels_last))
    extra = {"epoch": 3, "seed": 2**40, "history": [[0.5, (1, 2)]], "done": {1, 2}, "device": torch.device("cpu")}
    for options in ({}, {"_use_new_zipfile_serialization": False}):
        torch.save({"state_dict": state, **extra}, tmp_path / "w.pth", **options)
        network = cnnviz.load_network("lenet5", weights=tmp_path / "w.pth", device="cpu")
        assert torch.equal(network.module.classifier.fc5.weight, state[CLASSIFIER])


@pytest.mark.parametrize("kind", ["pth", "safetensors"])
def test_a_file_that_is_written_over_leaves_the_network_as_it_was(tmp_path: Path, kind: str):
    path = tmp_path / f"w.{kind}"
    path.write_bytes(saved(STATE) if kind == "pth" else save(STATE))
    network = cnnviz.load_network("lenet5", weights=path, device="cpu")
    with path.open("r+b") as file:  # as torch.save does it: in place
        file.write(bytes(path.stat().st_size))
    assert torch.equal(network.module.classifier.fc5.weight, STATE[CLASSIFIER])


@pytest.mark.skipif(sys.platform == "win32", reason="a mapped file cannot be written over there")
def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "w.pth"
    torch.save(STATE, path)
    load = torch.load

    def load_and_write(*arguments, **options):
        found = load(*arguments, **options)
        torch.save({**STATE, "epoch": torch.ones(1)}, path)
        return found

    monkeypatch.setattr(torch, "load", load_and_write)
    assert "changed while it was read" in refusal(path)


def test_more_classes_than_memory_holds_is_said_before_they_are_made(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(catalogue_weights, "available_memory", lambda device: 10**9)
    labels = [str(number) for number in range(10**6)]
    with pytest.raises(MemoryShortError, match=r"1,000,000 classes has 1\.9 GiB of weights, and 0\.9 GiB are free"):
        cnnviz.load_network("squeezenet1_1", weights="random", labels=labels)


def test_memory_that_ends_while_weights_are_read_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    torch.save(STATE, tmp_path / "w.pth")

    def load(*arguments, **options):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes.")

    monkeypatch.setattr(torch, "load", load)
    with pytest.raises(MemoryShortError, match="lenet5 do not fit"):
        cnnviz.load_network("lenet5", weights=tmp_path / "w.pth")
