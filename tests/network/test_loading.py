"""Loading weights: published ones in a cache, the user's files, unsafe and damaged files."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import cnnviz
from cnnviz.cli.hints import message_with_hint
from cnnviz.errors import ModelError, UsageError
from cnnviz.network import architecture, catalogue, default_model, download, hashing


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """An empty torch.hub cache."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    catalogue.checkpoint_folder().mkdir(parents=True)
    return catalogue.checkpoint_folder()


@pytest.fixture(scope="module")
def seven_classes() -> dict[str, torch.Tensor]:
    return architecture.build_random("resnet18", 7, seed=3).state_dict()


def saved(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


def test_catalogue_is_what_torchvision_publishes():
    """For the networks both know; a newer torchvision may know more."""
    from torchvision import models

    ours = catalogue.entries()
    theirs = set(models.list_models(module=models))
    for name in theirs & set(ours):
        for weights in models.get_model_weights(name):
            assert ours[name].published(weights.name).url == weights.url
            assert ours[name].published(weights.name).mean == tuple(weights.transforms().mean)
    assert len(theirs & set(ours)) > 60


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: s,
        lambda s: {"state_dict": {f"module.{k}": v for k, v in s.items()}, "epoch": 3},
        lambda s: {"model": {f"_orig_mod.module.{k}": v for k, v in s.items()}, "args": {"lr": 0.1}},
        lambda s: {"net": {f"net.{k}": v for k, v in s.items()} | {"head.extra": torch.zeros(2)}},
        lambda s: {k: v.half() for k, v in s.items()},
    ],
)
def test_own_checkpoints_load_whatever_wraps_them(tmp_path, seven_classes, wrap):
    network = cnnviz.load_network("resnet18", weights=saved(tmp_path / "my.pth", wrap(seven_classes)), device="cpu")
    assert network.classes == 7
    assert network.labels == tuple(f"class {i}" for i in range(7))
    assert network.weights.label == "my.pth"
    torch.testing.assert_close(network.module.fc.weight, seven_classes["fc.weight"], atol=1e-3, rtol=1e-2)
    assert network.module.conv1.weight.dtype == torch.float32


def test_own_safetensors_with_labels(tmp_path, seven_classes):
    save_file(seven_classes, tmp_path / "my.safetensors")
    labels = [f"sort {i}" for i in range(7)]
    network = cnnviz.load_network("resnet18", weights=tmp_path / "my.safetensors", labels=labels)
    assert network.label(6) == "sort 6"
    with pytest.raises(UsageError, match="labels name 2 classes, but the network has 7"):
        cnnviz.load_network("resnet18", weights=tmp_path / "my.safetensors", labels=["a", "b"])


@pytest.mark.parametrize(
    "model", ["googlenet", "densenet121", "vgg11_bn", "mobilenet_v2", "efficientnet_b0", "convnext_tiny"]
)
def test_many_architectures_give_back_what_was_saved(tmp_path, model):
    original = cnnviz.load_network(model, weights="random", labels=["a", "b", "c"], seed=5)
    path = saved(tmp_path / "w.pth", original.module.state_dict())
    loaded = cnnviz.load_network(model, weights=path)
    pixels = torch.rand(1, 3, 64, 64)
    assert torch.equal(loaded(pixels), original(pixels))


def test_side_classifiers_and_old_densenet_names_are_understood(tmp_path):
    from torchvision.models import googlenet

    state = googlenet(num_classes=4, aux_logits=True, init_weights=False).state_dict()
    assert any(name.startswith("aux1.") for name in state)
    assert cnnviz.load_network("googlenet", weights=saved(tmp_path / "g.pth", state)).classes == 4
    modern = architecture.build_random("densenet121", 5, seed=0).state_dict()
    old = {name.replace(".norm1.", ".norm.1.").replace(".conv2.", ".conv.2."): t for name, t in modern.items()}
    assert old.keys() != modern.keys()
    assert cnnviz.load_network("densenet121", weights=saved(tmp_path / "d.pth", old)).classes == 5


def test_lenet_in_grey_and_colour(tmp_path):
    for channels in (1, 3):
        state = architecture.build("lenet5", 10, channels).state_dict()
        network = cnnviz.load_network("lenet5", weights=saved(tmp_path / f"{channels}.pt", state))
        assert network.spec.channels == channels
        assert network(torch.rand(2, 3, 32, 32)).shape == (2, 10)


def test_random_weights_depend_on_the_seed_alone():
    torch.manual_seed(1)
    one = cnnviz.load_network("squeezenet1_1", weights="random", seed=4)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    two = cnnviz.load_network("squeezenet1_1", weights="random", seed=4)
    assert torch.equal(torch.get_rng_state(), state)
    other = cnnviz.load_network("squeezenet1_1", weights="random", seed=5)
    assert torch.equal(one.module.features[0].weight, two.module.features[0].weight)
    assert not torch.equal(one.module.features[0].weight, other.module.features[0].weight)


