"""ONNX and TFLite files as networks: layouts, types, batches, sizes, outputs and labels."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import cnnviz
from cnnviz.errors import ImageError, ModelError, UsageError
from cnnviz.network.sources.array_network import ArrayInput, Quantization, labels_of_text
from cnnviz.network.sources.table import SOURCES, require_ready


@pytest.fixture
def pixels():
    return torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(2))


def normalized(pixels, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)):
    return (pixels - torch.tensor(mean).view(1, 3, 1, 1)) / torch.tensor(std).view(1, 3, 1, 1)


# ONNX


FLOAT, FLOAT16, UINT8, INT64 = 1, 10, 2, 7  # of onnx.TensorProto


def onnx_file(path: Path, shape, nodes="mean", kind=FLOAT, outputs=(("scores", FLOAT),), **metadata) -> Path:
    """A file whose scores are the means of the channels of images (N, C, H, W), or (N, H, W, C) by ``last``."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    make = onnx.helper.make_node
    axes = {"mean": [2, 3], "last": [1, 2]}.get(nodes, [2, 3])
    graph_nodes = [
        make("Cast", ["image"], ["real"], to=FLOAT),
        make("ReduceMean", ["real"], ["means"], axes=axes, keepdims=0),
        make({"softmax": "Softmax"}.get(nodes, "Identity"), ["means"], ["scores"]),
        make("Neg", ["means"], ["negative"]),
        make("ArgMax", ["means"], ["best"], axis=1, keepdims=0),
    ]
    infos = [onnx.helper.make_tensor_value_info(name, each, None) for name, each in outputs]
    taken = [onnx.helper.make_tensor_value_info("image", kind, shape)]
    graph = onnx.helper.make_graph(graph_nodes, "tiny", taken, infos)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
    onnx.helper.set_model_props(model, {key: str(value) for key, value in metadata.items()})
    onnx.save(model, str(path))
    return path


@pytest.mark.parametrize("shape", [(None, 3, None, None), ("n", 3, 8, 8), (1, 3, 8, 8), (2, 3, 8, 8)])
def test_onnx_gives_its_scores_whatever_its_batch_is(shape, pixels, tmp_path):
    network = cnnviz.load_network(str(onnx_file(tmp_path / "net.onnx", shape)), activation="softmax")
    assert torch.allclose(network(pixels), normalized(pixels).mean((2, 3)), atol=1e-5)
    assert network.spec.fixed == (shape[3] == 8)
    assert network.weights.label == "net.onnx"
    assert not network.has_gradients


@pytest.mark.parametrize("kind", [FLOAT, FLOAT16])
def test_onnx_may_have_its_channels_last_and_other_floats(kind, pixels, tmp_path):
    network = cnnviz.load_network(str(onnx_file(tmp_path / "net.onnx", (None, 8, 8, 3), "last", kind)))
    assert torch.allclose(network(pixels), normalized(pixels).mean((2, 3)), atol=1e-2)
    assert network.spec.size == 8


def test_onnx_of_bytes_sees_them(pixels, tmp_path):
    network = cnnviz.load_network(str(onnx_file(tmp_path / "net.onnx", (None, 3, 8, 8), kind=UINT8)))
    assert torch.allclose(network(pixels), (pixels * 255).round().mean((2, 3)), atol=1e-3)
    assert "mean" not in network.spec.assumed


def test_what_onnx_does_not_say_is_assumed_and_can_be_given(pixels, tmp_path):
    path = str(onnx_file(tmp_path / "net.onnx", (None, 3, 8, 8)))
    assert set(cnnviz.load_network(path).spec.assumed) == {"mean", "std", "input_range"}
    given = cnnviz.load_network(path, mean=(0.5,) * 3, std=(0.5,) * 3, labels=("a", "b", "c"))
    assert given.spec.assumed == ()
    assert torch.allclose(given(pixels), normalized(pixels, (0.5,) * 3, (0.5,) * 3).mean((2, 3)), atol=1e-5)


