"""Weights as training scripts, frameworks and people leave them: each file gives the network that was saved."""

from __future__ import annotations

import argparse
import collections
import pathlib
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import cnnviz
from cnnviz.errors import ModelError, UsageError
from cnnviz.network import architecture, catalogue
from cnnviz.network.weights import read_safetensors

resnet18 = pytest.importorskip("torchvision").models.resnet18

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def pixels() -> Tensor:
    return torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def squeezed() -> State:
    return read_safetensors(catalogue.EMBEDDED_FILE)


@pytest.fixture(scope="module")
def embedded_map(squeezenet, pixels) -> Tensor:
    return cnnviz.saliency(squeezenet, pixels, 282)


@pytest.fixture(scope="module")
def residual() -> nn.Module:
    """A random ResNet-18 of seven classes, with statistics that matter."""
    module = architecture.build_random("resnet18", 7, seed=3).eval()
    generator = torch.Generator().manual_seed(2)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.1, generator=generator)
            part.running_var.uniform_(0.5, 1.5, generator=generator)
    return module


@pytest.fixture(scope="module")
def residual_map(residual, pixels) -> Tensor:
    return cnnviz.saliency(cnnviz.Network(residual), pixels, 3)


def prefixed(state: State, prefix: str) -> State:
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


def inside(state: State, part: str) -> State:
    """A part of names put behind their first one, as wrappers of blocks do."""
    return {name.replace(".", f".{part}.", 1): tensor for name, tensor in state.items()}


def zeros(state: State) -> State:
    return {name: torch.zeros_like(tensor) for name, tensor in state.items()}


FOREIGN: set[str] = set()
"""Modules that were made for a pickle's sake."""


@pytest.fixture(autouse=True)
def no_foreign_modules() -> Iterator[None]:
    yield
    while FOREIGN:
        del sys.modules[FOREIGN.pop()]


def foreign(module: str, name: str, base: type = object) -> type:
    """A class that pickles under the name of a package that is not here."""
    made = type(name, (base,), {"__module__": module})
    parts = module.split(".")
    for depth in range(len(parts)):
        name_so_far = ".".join(parts[: depth + 1])
        if name_so_far not in sys.modules:
            sys.modules[name_so_far] = types.ModuleType(name_so_far)
            FOREIGN.add(name_so_far)
    setattr(sys.modules[module], name, made)
    return made


def attribute_dict(**values: object) -> dict:
    return foreign("pytorch_lightning.utilities.parsing", "AttributeDict", dict)(values)