class Malicious:
    """Unpickled by an unsafe loader, this would leave a file behind."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return os.system, (f"touch {self.trace}",)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_malicious_pickle_is_refused_without_running(tmp_path, zipped):
    trace, path = tmp_path / "ran", tmp_path / "evil.pth"
    content = {"state_dict": Malicious(trace)}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ModelError, match=r"refused: it holds Python objects.*safetensors"):
        cnnviz.load_network("resnet18", weights=path)
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(ModelError, match=r"evil\.pth"):
        cnnviz.load_network("resnet18", weights=path)
    assert not trace.exists()


def test_files_that_hold_no_weights(tmp_path, seven_classes):
    whole = saved(tmp_path / "whole.pth", seven_classes).read_bytes()
    (tmp_path / "half.pth").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.pth").touch()
    (tmp_path / "text.pth").write_text("not weights")
    (tmp_path / "text.safetensors").write_text("not weights")
    saved(tmp_path / "numbers.pth", {"epoch": 3})
    saved(tmp_path / "list.pth", [1, 2])
    script = torch.jit.trace(torch.nn.Linear(2, 2), torch.rand(1, 2))
    script.save(str(tmp_path / "script.pt"))
    for name, message in {
        "half.pth": "truncated",
        "empty.pth": "is empty",
        "text.pth": "not a weights file",
        "text.safetensors": "not a safetensors file",
        "numbers.pth": "no state_dict",
        "list.pth": "no state_dict",
        "script.pt": "TorchScript",
        "missing.pth": "does not exist",
        ".": "not a file",
    }.items():
        with pytest.raises(ModelError, match=message):
            cnnviz.load_network("resnet18", weights=tmp_path / name)


def test_weights_of_another_network_are_counted_and_named(tmp_path, seven_classes):
    path = saved(tmp_path / "r18.pth", seven_classes)
    with pytest.raises(ModelError, match=r"does not fit resnet50: it lacks \d+ tensors.*those of resnet18"):
        cnnviz.load_network("resnet50", weights=path)
    with pytest.raises(ModelError, match="does not fit vgg11: it lacks 16 tensors"):
        cnnviz.load_network("vgg11", weights=path)


def test_published_weights_from_the_cache(cache):
    published = catalogue.entry("resnet18").default
    saved(published.path, architecture.build_random("resnet18", 1000, seed=0).state_dict())
    network = cnnviz.load_network("resnet18", device="cpu")
    assert network.weights.label == "IMAGENET1K_V1"
    assert network.labels[967] == "espresso"
    assert "not the file that torchvision publishes" in network.weights.remark
    assert network.weights.sha256 == hashing.sha256(published.path)


def test_truncated_cached_file_is_named_with_its_repair(cache):
    published = catalogue.entry("vgg11").default
    content = saved(cache / "whole", {"features.0.weight": torch.rand(64, 3, 3, 3)}).read_bytes()
    published.path.write_bytes(content[:-100])
    with pytest.raises(ModelError, match=r"vgg11-8a719046\.pth is truncated or corrupt") as refused:
        cnnviz.load_network("vgg11")
    assert "models fetch vgg11 --force" in message_with_hint(refused.value)


def test_a_flipped_bit_in_a_cached_file_is_found(cache):
    published = catalogue.entry("squeezenet1_0").default
    saved(published.path, architecture.build_random("squeezenet1_0", 1000, seed=0).state_dict())
    content = bytearray(published.path.read_bytes())
    content[len(content) // 2] ^= 1
    published.path.write_bytes(content)
    with pytest.raises(ModelError, match="truncated or corrupt"):
        cnnviz.load_network("squeezenet1_0")


@pytest.mark.parametrize("place", [6, 8])
def test_a_cached_archive_that_is_encrypted_or_of_an_unknown_compression_is_named_too(cache, place):
    published = catalogue.entry("squeezenet1_0").default
    saved(published.path, {"a": torch.zeros(3)})
    content = bytearray(published.path.read_bytes())
    for start in (content.index(b"PK\x03\x04"), content.index(b"PK\x01\x02") + 2):  # its local and its central entry
        content[start + place] = 1 if place == 6 else 99
    published.path.write_bytes(content)
    with pytest.raises(ModelError, match="truncated or corrupt") as refused:
        cnnviz.load_network("squeezenet1_0")
    assert "models fetch squeezenet1_0 --force" in message_with_hint(refused.value)


def test_offline_without_the_weights_names_the_remedy(cache):
    with pytest.raises(ModelError, match=r"vgg19 are not on this machine.*squeezenet1_1") as refused:
        cnnviz.load_network("vgg19")
    assert "'cnnviz models fetch vgg19'" in message_with_hint(refused.value)


def test_the_remedy_fetches_the_weights_that_were_named(cache):
    for name, weights in (
        ("resnet50", "IMAGENET1K_V2"),
        ("squeezenet1_1", "default"),
        ("vgg16", "IMAGENET1K_FEATURES"),
    ):
        published = catalogue.entry(name).published(weights)
        with pytest.raises(ModelError) as refused:
            cnnviz.load_network(name, weights=weights)
        assert f"'cnnviz models fetch {name} --weights {published.name}'" in message_with_hint(refused.value)
        published.path.write_bytes(b"PK damaged")
        with pytest.raises(ModelError) as refused:
            cnnviz.load_network(name, weights=weights)
        assert f"models fetch {name} --weights {published.name} --force'" in message_with_hint(refused.value)


def test_a_download_that_fails_leaves_nothing(cache, monkeypatch):
    monkeypatch.setenv("CNNVIZ_OFFLINE", "0")
    wrong = tmp = cache / "server"
    wrong.write_bytes(b"not the published file")
    published = catalogue.PublishedWeights(
        **{**vars(catalogue.entry("vgg11").default), "url": f"file://{wrong}-0123abcd.pth"}
    )
    Path(f"{wrong}-0123abcd.pth").write_bytes(b"not the published file")
    (cache / published.file).unlink()
    with pytest.raises(ModelError, match="downloading them failed"):
        download.fetch(published)
    assert sorted(p.name for p in cache.iterdir()) == [tmp.name]


def test_a_download_lands_checked_under_its_name(tmp_path, cache, monkeypatch):
    monkeypatch.setenv("CNNVIZ_OFFLINE", "0")
    content = b"published weights"
    import hashlib

    name = f"net-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    (tmp_path / name).write_bytes(content)
    facts = {**vars(catalogue.entry("vgg11").default), "url": (tmp_path / name).as_uri()}
    published = catalogue.PublishedWeights(**facts)
    assert download.can_download(published)
    assert download.fetch(published).read_bytes() == content
    assert [p.name for p in cache.iterdir()] == [name]


def test_auto_prefers_the_best_network_when_its_weights_are_here(cache):
    assert default_model.choose_model("attribution").name == "squeezenet1_1"
    remark = default_model.choose_model("attribution").remark
    assert "embedded" in remark
    assert "models fetch resnet50" in message_with_hint(remark)
    catalogue.entry("resnet50").default.path.touch()
    assert default_model.choose_model("attribution") == default_model.ModelChoice("resnet50")
    assert default_model.choose_model("style").name == "squeezenet1_1"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "resnet51"}, "no model called 'resnet51'. Did you mean resnet50"),
        ({"name": "vgg-19", "weights": "random"}, "Did you mean vgg19"),
        ({"name": "resnet50", "weights": "IMAGENET1K_V9"}, "IMAGENET1K_V1, IMAGENET1K_V2"),
        ({"name": "auto", "weights": "IMAGENET1K_V1"}, "name it too"),
        ({"name": "squeezenet1_1", "device": "cuda:99"}, "not here"),
        ({"name": "squeezenet1_1", "device": "gpu"}, "no device 'gpu'"),
        ({"name": "squeezenet1_1", "precision": "fp8"}, "no precision 'fp8'"),
        ({"name": "squeezenet1_1", "device": "cpu", "precision": "fp16"}, "use bf16 or fp32"),
        ({"name": "squeezenet1_1", "mean": [0.5]}, "3 finite numbers"),
        ({"name": "squeezenet1_1", "std": [0.5, 0.5, 0.0]}, "positive"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(UsageError, match=message):
        cnnviz.load_network(**arguments)


def test_lenet_needs_weights():
    for weights in (None, "IMAGENET1K_V1"):
        with pytest.raises(ModelError, match="no published weights"):
            cnnviz.load_network("lenet5", weights=weights)


def test_the_old_parameter_technique_still_works(monkeypatch):
    chosen = []
    monkeypatch.setattr("cnnviz.network.loading.choose_precision", lambda *given: chosen.append(given[2]) or "fp32")
    with pytest.warns(DeprecationWarning, match="workload="):
        cnnviz.load_network("squeezenet1_1", device="cpu", technique="style")
    cnnviz.load_network("squeezenet1_1", device="cpu", workload="forward")
    cnnviz.load_network("squeezenet1_1", device="cpu")
    assert chosen == ["synthesis", "forward", "exact"]
