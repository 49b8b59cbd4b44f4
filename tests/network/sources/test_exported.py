"""``net.pt2``: the same numbers as the module that was exported, and no code without trust."""

from __future__ import annotations

import json
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from torch import nn

import cnnviz
from cnnviz.errors import ModelError, UsageError

TINY = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)).eval()


def export(path: Path, *sizes: int, dynamic: bool = False) -> Path:
    shapes = ({0: torch.export.Dim("batch")},) if dynamic else None
    torch.export.save(torch.export.export(TINY, (torch.rand(*sizes),), dynamic_shapes=shapes), path)
    return path


def test_the_embedded_network_exported_and_from_a_file_has_the_same_maps(squeezenet, chelsea, tmp_path, monkeypatch):
    """SqueezeNet as ``net.pt2`` and as ``my_net.py:build``: the saliency map of the embedded one."""
    from cnnviz.network.squeezenet import SqueezeNet

    monkeypatch.chdir(tmp_path)
    pixels = chelsea[..., :224]
    module = SqueezeNet().eval()
    module.load_state_dict(squeezenet.module.state_dict())
    torch.export.save(torch.export.export(module, (torch.rand(1, 3, 224, 224),)), tmp_path / "net.pt2")
    torch.save(module.state_dict(), "net.pth")
    code = "from cnnviz.network.squeezenet import SqueezeNet\ndef build(): return SqueezeNet()\n"
    Path("my_net.py").write_text(code)
    expected = cnnviz.saliency(squeezenet, pixels, 281)
    scale = float(expected.abs().max())
    for model, weights in (("net.pt2", None), ("my_net.py:build", "net.pth")):
        network = cnnviz.load_network(model, weights=weights, device="cpu", trust=True)
        found = cnnviz.saliency(network, pixels, 281)
        torch.testing.assert_close(found / scale, expected / scale, atol=1e-5, rtol=1e-4)
        assert (network.classes, network.label(281), network.spec.size) == (1000, "tabby", 224)
        assert network.weights.sha256


def test_size_and_channels_are_those_it_was_exported_for(tmp_path):
    network = cnnviz.load_network(str(export(tmp_path / "net.pt2", 1, 3, 48, 48)), device="cpu", trust=True)
    assert network.spec.size == 48
    assert network.spec.assumed == ("mean", "std", "input_range")
    assert network.weights.label == "net.pt2"


def test_weights_of_a_file_go_into_the_program(tmp_path):
    path = export(tmp_path / "net.pt2", 2, 3, 32, 32, dynamic=True)
    state = {name: torch.full_like(value, 0.5) for name, value in TINY.state_dict().items()}
    torch.save(state, tmp_path / "half.pth")
    network = cnnviz.load_network(str(path), weights=tmp_path / "half.pth", device="cpu", trust=True)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))
    module.load_state_dict(state)
    pixels = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    expected = cnnviz.Network(module, size=32)(pixels)
    torch.testing.assert_close(network(pixels), expected)


def test_a_file_that_would_run_code_is_refused_without_trust(tmp_path, monkeypatch):
    """Its tensors are all plain; a symbolic expression of its graph writes a file when it is evaluated."""
    monkeypatch.chdir(tmp_path)
    payload = "__import__('pathlib').Path('marker').write_text('')"
    with zipfile.ZipFile(export(tmp_path / "good.pt2", 2, 3, 32, 32, dynamic=True)) as good:
        files = {each.filename: good.read(each) for each in good.infolist()}
    with zipfile.ZipFile("bad.pt2", "w") as bad:
        for name, content in files.items():
            bad.writestr(name, _with(payload, content) if b"expr_str" in content else content)
    with pytest.raises(UsageError, match="can run code while it is loaded") as error:
        cnnviz.load_network("bad.pt2", device="cpu")
    assert error.value.remedy == "trust"
    assert not Path("marker").exists()
    with suppress(ModelError):
        cnnviz.load_network("bad.pt2", device="cpu", trust=True)
    if not Path("marker").exists():
        pytest.skip("this PyTorch evaluates no expressions of the file")


def _with(payload: str, content: bytes) -> bytes:
    """The program with ``payload`` as each of its symbolic expressions."""

    def changed(value: object) -> object:
        if isinstance(value, dict):
            return {key: payload if key == "expr_str" else changed(each) for key, each in value.items()}
        return [changed(each) for each in value] if isinstance(value, list) else value

    return json.dumps(changed(json.loads(content))).encode()


@pytest.mark.parametrize("content", [b"", b"no program", b"PK\x03\x04", b"\x89PNG\r\n\x1a\n" + bytes(100)])
def test_a_file_that_is_no_program_is_an_error_of_one_sentence(tmp_path, content):
    (tmp_path / "net.pt2").write_bytes(content)
    with pytest.raises(ModelError, match=r"cannot be read as a program of torch\.export") as error:
        cnnviz.load_network(str(tmp_path / "net.pt2"), device="cpu", trust=True)
    assert "\n" not in str(error.value)


def test_convolutions_and_linear_layers_of_a_program_are_modules_again():
    network = cnnviz.Network(torch.export.export(TINY, (torch.rand(1, 3, 16, 16),)))
    kinds = ["Conv2d", "relu", "adaptive_avg_pool2d", "flatten", "Linear"]
    assert [layer.kind for layer in network.layer_table()] == kinds
    twin, pixels = cnnviz.Network(TINY, size=16), torch.rand(1, 3, 16, 16)
    torch.testing.assert_close(cnnviz.lrp(network, pixels, 2), cnnviz.lrp(twin, pixels, 2))


def test_a_layer_used_twice_and_changed_weights_are_followed():
    conv = nn.Conv2d(3, 3, 3, padding=1)
    module = nn.Sequential(conv, nn.ReLU(), conv, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    network, pixels = cnnviz.Network(torch.export.export(module, (torch.rand(1, 3, 16, 16),))), torch.rand(1, 3, 16, 16)
    network.features(pixels, ["0"])
    with torch.no_grad():
        conv.weight.mul_(2)  # which the program shares
    torch.testing.assert_close(network.features(pixels, ["0"])["0"], conv(network.normalize(pixels)))


def test_another_size_than_it_was_exported_for_is_an_error_with_a_remedy(tmp_path):
    model = str(export(tmp_path / "net.pt2", 1, 3, 48, 48))
    with pytest.raises(UsageError, match="exported for images of 48×48 pixels, and takes none of 256×256") as raised:
        cnnviz.load_network(model, size=256, device="cpu", trust=True)
    assert raised.value.remedy == "exported_size"