OPTIMIZER = {"state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 0.1}]}
ARGUMENTS = argparse.Namespace(lr=0.1, data=pathlib.Path("/data/photos"), classes=None, more=argparse.Namespace(a=[1]))

FORMS: dict[str, Callable[[State], object]] = {
    "bare": lambda s: s,
    "ordered, with versions": collections.OrderedDict,
    "parameters": lambda s: {name: nn.Parameter(tensor) for name, tensor in s.items()},
    "under state_dict": lambda s: {"state_dict": s, "epoch": 3, "optimizer": OPTIMIZER},
    "under model_state_dict": lambda s: {"epoch": 3, "model_state_dict": s, "loss": torch.tensor(0.5)},
    "under net, weights, params": lambda s: {"net": {"weights": {"params": s}}},
    "under a key of their own": lambda s: {"my squeezenet": s, "optimizer": OPTIMIZER},
    "Lightning": lambda s: {
        "state_dict": prefixed(s, "model."),
        "hyper_parameters": attribute_dict(lr=0.1, names=["a"]),
        "pytorch-lightning_version": "2.1.0",
        "callbacks": {"ModelCheckpoint{'monitor': 'loss'}": {"best_model_score": torch.tensor(0.1)}},
        "optimizer_states": [OPTIMIZER],
    },
    "DataParallel": lambda s: prefixed(s, "module."),
    "torch.compile": lambda s: prefixed(s, "_orig_mod."),
    "DataParallel of torch.compile in Lightning": lambda s: {"state_dict": prefixed(s, "net.module._orig_mod.")},
    "compiled in the middle": lambda s: inside(s, "_orig_mod"),
    "activation checkpointing": lambda s: inside(s, "_checkpoint_wrapped_module"),
    "FSDP": lambda s: prefixed(inside(s, "_fsdp_wrapped_module"), "_fsdp_wrapped_module."),
    "any prefix": lambda s: prefixed(s, "my_model.encoder."),
    "torchvision's scripts": lambda s: {
        "model": s,
        "optimizer": OPTIMIZER,
        "lr_scheduler": {"last_epoch": 3, "_last_lr": [0.1]},
        "epoch": 3,
        "args": ARGUMENTS,
        "scaler": {"scale": 65536.0},
    },
    "NumPy's numbers": lambda s: {
        "state_dict": s,
        "best": np.float64(0.5),
        "epoch": np.int64(3),
        "is_best": np.bool_(True),
        "history": np.arange(3.0),
    },
    "paths": lambda s: {"state_dict": s, "path": pathlib.Path("runs/3"), "home": pathlib.PurePosixPath("/")},
    "dictionaries that fill themselves": lambda s: {
        "state_dict": collections.defaultdict(list, s),
        "log": collections.defaultdict(list, loss=[0.1]),
        "count": collections.Counter("abc"),
    },
    "a class as a key": lambda s: {
        "state_dict": s,
        "callbacks": {foreign("pytorch_lightning.callbacks.early_stopping", "EarlyStopping"): {"patience": 3}},
    },
    "an average alone": lambda s: {"model_ema": prefixed(s, "module."), "epoch": 3},
    "an average beside them": lambda s: {"state_dict_ema": zeros(s), "state_dict": s},
    "an average in an object's state": lambda s: {"ema": {"module": zeros(s), "decay": 0.99}, "model": s},
    "an average by its prefix": lambda s: {"state_dict": {**prefixed(zeros(s), "ema_model."), **prefixed(s, "model.")}},
    "teacher and student": lambda s: {"teacher": zeros(s), "student": s},
    "torch's AveragedModel": lambda s: {**prefixed(s, "module."), "n_averaged": torch.tensor(5)},
    "thop's counters": lambda s: {
        **s,
        **{f"features.{n}.total_ops": torch.zeros(1, dtype=torch.float64) for n in range(3)},
        "total_params": torch.zeros(1),
    },
    "a loss's weights": lambda s: {"state_dict": {**prefixed(s, "model."), "criterion.weight": torch.ones(7)}},
    "double precision": lambda s: {name: tensor.double() for name, tensor in s.items()},
    "channels last": lambda s: {
        name: t.contiguous(memory_format=torch.channels_last) if t.ndim == 4 else t for name, t in s.items()
    },
    "strides": lambda s: {name: torch.stack([tensor, tensor], -1)[..., 0] for name, tensor in s.items()},
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["zip", "old"])
def test_a_checkpoint_gives_the_maps_of_the_embedded_network(
    tmp_path: Path, squeezed: State, embedded_map: Tensor, pixels: Tensor, form: str, kind: str
):
    if kind == "old" and form not in ("bare", "torchvision's scripts", "NumPy's numbers", "Lightning"):
        pytest.skip("the content is read alike")
    torch.save(FORMS[form](squeezed), tmp_path / "my.pth", _use_new_zipfile_serialization=kind == "zip")
    network = cnnviz.load_network(weights=tmp_path / "my.pth", device="cpu")
    assert (network.name, network.classes) == ("squeezenet1_1", 1000)
    assert torch.equal(cnnviz.saliency(network, pixels, 282), embedded_map)


@pytest.mark.parametrize("name", ["w.safetensors", "W.SAFETENSORS", "pytorch_model.bin", "weights"])
def test_safetensors_are_told_by_their_content(
    tmp_path: Path, squeezed: State, embedded_map: Tensor, pixels: Tensor, name: str
):
    save_file(prefixed(squeezed, "model."), tmp_path / name)
    network = cnnviz.load_network(weights=tmp_path / name, device="cpu")
    assert torch.equal(cnnviz.saliency(network, pixels, 282), embedded_map)


def body(state: State) -> State:
    return {name: tensor for name, tensor in state.items() if not name.startswith("fc.")}


def head(state: State, name: str) -> State:
    return {f"{name}.weight": state["fc.weight"], f"{name}.bias": state["fc.bias"]}


PARTS = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4", "avgpool", "fc")


def numbered_parts(state: State, place: str, classifier: str) -> State:
    """Names as in ``nn.Sequential(*list(net.children())[:-1], nn.Flatten(), nn.Linear(512, 7))``."""
    split = {name: name.partition(".") for name in state}
    places = {part: place.format(number) for number, part in enumerate(PARTS)} | {"fc": classifier}
    return {f"{places[part]}{rest}": state[name] for name, (part, _, rest) in split.items()}


HEADS: dict[str, Callable[[State], State]] = {
    "dropout and a linear layer": lambda s: {**body(s), **head(s, "fc.1")},
    "three modules without tensors": lambda s: {**body(s), **head(s, "fc.3")},
    "a module with a linear layer": lambda s: {**body(s), **head(s, "fc.linear")},
    "sequences in sequences": lambda s: {**body(s), **head(s, "fc.0.2.1")},
    "pretrainedmodels' last_linear": lambda s: {**body(s), **head(s, "last_linear")},
    "classifier": lambda s: {**body(s), **head(s, "classifier.1")},
    "head": lambda s: {**body(s), **head(s, "head")},
    "heads.head": lambda s: {**body(s), **head(s, "heads.head")},
    "a backbone and a head": lambda s: {**prefixed(body(s), "backbone."), **head(s, "head.1")},
    "a backbone and a head in Lightning": lambda s: {
        **prefixed(body(s), "model.backbone."),
        **head(s, "model.classifier"),
    },
    "an encoder and a layer beside the model": lambda s: {**prefixed(body(s), "net.encoder."), **head(s, "fc")},
    "a sequence of the network's parts": lambda s: numbered_parts(s, "{}.", "10."),
    "such a sequence in a module": lambda s: numbered_parts(s, "model.net.{}.", "model.net.11."),
    "a sequence of body and head": lambda s: numbered_parts(s, "0.{}.", "1.1."),
    "no counters": lambda s: {n: t for n, t in s.items() if not n.endswith("num_batches_tracked")},
}


@pytest.mark.slow
@pytest.mark.parametrize("form", HEADS)
def test_a_head_by_another_name_is_the_same_head(
    tmp_path: Path, residual: nn.Module, residual_map: Tensor, pixels: Tensor, form: str
):
    torch.save(HEADS[form](residual.state_dict()), tmp_path / "my.pth")
    network = cnnviz.load_network(weights=tmp_path / "my.pth", device="cpu")
    assert (network.name, network.classes) == ("resnet18", 7)
    assert network.weights.checkpoint.head_activation is None
    assert not network.weights.remarks
    torch.testing.assert_close(cnnviz.saliency(network, pixels, 3), residual_map, rtol=1e-4, atol=1e-6)


def with_head(module: nn.Module, path: str, new: nn.Module) -> nn.Module:
    """A copy of ``module`` with another submodule at ``path``, in evaluation mode."""
    import copy

    changed = copy.deepcopy(module)
    parent, _, name = path.rpartition(".")
    setattr(changed.get_submodule(parent), name, new)
    return changed.eval()


def agreement(tmp_path: Path, module: nn.Module, pixels: Tensor, **options: object) -> cnnviz.Network:
    """The network from the module's state dict, which gives the module's logits."""
    generator = torch.Generator().manual_seed(7)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d):
            part.running_mean.normal_(0, 0.1, generator=generator)
            part.running_var.uniform_(0.5, 1.5, generator=generator)
    torch.save(module.state_dict(), tmp_path / "my.pth")
    network = cnnviz.load_network(weights=tmp_path / "my.pth", device="cpu", precision="fp32", **options)
    with torch.no_grad():
        expected = module(network.normalize(pixels))
        torch.testing.assert_close(network(pixels), expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))
    return network