@pytest.mark.parametrize("key", ["names", "classes", "id2label"])
@pytest.mark.parametrize(
    "text", ["{0: 'cat', 1: 'dog', 2: 'cup'}", '["cat", "dog", "cup"]', '{"2": "cup", "0": "cat", "1": "dog"}']
)
def test_onnx_labels_are_found_in_its_metadata(key, text, tmp_path):
    path = onnx_file(tmp_path / "net.onnx", (None, 3, 8, 8), **{key: text})
    assert cnnviz.load_network(str(path)).labels == ("cat", "dog", "cup")


@pytest.mark.parametrize(
    "text", ["", "cat, dog", "{'a': 1}", "[]", "[1, 2]", "{1: 'b'}", "[" * 5000, "__import__('os')"]
)
def test_other_metadata_are_no_labels(text):
    assert labels_of_text(text) is None


def test_probabilities_stay_as_they_are_and_are_said_to_be(pixels, tmp_path):
    network = cnnviz.load_network(str(onnx_file(tmp_path / "net.onnx", (None, 3, 8, 8), "softmax")))
    expected = normalized(pixels).mean((2, 3)).softmax(1)
    assert torch.allclose(network.probabilities(network(pixels)), expected, atol=1e-5)
    assert "gives probabilities" in network.weights.remark
    given = cnnviz.load_network(str(tmp_path / "net.onnx"), activation="softmax")
    assert torch.allclose(given.probabilities(given(pixels)), expected.softmax(1), atol=1e-5)


def test_of_several_outputs_one_is_chosen(pixels, tmp_path):
    outputs = (("best", INT64), ("negative", FLOAT), ("scores", FLOAT))
    path = str(onnx_file(tmp_path / "net.onnx", (None, 3, 8, 8), outputs=outputs))
    with pytest.raises(ModelError, match="negative"):
        cnnviz.load_network(path)
    for chosen in ("negative", 1):
        network = cnnviz.load_network(path, output=chosen)
        assert torch.allclose(network(pixels), -normalized(pixels).mean((2, 3)), atol=1e-5)
    occluded = cnnviz.occlusion(network, pixels[:1], patch=4, stride=4)
    assert occluded.shape == (1, 1, 8, 8)


def test_occlusion_of_onnx_is_that_of_the_module(pixels, tmp_path):
    class Means(nn.Module):
        def forward(self, x):
            return x.mean((2, 3))

    onnx = cnnviz.load_network(str(onnx_file(tmp_path / "net.onnx", (1, 3, 8, 8))))
    module = cnnviz.Network(Means(), size=8)
    maps = [cnnviz.occlusion(network, pixels, 1, patch=4, stride=2) for network in (onnx, module)]
    assert torch.allclose(*maps, atol=1e-6)


def test_an_onnx_network_can_be_pickled(pixels, tmp_path):
    network = cnnviz.load_network(str(onnx_file(tmp_path / "net.onnx", (None, 3, 8, 8))))
    assert torch.equal(pickle.loads(pickle.dumps(network))(pixels), network(pixels))


@pytest.mark.parametrize(
    ("shape", "said"),
    [((None, 3, 8, 16), "no squares"), ((None, 3, 8, 8, 8), "not one batch")],
)
def test_onnx_that_takes_no_square_images_is_refused(shape, said, tmp_path):
    with pytest.raises(ModelError, match=said):
        cnnviz.load_network(str(onnx_file(tmp_path / "net.onnx", shape)))


def test_files_that_are_none_are_refused(tmp_path):
    pytest.importorskip("onnxruntime")
    (tmp_path / "net.onnx").write_bytes(b"<html>not found</html>")
    with pytest.raises(ModelError, match="cannot be read as an ONNX network"):
        cnnviz.load_network(str(tmp_path / "net.onnx"))
    with pytest.raises(ModelError, match="does not exist"):
        cnnviz.load_network(str(tmp_path / "other.onnx"))


def test_it_brings_its_own_weights(tmp_path):
    with pytest.raises(UsageError, match="brings its own weights"):
        cnnviz.load_network(str(onnx_file(tmp_path / "net.onnx", (None, 3, 8, 8))), weights="random")


