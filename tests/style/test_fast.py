"""The feed-forward network: its formulas, its blending, its files."""

from __future__ import annotations

import json

import pytest
import torch
import torch.nn.functional as F

from cnnviz.errors import ModelError, UsageError
from cnnviz.style.fast import (
    ConditionalInstanceNorm,
    FastStyleNetwork,
    NormStatistics,
    block_conv,
    noise_map,
    upsample_conv,
)
from cnnviz.style.model_file import load_fast_style, read_metadata, to_bytes
from cnnviz.style.settings import FastStyleConfig

TINY = FastStyleConfig((4, 6, 8), blocks=1, kernel=5)


def tiny(styles=("starry", "ink"), seed=0) -> FastStyleNetwork:
    torch.manual_seed(seed)
    network = FastStyleNetwork(styles, TINY).eval()
    with torch.no_grad():
        for part in network.style_parameters():
            part.add_(torch.randn_like(part) * 0.3)
    return network.requires_grad_(False)


def test_conditional_instance_norm_is_instance_norm_with_the_mixed_scale_and_shift():
    torch.manual_seed(0)
    norm = ConditionalInstanceNorm(5, 3).double()
    norm.scale.data.normal_()
    norm.shift.data.normal_()
    x = torch.randn(2, 5, 7, 6, dtype=torch.float64)
    weights = torch.tensor([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]], dtype=torch.float64)
    by_hand = [
        F.instance_norm(x[i : i + 1], weight=weights[i] @ norm.scale, bias=weights[i] @ norm.shift, eps=1e-5)
        for i in range(2)
    ]
    torch.testing.assert_close(norm(x, weights), torch.cat(by_hand))