MLPS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "two layers": (
        lambda: nn.Sequential(nn.Linear(512, 32), nn.ReLU(), nn.Linear(32, 5)),
        "Linear 512→32, ReLU, Linear 32→5",
    ),
    "two layers in a row": (
        lambda: nn.Sequential(nn.Dropout(), nn.Linear(512, 32), nn.Linear(32, 5)),
        "Linear 512→32, Linear 32→5",
    ),
    "batch normalization": (
        lambda: nn.Sequential(
            nn.BatchNorm1d(512),
            nn.Dropout(),
            nn.Linear(512, 32, bias=False),
            nn.BatchNorm1d(32),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(32, 16),
            nn.ReLU(),
            nn.BatchNorm1d(16),
            nn.Dropout(),
            nn.Linear(16, 5),
        ),
        "BatchNorm1d, Linear 512→32, BatchNorm1d, ReLU, Linear 32→16, ReLU, BatchNorm1d, Linear 16→5",
    ),
    "blocks": (
        lambda: nn.Sequential(
            nn.Sequential(nn.Linear(512, 32), nn.LayerNorm(32), nn.ReLU()),
            nn.Sequential(nn.Linear(32, 16), nn.PReLU()),
            nn.Linear(16, 5),
        ),
        "Linear 512→32, LayerNorm, ReLU, Linear 32→16, PReLU, Linear 16→5",
    ),
}