def test_an_image_that_a_file_cannot_take_fails_alone(tmp_path, run_cnnviz):
    path = onnx_file(tmp_path / "net.onnx", (None, 3, 8, 8))
    network = cnnviz.load_network(str(path))
    with pytest.raises(ImageError, match="images of 8×8 pixels only"):
        network(torch.rand(1, 3, 9, 9))
    with pytest.raises(ImageError, match=r"net\.onnx fails on an image of 9×9 pixels"):
        network.module(torch.rand(1, 3, 9, 9))


@pytest.mark.parametrize(("suffix", "extra"), [("onnx", "onnx"), ("tflite", "tflite")])
def test_without_the_runtime_the_message_names_the_extra(suffix, extra, tmp_path, monkeypatch):
    monkeypatch.setattr("cnnviz.network.sources.table.find_spec", lambda name: None)
    (tmp_path / f"net.{suffix}").touch()
    with pytest.raises(ModelError, match=rf"pip install 'cnnviz\[{extra}\]'"):
        require_ready(str(tmp_path / f"net.{suffix}"), trust=False)


def test_neither_needs_trust():
    assert not any(source.danger for source in SOURCES if source.form in ("FILE.onnx", "FILE.tflite"))


def test_commands_take_onnx_files(tmp_path, run_cnnviz):
    onnx_file(tmp_path / "net.onnx", (None, 3, None, None))
    Image.new("RGB", (48, 32), "orange").save(tmp_path / "photo.png")
    small = ("-m", "net.onnx", "-s", 32)
    for work in (("classify",), ("occlusion", "--patch", 16, "--stride", 16, "--check"), ("compare",)):
        done = run_cnnviz(*work, "photo.png", *small)
        assert done.exit_code == 0, done.stderr
        assert "assumed" in done.stderr
    for refused in ("saliency", "gradcam", "fool", "activations", "report"):
        done = run_cnnviz(refused, "photo.png", *small)
        assert done.exit_code == 3
        assert "These commands work on it: classify, occlusion" in done.stderr


# The input


@pytest.mark.parametrize(
    ("shape", "is_tflite", "last"),
    [
        ((1, 3, 8, 8), True, False),
        ((1, 8, 8, 3), False, True),
        ((1, None, None, None), True, True),
        ((1, None, None, None), False, False),
        ((1, 1, 8, 8), True, False),
        ((1, 3, 8, 3), False, False),
        ((1, 8, 8, 12), True, True),
    ],
)
def test_the_layout_is_seen_in_the_shape(shape, is_tflite, last):
    assert ArrayInput(shape, np.dtype("float32"), is_channels_last=is_tflite).channels_last == last


@pytest.mark.parametrize(
    ("dtype", "quantization", "known"),
    [
        ("uint8", None, (0, 255)),
        ("uint8", Quantization(1 / 255, 0), (0, 1)),
        ("int8", Quantization(1 / 255, -128), (0, 1)),
        ("uint8", Quantization(1 / 127.5, 127), (-1, 1)),
        ("uint8", Quantization(4.76 / 255, 114), None),
        ("float32", None, None),
    ],
)
def test_whole_numbers_tell_the_range_where_it_is_a_usual_one(dtype, quantization, known):
    found = ArrayInput((1, 8, 8, 3), np.dtype(dtype), quantization).known_range
    assert found is None if known is None else found == pytest.approx(known, abs=0.02)


# TFLite