def test_kept_statistics_normalize_the_next_image_as_the_first():
    norm = ConditionalInstanceNorm(3, 1).double()
    weights, statistics = torch.ones(1, 1, dtype=torch.float64), NormStatistics()
    first = torch.randn(1, 3, 8, 8, dtype=torch.float64) * 3 + 2
    norm(first, weights, statistics)
    other = torch.randn(1, 3, 8, 8, dtype=torch.float64)
    deviation = (first.var((2, 3), correction=0, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(
        norm(other, weights, statistics), (other - first.mean((2, 3), keepdim=True)) / deviation, rtol=1e-9, atol=1e-9
    )


def assert_same_with_gradients(found, expected, inputs):
    torch.testing.assert_close(found, expected)
    ours, theirs = (torch.autograd.grad(y.cos().sum(), inputs) for y in (found, expected))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)


def test_four_small_convolutions_are_one_of_the_doubled_features():
    torch.manual_seed(0)
    x = torch.randn(2, 3, 5, 7, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(4, 3, 3, 3, dtype=torch.float64, requires_grad=True)
    doubled = F.pad(x.repeat_interleave(2, 2).repeat_interleave(2, 3), (1, 1, 1, 1), mode="reflect")
    expected, found = F.conv2d(doubled, weight), upsample_conv(x, weight)
    assert_same_with_gradients(found, expected, (x, weight))


def test_one_convolution_of_blocks_is_that_of_few_kernels():
    torch.manual_seed(0)
    x = torch.randn(2, 5, 12, 16, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, 5, 5, 5, dtype=torch.float64, requires_grad=True)
    expected, found = F.conv2d(x, weight), block_conv(x, weight)
    assert_same_with_gradients(found, expected, (x, weight))


def test_a_photo_is_painted_alone_as_beside_others():
    network, photos = tiny(), torch.rand(2, 3, 32, 32)
    weights, noise = network.style_weights({"starry": 0.3, "ink": 0.7}), noise_map(32, 32)
    together = network(photos, weights.expand(2, -1), noise)
    for number in range(2):
        alone = network(photos[number : number + 1], weights, noise)
        torch.testing.assert_close(alone[0], together[number], rtol=0, atol=1e-5)


def test_painting_is_the_same_with_and_without_gradients():
    network, photo = tiny(), torch.rand(2, 3, 32, 32)
    weights = network.style_weights("ink").expand(2, -1)
    kept, found = photo.clone(), network(photo, weights)
    with torch.no_grad():
        torch.testing.assert_close(network(photo, weights), found)
    assert torch.equal(photo, kept)


def test_blends_lie_between_their_styles():
    network, photo = tiny(), torch.rand(1, 3, 32, 32)
    starry, ink, half = (network(photo, network.style_weights(s)) for s in ("starry", "ink", {"starry": 2, "ink": 2}))
    between, apart = (half - starry).square().mean() + (half - ink).square().mean(), (starry - ink).square().mean()
    assert (starry - ink).abs().max() > 0.01
    assert between < apart
    assert torch.equal(network(photo, network.style_weights({"ink": 3, "starry": 0})), ink)


def test_a_pixel_depends_on_nothing_beyond_the_reach():
    network = tiny(("one",)).double()
    photo, weights = torch.rand(1, 3, 128, 128, dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64)
    noise, statistics = noise_map(128, 128), NormStatistics()
    before = network(photo, weights, noise, statistics)
    changed = photo.clone()
    changed[..., 62, 66] += 0.5
    moved = (network(changed, weights, noise, statistics) - before).abs().amax((0, 1)).nonzero()
    distance = (moved - torch.tensor([62, 66])).abs().max()
    assert 8 < distance <= TINY.reach


def test_noise_is_the_seeds_and_of_deviation_about_one():
    field = noise_map(200, 301, seed=3)
    assert field.shape == (1, 3, 200, 301)
    assert torch.equal(field, noise_map(200, 301, seed=3))
    assert (field - noise_map(200, 301, seed=4)).abs().mean() > 0.5
    assert ((field.std((0, 2, 3)) - 1).abs() < 0.2).all()
    steps = (field[..., 1:] - field[..., :-1]).square().mean((0, 2, 3))
    assert steps[0] > 4 * steps[1] > 16 * steps[2]


def test_an_extended_network_paints_the_old_styles_as_before():
    network, photo = tiny(), torch.rand(1, 3, 32, 32)
    wider = network.extended(["mosaic"]).eval()
    assert wider.styles == ("starry", "ink", "mosaic")
    assert torch.equal(wider(photo, wider.style_weights("ink")), network(photo, network.style_weights("ink")))


@pytest.mark.parametrize("styles", [[], ["a", "a"], ["a:b"], ["a,b"], [""]])
def test_names_that_cannot_be_typed_are_refused(styles):
    with pytest.raises(UsageError):
        FastStyleNetwork(styles, TINY)


@pytest.mark.parametrize("wanted", ["monet", {}, {"ink": 0.0}, {"ink": -1.0, "starry": 2.0}])
def test_invalid_style_weights_are_refused(wanted):
    with pytest.raises(UsageError):
        tiny().style_weights(wanted)


def test_a_file_brings_back_the_network_to_half_precision(tmp_path):
    network, photo = tiny(), torch.rand(1, 3, 32, 32)
    whole, half = tmp_path / "whole.safetensors", tmp_path / "half.safetensors"
    whole.write_bytes(to_bytes(network, {"steps": 7}, half=False))
    half.write_bytes(to_bytes(network))
    again = load_fast_style(whole)
    assert again.styles == network.styles
    assert again.config == TINY
    assert not any(part.requires_grad for part in again.parameters())
    torch.testing.assert_close(again(photo, again.style_weights("ink")), network(photo, network.style_weights("ink")))
    rounded = load_fast_style(half)
    assert (
        rounded(photo, rounded.style_weights("ink")) - network(photo, network.style_weights("ink"))
    ).abs().max() < 0.01
    assert half.stat().st_size < 0.7 * whole.stat().st_size
    assert read_metadata(whole)["training"] == {"steps": 7}


def test_files_that_are_something_else_are_refused_by_name(tmp_path):
    from safetensors.torch import save

    with pytest.raises(ModelError, match=r"no fast style model.*gone"):
        load_fast_style(tmp_path / "gone")
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(to_bytes(tiny())[:-100])
    with pytest.raises(ModelError, match=r"cut.safetensors.*truncated"):
        load_fast_style(cut)
    other = tmp_path / "other.safetensors"
    other.write_bytes(save({"x": torch.zeros(2)}))
    with pytest.raises(ModelError, match="is no fast style model"):
        load_fast_style(other)
    unfit = tmp_path / "unfit.safetensors"
    told = {"format": "fast-style-1", "styles": ["a"], "config": {"widths": [4, 4, 4]}, "training": {}}
    unfit.write_bytes(save({"x": torch.zeros(2)}, {"cnnviz": json.dumps(told)}))
    with pytest.raises(ModelError, match="does not fit"):
        load_fast_style(unfit)
    unfit.write_bytes(save({"x": torch.zeros(2)}, {"cnnviz": json.dumps({**told, "format": "fast-style-9"})}))
    with pytest.raises(ModelError, match="another version"):
        load_fast_style(unfit)


@pytest.mark.parametrize(
    "change",
    [
        {"config": {"blocks": 10**9}},
        {"config": {"widths": [10**9, 1, 1]}},
        {"config": {"widths": "abc"}},
        {"config": {"widths": [1.5, 2, 3]}},
        {"config": {"kernel": "9"}},
        {"config": {"\x1b[31m": 1}},
        {"config": None},
        {"styles": "abc"},
        {"styles": [1, 2]},
        {"styles": None},
        {"format": "\x1b[31m" + "x" * 10_000},
        {"format": [[1]]},
    ],
)
def test_a_model_file_that_was_tampered_with_is_one_sentence(tmp_path, change):
    content = to_bytes(FastStyleNetwork(["a"], FastStyleConfig((2, 2, 2), 1)))
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    told = json.loads(header["__metadata__"]["cnnviz"])
    if isinstance(change.get("config"), dict):
        change = {"config": {**told["config"], **change["config"]}}
    header["__metadata__"]["cnnviz"] = json.dumps({**told, **change})
    assert_no_model(tmp_path, header, content)


def test_model_files_with_deep_headers_or_tensors_of_other_kinds(tmp_path):
    network = FastStyleNetwork(["a"], FastStyleConfig((2, 2, 2), 1))
    content = to_bytes(network)
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    deep = {**header, "__metadata__": {"cnnviz": "[" * 100_000}}
    assert_no_model(tmp_path, deep, content)
    name = next(name for name in header if name != "__metadata__")
    assert_no_model(tmp_path, {**header, name: {**header[name], "dtype": "I16"}}, content)
    next(network.parameters()).data[:] = torch.nan
    (tmp_path / "a.safetensors").write_bytes(to_bytes(network))
    with pytest.raises(ModelError, match="not finite"):
        load_fast_style(tmp_path / "a.safetensors")


def assert_no_model(folder, header, content):
    raw = json.dumps(header).encode()
    tensors = content[8 + int.from_bytes(content[:8], "little") :]
    (folder / "a.safetensors").write_bytes(len(raw).to_bytes(8, "little") + raw + tensors)
    with pytest.raises(ModelError, match=r"a\.safetensors'") as caught:
        load_fast_style(folder / "a.safetensors")
    assert len(str(caught.value)) < 200 + len(str(folder))
    assert "\n" not in str(caught.value)
