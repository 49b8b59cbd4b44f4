"""timm's networks by name, and as the hub's cache and a folder hold them: their configuration travels with them."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import cnnviz
from cnnviz.errors import ModelError, UsageError

timm = pytest.importorskip("timm")
CONFIG = {
    "architecture": "test_resnet",
    "num_classes": 3,
    "pretrained_cfg": {
        "input_size": [3, 64, 64],
        "mean": [0.5, 0.4, 0.3],
        "std": [0.25, 0.2, 0.1],
        "crop_pct": 0.8,
        "interpolation": "bilinear",
        "tag": "mine",
        "classifier": "fc",
        "first_conv": "conv1.0",
        "label_names": ["n01", "n02", "n03"],
        "label_descriptions": {"n01": "cat, feline", "n02": "dog", "n03": "cat, boat"},
    },
}
PIXELS = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., Path]:
    """Writes a network as timm saves one; gives its folder."""

    def save(folder: Path = tmp_path / "mine", config: dict = CONFIG, **options) -> Path:
        folder.mkdir(parents=True)
        torch.manual_seed(7)
        module = timm.create_model("test_resnet", num_classes=config.get("num_classes", 3), **options)
        (folder / "config.json").write_text(json.dumps(config))
        save_file(module.state_dict(), folder / "model.safetensors")
        return folder

    return save


def load(model: str, **more) -> cnnviz.Network:
    return cnnviz.load_network(model, device="cpu", **more)


def test_a_folder_brings_its_input_and_its_labels(saved):
    network = load(f"local-dir:{saved()}")
    spec = network.spec
    assert (spec.size, spec.resize, spec.mean, spec.std) == (64, 80, (0.5, 0.4, 0.3), (0.25, 0.2, 0.1))
    assert (spec.interpolation, spec.channels, spec.assumed) == ("bilinear", 3, ())
    assert network.labels == ("cat, feline", "dog", "cat, boat")
    assert network.weights.label == "mine"
    assert network.weights.sha256
    assert not network.optimize
    torch.manual_seed(7)
    module = timm.create_model("test_resnet", num_classes=3).eval()
    normalized = (PIXELS - torch.tensor(spec.mean).view(3, 1, 1)) / torch.tensor(spec.std).view(3, 1, 1)
    torch.testing.assert_close(network(PIXELS), module(normalized))
    assert cnnviz.saliency(network, PIXELS, "dog").abs().max() > 0


def test_the_hubs_cache_is_read_without_the_internet(saved, tmp_path, monkeypatch):
    """models--ORG--NAME/snapshots/HASH, as huggingface_hub lays it out."""
    from huggingface_hub import constants

    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "hub" / "models--me--mine"
    folder = saved(repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    network = load("hf-hub:me/mine")
    assert network.name == "hf-hub:me/mine"
    assert torch.equal(network(PIXELS), load(f"local-dir:{folder}")(PIXELS))
    with pytest.raises(ModelError, match="are not on this machine, and internet access is switched off"):
        load("hf-hub:me/other")


def test_weights_that_are_not_here_are_an_error_of_one_sentence():
    """Tests run with CNNVIZ_OFFLINE=1; a random network is never taken in their place."""
    with pytest.raises(ModelError, match="'timm/resnet18' are not on this machine") as error:
        load("timm/resnet18")
    assert error.value.remedy == "fetch_hub"


def test_without_permission_nothing_is_asked_of_the_internet(monkeypatch):
    import socket

    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: pytest.fail("a connection was made"))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("a name was looked up"))
    for model in ("timm/resnet18", "hf-hub:me/none", "timm/regnetx_002.pycls_in1k"):
        with pytest.raises(ModelError):
            load(model)


def test_random_weights_follow_the_seed():
    one, same, other = (load("timm/test_resnet", weights="random", seed=seed) for seed in (0, 0, 1))
    assert torch.equal(one(PIXELS), same(PIXELS))
    assert not torch.equal(one(PIXELS), other(PIXELS))
    assert (one.classes, one.label(281), one.weights.label) == (1000, "tabby", "random")
    assert one.optimize
    assert one.spec.size == timm.get_pretrained_cfg("test_resnet").input_size[1]
    assert load("timm/test_resnet", weights="random", labels=["a", "b"]).classes == 2


def test_names_that_timm_does_not_have_list_the_nearest():
    with pytest.raises(UsageError, match=r"no model called 'resnt18'. Did you mean timm/resnet18"):
        load("timm/resnt18")
    with pytest.raises(UsageError, match=r"no weights 'nope' of resnet18; there are a1_in1k"):
        load("timm/resnet18.nope")


def test_a_file_of_weights_decides_how_many_classes_and_channels_there_are(tmp_path):
    torch.manual_seed(1)
    module = timm.create_model("test_resnet", num_classes=4, in_chans=1).eval()
    torch.save({"state_dict": module.state_dict()}, tmp_path / "gray.pth")
    network = load("timm/test_resnet", weights=tmp_path / "gray.pth", mean=[0.5], std=[0.5])
    assert (network.classes, network.spec.channels, network.weights.label) == (4, 1, "gray.pth")
    gray = PIXELS.mean(1, keepdim=True)
    torch.testing.assert_close(network(gray), module((gray - 0.5) / 0.5))
    torch.save({"fc.weight": torch.zeros(4, 5)}, tmp_path / "other.pth")
    with pytest.raises(ModelError, match="does not fit"):
        load("timm/test_resnet", weights=tmp_path / "other.pth")


class Trick:
    def __reduce__(self):
        return (os.mkdir, ("marker",))


def test_nothing_is_unpickled(saved, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = saved()
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"fc.weight": Trick()}))
    with pytest.raises(ModelError, match="could not be loaded"):
        load(f"local-dir:{folder}")
    torch.save({"fc.weight": Trick()}, folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="could not be loaded"):
        load(f"local-dir:{folder}")
    assert not Path("marker").exists()
    assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"model_type": "bert"}, "does not describe a network of timm: KeyError: 'architecture'"),
        ({**CONFIG, "architecture": "no_such"}, "could not be loaded: RuntimeError: Unknown model (no_such)"),
        ({**CONFIG, "num_classes": 4}, "could not be loaded: RuntimeError: Error(s) in loading state_dict"),
        ([], "does not describe a network of timm"),
    ],
)
def test_folders_of_something_else_are_explained(saved, config, said):
    folder = saved()
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError) as error:
        load(f"local-dir:{folder}")
    assert said in str(error.value)


def test_a_network_without_a_classifier_says_so(saved, tmp_path):
    folder = saved(tmp_path / "bare", {**CONFIG, "num_classes": 0, "pretrained_cfg": {**CONFIG["pretrained_cfg"]}})
    network = load(f"local-dir:{folder}")
    assert "has no classifier: it serves for features only" in network.weights.remark


def test_labels_of_the_larger_imagenets_are_known():
    network = load("timm/test_resnet", weights="random", labels=None)
    assert network.label(0) == "tench"
    from cnnviz.network.sources.timm_labels import labels_of

    names = labels_of({}, 11821)
    assert len(names) == 11821
    assert labels_of({"label_names": {"1": "b", "0": "a"}}, 2) == ("a", "b")
    assert labels_of({"label_names": ["a"]}, 2) is None