@pytest.mark.parametrize("kind", MLPS)
def test_a_head_of_several_layers_is_rebuilt(tmp_path: Path, residual: nn.Module, pixels: Tensor, kind: str):
    torch.manual_seed(5)
    make, text = MLPS[kind]
    network = agreement(tmp_path, with_head(residual, "fc", make()), pixels)
    assert network.weights.checkpoint.head == text
    said = " ".join(network.weights.remarks)
    assert ("holds no activations" in said) == (network.weights.checkpoint.head_activation == "relu")


@pytest.mark.parametrize(
    ("name", "module"), [("gelu", nn.GELU()), ("silu", nn.SiLU()), ("tanh", nn.Tanh()), ("none", nn.Dropout())]
)
def test_another_activation_is_the_users_word(
    tmp_path: Path, residual: nn.Module, pixels: Tensor, name: str, module: nn.Module
):
    torch.manual_seed(5)
    changed = with_head(residual, "fc", nn.Sequential(nn.Linear(512, 32), module, nn.Linear(32, 5)))
    network = agreement(tmp_path, changed, pixels, head_activation=name)
    assert network.weights.checkpoint.facts["head_activation"] == name
    assert not network.weights.remarks


def test_an_activation_without_a_place_is_said(tmp_path: Path, residual: nn.Module):
    torch.save(residual.state_dict(), tmp_path / "my.pth")
    network = cnnviz.load_network(weights=tmp_path / "my.pth", device="cpu", head_activation="gelu")
    assert "no place for an activation" in network.weights.remarks[0]
    with pytest.raises(UsageError, match="no activation 'gelou' for heads: relu, gelu"):
        cnnviz.load_network(weights=tmp_path / "my.pth", head_activation="gelou")
    for options in ({"head_activation": "gelu"}, {"weights_key": "ema"}):
        with pytest.raises(UsageError, match="is for a file of weights"):
            cnnviz.load_network("squeezenet1_1", **options)


def test_a_squeezenet_keeps_its_convolutions_and_pools_before_a_linear_layer(tmp_path: Path, pixels: Tensor):
    torch.manual_seed(5)
    squeeze = architecture.build_random("squeezenet1_1", 4, seed=1)
    two = nn.Sequential(nn.Conv2d(512, 16, 1), nn.ReLU(), nn.Conv2d(16, 4, 1))
    network = agreement(tmp_path, with_head(squeeze, "classifier.1", two), pixels)
    assert network.name == "squeezenet1_1"
    pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 4))
    agreement(tmp_path, with_head(squeeze, "classifier", pooled), pixels)


def test_layers_that_are_the_architectures_keep_its_activations(tmp_path: Path, pixels: Tensor):
    torch.manual_seed(5)
    mobile = architecture.build_random("mobilenet_v3_small", 4, seed=1)
    longer = nn.Sequential(*list(mobile.classifier)[:3], nn.Linear(1024, 32), nn.ReLU(), nn.Linear(32, 4))
    network = agreement(tmp_path, with_head(mobile, "classifier", longer), pixels)
    assert network.weights.checkpoint.head == "Linear 576→1024, Hardswish, Linear 1024→32, ReLU, Linear 32→4"
    agreement(tmp_path, with_head(mobile, "classifier.3", nn.Sequential(nn.Dropout(), nn.Linear(1024, 4))), pixels)
    agreement(tmp_path, with_head(mobile, "classifier", nn.Linear(576, 4)), pixels)