def tflite_file(path: Path, shape, kind="float32", quantization=None, softmax=False, signature=None) -> Path:
    """A file whose scores are the means of the channels of images (N, H, W, C)."""
    pytest.importorskip("ai_edge_litert")
    flatbuffers = pytest.importorskip("flatbuffers")
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
    types = {"float32": 0, "int32": 2, "uint8": 3, "int8": 9}

    def tensor(name, size, kind, buffer=0, quantized=None, signature=None):
        found = schema.TensorT()
        found.name, found.shape, found.type, found.buffer = name.encode(), list(size), types[kind], buffer
        if quantized:
            found.quantization = schema.QuantizationParametersT()
            found.quantization.scale, found.quantization.zeroPoint = [quantized[0]], [quantized[1]]
        if signature:
            found.shapeSignature = list(signature)
        return found

    def operator(code, inputs, outputs, kind, options):
        found = schema.OperatorT()
        found.opcodeIndex, found.inputs, found.outputs = code, inputs, outputs
        found.builtinOptionsType, found.builtinOptions = kind, options
        return found

    def code(number):
        found = schema.OperatorCodeT()
        found.builtinCode = found.deprecatedBuiltinCode = number
        found.version = 1
        return found

    mean, softmax_code = schema.BuiltinOperator.MEAN, schema.BuiltinOperator.SOFTMAX
    reduced = schema.ReducerOptionsT()
    reduced.keepDims = False
    spread = schema.SoftmaxOptionsT()
    spread.beta = 1.0
    graph = schema.SubGraphT()
    out = (shape[0], shape[3])
    graph.tensors = [
        tensor("image", shape, kind, 0, quantization, signature),
        tensor("axes", (2,), "int32", 1),
        tensor("means", out, kind, 0, quantization),
        tensor("scores", out, kind, 0, (1 / 256, 0) if quantization else None),
    ]
    graph.inputs, graph.outputs = [0], [3 if softmax else 2]
    graph.operators = [operator(0, [0, 1], [2], schema.BuiltinOptions.ReducerOptions, reduced)]
    if softmax:
        graph.operators.append(operator(1, [2], [3], schema.BuiltinOptions.SoftmaxOptions, spread))
    axes = schema.BufferT()
    axes.data = list(np.array([1, 2], np.int32).tobytes())
    model = schema.ModelT()
    model.version, model.subgraphs, model.buffers = 3, [graph], [schema.BufferT(), axes]
    model.operatorCodes = [code(mean), code(softmax_code)]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


@pytest.mark.parametrize("signature", [None, (-1, 8, 8, 3)])
def test_tflite_gives_its_scores_one_image_at_a_time_or_several(signature, pixels, tmp_path):
    path = tflite_file(tmp_path / "net.tflite", (1, 8, 8, 3), signature=signature)
    network = cnnviz.load_network(str(path))
    assert torch.allclose(network(pixels), normalized(pixels).mean((2, 3)), atol=1e-5)
    assert network.spec.size == 8
    assert network.spec.fixed
    assert network.module.most_per_call == (1 if signature is None else 16)


@pytest.mark.parametrize(
    ("kind", "quantization"),
    [("uint8", (1 / 255, 0)), ("int8", (1 / 255, -128)), ("uint8", (1 / 127.5, 127)), ("uint8", (4.76 / 255, 114))],
)
def test_quantized_tflite_sees_and_gives_real_numbers(kind, quantization, pixels, tmp_path):
    network = cnnviz.load_network(str(tflite_file(tmp_path / "net.tflite", (1, 8, 8, 3), kind, quantization)))
    if quantization == (1 / 127.5, 127):
        expected = normalized(pixels, (0.5,) * 3, (0.5,) * 3)
    else:
        expected = normalized(pixels) if quantization[1] == 114 else pixels
    assert torch.allclose(network(pixels), expected.mean((2, 3)), atol=0.02)
    assert ("mean" in network.spec.assumed) == (quantization[1] == 114)


def test_a_quantized_softmax_is_seen(pixels, tmp_path):
    path = tflite_file(tmp_path / "net.tflite", (1, 8, 8, 3), "uint8", (1 / 255, 0), softmax=True)
    network = cnnviz.load_network(str(path))
    assert network.activation == "none"
    assert network(pixels).sum(1) == pytest.approx(1, abs=0.02)


def test_tflite_labels_are_found_in_the_archive_at_its_end(tmp_path):
    path = tflite_file(tmp_path / "net.tflite", (1, 8, 8, 3))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("labels.txt", "cat\ndog\ncup\n")
    assert cnnviz.load_network(str(path)).labels == ("cat", "dog", "cup")


def test_a_file_that_is_no_tflite_is_refused(tmp_path):
    pytest.importorskip("ai_edge_litert")
    (tmp_path / "net.tflite").write_bytes(b"TFL3" * 10)
    with pytest.raises(ModelError, match="cannot be read as a TFLite network"):
        cnnviz.load_network(str(tmp_path / "net.tflite"))