@pytest.mark.parametrize(
    ("new", "message"),
    [
        (nn.Sequential(nn.Linear(2048, 5)), r"takes 2,048 values \('fc\.0\.weight'\), and resnet18 gives it 512"),
        (nn.Sequential(nn.Linear(512, 32), nn.Linear(16, 5)), "takes 16 values where the layer before gives 32"),
        (nn.MultiheadAttention(512, 2), "belong to no linear layer"),
        (nn.Sequential(nn.Linear(512, 5), nn.BatchNorm1d(5)), "does not end in a linear layer"),
    ],
)
def test_a_head_that_cannot_be_rebuilt_is_explained(tmp_path: Path, residual: nn.Module, new: nn.Module, message: str):
    torch.save(with_head(residual, "fc", new).state_dict(), tmp_path / "my.pth")
    with pytest.raises(ModelError, match=message) as refused:
        cnnviz.load_network("resnet18", weights=tmp_path / "my.pth", device="cpu")
    assert "does not fit resnet18" in str(refused.value)


def test_several_networks_in_a_file_are_named_and_chosen(tmp_path: Path, residual: nn.Module, pixels: Tensor):
    plain = residual.state_dict()
    other = {name: tensor * 2 if name == "fc.weight" else tensor for name, tensor in plain.items()}
    path = tmp_path / "my.pth"
    for content, key in (
        ({"model": plain, "model_ema": prefixed(other, "module.")}, "model_ema"),
        ({"state_dict": {**prefixed(plain, "net."), **prefixed(other, "ema_net.")}}, "ema_net"),
    ):
        torch.save(content, path)
        network = cnnviz.load_network(weights=path, device="cpu")
        assert torch.equal(network.module.fc.weight, plain["fc.weight"])
        assert f"'{key}'; '" in network.weights.remarks[0] and "was taken" in network.weights.remarks[0]
        network = cnnviz.load_network(weights=path, device="cpu", weights_key=key)
        assert torch.equal(network.module.fc.weight, other["fc.weight"])
        assert not network.weights.remarks
        assert key in network.weights.checkpoint.key
        with pytest.raises(UsageError, match=f"no network under the key 'average': it has .*'{key}'"):
            cnnviz.load_network(weights=path, device="cpu", weights_key="average")


NAMES = list("abcdefg")

CLASS_NAMES: dict[str, object] = {
    "classes": NAMES,
    "class_names": tuple(NAMES),
    "names": dict(enumerate(NAMES)),
    "class_to_idx": {name: index for index, name in enumerate(NAMES)},
    "idx_to_class": {str(index): name for index, name in enumerate(NAMES)},
    "id2label": dict(enumerate(NAMES)),
    "label_names": NAMES,
}


@pytest.mark.slow
@pytest.mark.parametrize("key", CLASS_NAMES)
def test_class_names_in_the_file_are_used(tmp_path: Path, residual: nn.Module, key: str):
    value, state = CLASS_NAMES[key], residual.state_dict()
    for content in (
        {"state_dict": state, key: value},
        {"state_dict": prefixed(state, "model."), "hyper_parameters": {key: value}},
        {"model": state, "args": argparse.Namespace(**{key: value})},
    ):
        torch.save(content, tmp_path / "my.pth")
        network = cnnviz.load_network(weights=tmp_path / "my.pth", device="cpu")
        assert network.labels == tuple(NAMES)
        assert network.weights.checkpoint.facts["labels_from"] == key
        expected = value if key == "class_to_idx" else None
        assert network.weights.class_to_idx == expected
    network = cnnviz.load_network(weights=tmp_path / "my.pth", device="cpu", labels=[f"n{i}" for i in range(7)])
    assert network.labels[6] == "n6"


@pytest.mark.parametrize("names", [NAMES[:5], ["a\n", *NAMES[1:]], {0: "a", 2: "c"}, [1] * 7, "a,b,c,d,e,f,g"])
def test_names_that_do_not_fit_are_left(tmp_path: Path, residual: nn.Module, names: object):
    torch.save({"state_dict": residual.state_dict(), "classes": names}, tmp_path / "my.pth")
    network = cnnviz.load_network(weights=tmp_path / "my.pth", device="cpu")
    assert network.label(6) == "class 6"
    if names == NAMES[:5]:
        assert "names 5 classes under 'classes', but its classifier has 7" in network.weights.remarks[0]


def test_class_names_of_safetensors(tmp_path: Path, residual: nn.Module):
    import json

    save_file(residual.state_dict(), tmp_path / "my.safetensors", {"classes": json.dumps(NAMES), "format": "pt"})
    assert cnnviz.load_network(weights=tmp_path / "my.safetensors", device="cpu").labels == tuple(NAMES)


def test_a_backbone_without_a_classifier_serves_for_features(tmp_path: Path, residual: nn.Module, pixels: Tensor):
    torch.save(prefixed(body(residual.state_dict()), "backbone."), tmp_path / "my.pth")
    network = cnnviz.load_network(weights=tmp_path / "my.pth", device="cpu", precision="fp32")
    whole = cnnviz.Network(residual)
    assert "holds no classifier ('fc.weight'): it serves for features only" in network.weights.remarks[0]
    for layer in ("layer2", "layer4"):
        found, expected = (net.features(pixels, [layer])[layer] for net in (network, whole))
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(
        cnnviz.embed_images(network, pixels), cnnviz.embed_images(whole, pixels), rtol=1e-3, atol=1e-5
    )
    for ask in (network, network.predict, lambda x: cnnviz.saliency(network, x), lambda x: cnnviz.grad_cam(network, x)):
        with pytest.raises(ModelError, match=r"my\.pth holds no classifier \('fc\.weight'\) for resnet18"):
            ask(pixels)


@pytest.mark.parametrize("channels", [1, 2, 4, 12])
def test_first_convolutions_of_any_channels(tmp_path: Path, residual: nn.Module, channels: int):
    conv = nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)
    module = with_head(residual, "conv1", conv)
    torch.save(module.state_dict(), tmp_path / "my.pth")
    with pytest.raises(UsageError, match="gray images" if channels == 1 else f"images of {channels} channels"):
        cnnviz.load_network(weights=tmp_path / "my.pth", device="cpu")
    numbers = {"mean": [0.5] * channels, "std": [0.2] * channels}
    network = cnnviz.load_network(weights=tmp_path / "my.pth", device="cpu", precision="fp32", **numbers)
    assert (network.name, network.spec.channels) == ("resnet18", channels)
    pixels = torch.rand(1, channels, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(network(pixels), module(network.normalize(pixels)), rtol=1e-3, atol=1e-3)


def weight_normed(kind):
    torch.manual_seed(0)
    net = resnet18(num_classes=3)
    net.fc = nn.Sequential(nn.Linear(512, 8), nn.ReLU(), kind(nn.Linear(8, 3)))
    return net


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("kind", [nn.utils.weight_norm, nn.utils.parametrizations.weight_norm])
def test_weights_of_a_length_and_a_direction_are_put_together(kind, tmp_path):
    net = weight_normed(kind).eval()
    with torch.no_grad():
        for parameter in net.fc[2].parameters():
            parameter.mul_(1.5)
    torch.save(net.state_dict(), tmp_path / "normed.pth")
    network, pixels = cnnviz.load_network("resnet18", weights=tmp_path / "normed.pth"), torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(network(pixels), net(network.normalize(pixels)), rtol=1e-4, atol=1e-5)


def test_a_head_of_fastai_takes_maxima_and_means(tmp_path):
    torch.manual_seed(0)
    net = resnet18()
    layers = (nn.BatchNorm1d(1024), nn.Dropout(), nn.Linear(1024, 8), nn.ReLU(), nn.BatchNorm1d(8), nn.Linear(8, 3))
    net.fc, net.avgpool = nn.Sequential(*layers), nn.AdaptiveMaxPool2d(1)
    torch.save(net.eval().state_dict(), tmp_path / "concat.pth")
    network, pixels = cnnviz.load_network("resnet18", weights=tmp_path / "concat.pth"), torch.rand(1, 3, 64, 64)
    net.fc = nn.Identity()
    x = network.normalize(pixels)
    most, net.avgpool = net(x), nn.AdaptiveAvgPool2d(1)
    expected = nn.Sequential(*layers).eval()(torch.cat([most, net(x)], 1))
    torch.testing.assert_close(network(pixels), expected, rtol=1e-4, atol=1e-5)
    assert network.weights.checkpoint.head.startswith("ConcatPool, BatchNorm1d, Linear 1024→8")
