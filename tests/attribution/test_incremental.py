"""The incremental engine gives the scores of the full pass, whatever the network is made of."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from unittest import mock

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, fx, nn

from cnnviz.attribution.full_pass import occlude
from cnnviz.attribution.incremental import batches, cache, convolution
from cnnviz.attribution.incremental.engine import IncrementalEngine
from cnnviz.attribution.incremental.errors import NotIncremental
from cnnviz.attribution.occlusion_scores import score_positions
from cnnviz.network.graph import trace


@contextmanager
def torch_seed(seed: int) -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def torchvision_network(name: str) -> nn.Module:
    """A torchvision network with random weights."""
    import torchvision

    extra = {"googlenet": {"init_weights": False, "aux_logits": False}}.get(name, {})
    with torch_seed(0):
        network: nn.Module = torchvision.models.get_model(name, weights=None, **extra)
    return network.eval().requires_grad_(False)


def calibrated(network: nn.Module, image: Tensor) -> nn.Module:
    """The network with batch normalization set to the statistics of ``image`` and an affine map.

    Deep random networks hardly answer to their input; these do, and amplify rounding as well.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    with torch_seed(0):
        for norm in norms:
            norm.momentum = 1.0
            norm.weight.data.uniform_(0.5, 1.5)
            norm.bias.data.normal_(0, 0.1)
            norm.train()
        network(image.repeat(2, 1, 1, 1) + 0.01 * torch.randn(2, *image.shape[1:]))
    return network.eval()


def border_positions(height: int, width: int, patch: int, stride: int) -> list[tuple[int, int]]:
    """Corners, borders, a few inner places on the stride's grid, and patches hanging over each border."""
    rows = [0, stride, (height // 2) // stride * stride, height - patch, height - patch // 2]
    cols = [-patch // 2, 0, 3 * stride, (width // 2) // stride * stride, width - patch]
    return [(top, left) for top in rows for left in cols]


def both(
    graph: fx.GraphModule, image: Tensor, patch: tuple[int, int], positions: list[tuple[int, int]]
) -> tuple[Tensor, Tensor]:
    """Logits (P, classes) of the engine, and of the untouched graph on occluded images."""
    fill = torch.rand(image.shape, generator=torch.Generator().manual_seed(1)).to(image)
    scores = score_positions(graph, image, positions, patch, fill, batch=8, algorithm="incremental")
    with torch.no_grad():
        return scores, torch.cat([graph(occluded(image, fill, place, patch)) for place in positions])


@contextmanager
def in_groups() -> Iterator[None]:
    """As for maps too large to keep whole: as many groups of positions, each with its own cache, as there can be.

    And as for means of large maps, which positions go through one by one.
    """
    single = mock.patch.object(batches, "SLICE_BYTES", {"cpu": 0})
    with mock.patch.multiple(cache, ROOM={"cpu": 0}, POSITIONS_FOR_A_PASS=1), single:
        yield


def relative_difference(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max() / b.abs().max())


def occluded(image: Tensor, fill: Tensor, place: tuple[int, int], patch: tuple[int, int]) -> Tensor:
    """The image with a patch replaced, by the definition."""
    rows, cols = (torch.arange(extent) for extent in image.shape[2:])
    inside_rows = (rows >= place[0]) & (rows < place[0] + patch[0])
    inside_cols = (cols >= place[1]) & (cols < place[1] + patch[1])
    return torch.where(inside_rows[:, None] & inside_cols, fill, image)


def random_image(height: int, width: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0)).to(dtype)


NETWORKS = [
    "squeezenet1_1", "resnet18", "mobilenet_v3_small", "shufflenet_v2_x0_5",
    *(pytest.param(name, marks=pytest.mark.slow) for name in ("alexnet", "googlenet", "resnet50", "densenet121")),
    *(pytest.param(name, marks=pytest.mark.slow) for name in ("mobilenet_v2", "vgg16")),
]  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_incremental_is_full_on_torchvision_networks(name: str) -> None:
    image = random_image(131, 117, torch.float64)
    network = calibrated(torchvision_network(name).double(), image)
    positions = border_positions(131, 117, 17, 5)
    scores, expected = both(trace(network), image, (17, 17), positions)
    assert expected.std(0).max() > 1e-3 * expected.abs().max(), "the patches must matter, or nothing is tested"
    assert relative_difference(scores, expected) < 1e-11


@pytest.mark.parametrize("name", NETWORKS)
def test_single_precision_loses_nothing(name: str) -> None:
    network, image = trace(torchvision_network(name)), random_image(131, 117)
    scores, expected = both(network, image, (17, 17), border_positions(131, 117, 17, 5)[::2])
    assert relative_difference(scores, expected) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", ["squeezenet1_1", "vgg16", "resnet18", "resnet50", "googlenet", "densenet121"])
def test_incremental_is_full_at_231_by_317(name: str) -> None:
    network, image = trace(torchvision_network(name)), random_image(231, 317)
    scores, expected = both(network, image, (17, 17), border_positions(231, 317, 17, 5)[::2])
    assert relative_difference(scores, expected) < 1e-5


JOINS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "": lambda before, after: after,
    "add": torch.add,
    "cat": lambda before, after: torch.cat([before, after], 1),
}
SIZES = st.integers(0, 3)
PAIRS = st.tuples(st.integers(1, 3), st.integers(1, 3))


class RandomNetwork(nn.Module):
    """Layers in a row, each alone, added to its input, or concatenated with it where shapes allow."""

    def __init__(self, layers: list[nn.Module], joins: list[str], pool: nn.Module, example: Tensor) -> None:
        super().__init__()
        self.layers, self.joins, self.pool = nn.ModuleList(layers), joins, pool
        with torch.no_grad():
            self.classifier = nn.Linear(self.pool(self.maps(example)).numel(), 5)

    def maps(self, x: Tensor) -> Tensor:
        for layer, join in zip(self.layers, self.joins, strict=True):
            x = JOINS[join](x, layer(x))
        return x

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(torch.flatten(self.pool(self.maps(x)), 1))


@st.composite
def convolutions(draw: st.DrawFn, channels: int) -> nn.Module:
    groups = draw(st.sampled_from([1, channels]))
    kernel, dilation = draw(PAIRS), draw(PAIRS)
    padding = draw(st.one_of(st.tuples(SIZES, SIZES), st.just("valid"), st.just("same")))
    stride = (1, 1) if padding == "same" else draw(PAIRS)
    bias = draw(st.booleans())
    return nn.Conv2d(channels, 2 * channels, kernel, stride, padding, dilation, groups, bias)


@st.composite
def pools(draw: st.DrawFn) -> nn.Module:
    kernel = draw(PAIRS)
    padding = (draw(st.integers(0, kernel[0] // 2)), draw(st.integers(0, kernel[1] // 2)))
    stride, ceil_mode = draw(PAIRS), draw(st.booleans())
    if draw(st.booleans()):
        return nn.MaxPool2d(kernel, stride, padding, draw(PAIRS), ceil_mode=ceil_mode)
    return nn.AvgPool2d(kernel, stride, padding, ceil_mode, count_include_pad=draw(st.booleans()))


@st.composite
def networks(draw: st.DrawFn, size: tuple[int, int]) -> RandomNetwork:
    """A network of up to six layers whose maps keep at least three cells a side."""
    layers: list[nn.Module] = []
    joins: list[str] = []
    x = torch.zeros(1, 3, *size)
    for _ in range(draw(st.integers(2, 6))):
        channels = x.shape[1]
        layer = draw(
            st.one_of(
                convolutions(channels),
                pools(),
                st.just(nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels))),
                st.sampled_from([nn.ReLU(), nn.SiLU(), nn.ReLU6(), nn.BatchNorm2d(channels)]),
            )
        )
        after = output_or_none(layer, x)
        if after is None or after.shape[1] > 24:
            continue
        fitting = [""] + ["add"] * (after.shape == x.shape) + ["cat"] * (after.shape[2:] == x.shape[2:])
        joins.append(draw(st.sampled_from(fitting)))
        layers.append(layer)
        x = JOINS[joins[-1]](x, after)
    pool = draw(st.sampled_from([nn.AdaptiveAvgPool2d(1), nn.AdaptiveAvgPool2d(2), nn.AdaptiveMaxPool2d(1)]))
    return RandomNetwork(layers, joins, pool, torch.zeros(1, 3, *size))


def output_or_none(layer: nn.Module, x: Tensor) -> Tensor | None:
    """What the layer gives, or None if the map is too small for it or becomes so."""
    try:
        with torch.no_grad():
            result: Tensor = layer.eval()(x.clone())
    except RuntimeError:
        return None
    return result if min(result.shape[2:]) >= 3 else None


@pytest.mark.slow
@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(data=st.data())
def test_incremental_is_full_on_random_graphs(data: st.DataObject) -> None:
    height, width = data.draw(st.integers(12, 40), "height"), data.draw(st.integers(12, 40), "width")
    patch = data.draw(st.tuples(st.integers(1, 9), st.integers(1, 9)), "patch")
    with torch_seed(0):
        network = data.draw(networks((height, width)), "network").double().eval()
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.get_buffer("running_mean"))
                nn.init.uniform_(module.get_buffer("running_var"), 0.5, 2)
    tops = st.integers(-patch[0] + 1, height - 1)
    lefts = st.integers(-patch[1] + 1, width - 1)
    positions = data.draw(st.lists(st.tuples(tops, lefts), min_size=1, max_size=9), "positions")
    image = random_image(height, width, torch.float64)
    with in_groups() if data.draw(st.booleans(), "in groups") else nullcontext():
        engine_scores, scores = both(trace(network), image, patch, positions)
    assert torch.allclose(engine_scores, scores, rtol=0, atol=1e-9 * float(scores.abs().max()))


def small_graph(*layers: nn.Module) -> fx.GraphModule:
    with torch_seed(0):
        head = [
            nn.Conv2d(3, 4, 3, padding=1),
            *layers,
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.LazyLinear(5),
        ]
        network = nn.Sequential(*head).double()
        network(torch.zeros(1, 3, 32, 32, dtype=torch.float64))
    return trace(network.eval())


PLACES = [(0, 0), (3, 20), (25, 29), (-2, 10)]


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
        nn.ConvTranspose2d(4, 4, 3, stride=2),
        nn.Upsample(scale_factor=2),
        nn.AdaptiveAvgPool2d(5),
        nn.AdaptiveAvgPool2d(8),
        nn.InstanceNorm2d(4),
        nn.PixelShuffle(2),
        nn.LocalResponseNorm(3),
        nn.ChannelShuffle(2),
        nn.Softmax(dim=-1),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_operations_that_are_not_local_are_computed_on_whole_maps(layer: nn.Module) -> None:
    scores, expected = both(small_graph(layer, nn.ReLU()), random_image(32, 32, torch.float64), (7, 5), PLACES)
    torch.testing.assert_close(scores, expected)


class Functional(nn.Module):
    """Functional pooling and activations, arithmetic with constants, shapes read off, gated channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, stride=2, padding=2)
        self.mean = nn.Parameter(torch.rand(3, 1, 1))
        self.gate = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv((x - self.mean) / 0.3))
        x = F.max_pool2d(x, 3, 2, padding=1, ceil_mode=True)
        x = F.avg_pool2d(x, kernel_size=2, stride=1, padding=1, count_include_pad=False) + 1
        gate = torch.sigmoid(self.gate(x.mean((2, 3))))
        x = x * gate[:, :, None, None]
        return x.view(x.size(0), x.shape[1], -1).sum(2)


def test_functional_operations_and_global_gates() -> None:
    with torch_seed(0):
        graph = trace(Functional().double())
    scores, expected = both(graph, random_image(32, 32, torch.float64), (7, 5), PLACES)
    torch.testing.assert_close(scores, expected)


def test_a_graph_the_engine_cannot_follow_takes_the_full_pass() -> None:
    """Its output is a map, not logits."""
    with torch_seed(0):
        graph = trace(nn.Sequential(nn.Conv2d(3, 6, 3), nn.AdaptiveAvgPool2d(1)))
    image = random_image(32, 32)
    with pytest.raises(NotIncremental):
        score_positions(graph, image, PLACES, 7, torch.zeros(1, 1, 1, 1), algorithm="incremental")
    scores = score_positions(graph, image, PLACES, 7, torch.zeros(1, 1, 1, 1))
    expected = torch.cat([graph(occluded(image, torch.zeros(1), place, (7, 7))) for place in PLACES])
    torch.testing.assert_close(scores, expected)


class OverwritesItsInput(nn.Module):
    """An in-place ReLU whose input is read again afterwards, and so already rectified."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        y = F.relu(x, inplace=True)
        return (x - 2 * y).mean((2, 3))


def test_in_place_operations_are_followed() -> None:
    with torch_seed(0):
        network = OverwritesItsInput().double()
    scores, expected = both(trace(network), random_image(32, 32, torch.float64), (7, 5), PLACES)
    torch.testing.assert_close(scores, expected)
    fill = torch.rand((1, 3, 32, 32), generator=torch.Generator().manual_seed(1)).double()
    own = torch.cat([network(occluded(random_image(32, 32, torch.float64), fill, place, (7, 5))) for place in PLACES])
    torch.testing.assert_close(scores, own)


def test_hooks_on_a_rectifier_and_before_one_are_run() -> None:
    with torch_seed(0):
        network = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 6, 3), nn.Flatten())
    network.double().eval()
    network[2].register_forward_hook(lambda module, args, output: output * 0.3 + 0.2)
    kept = []
    network[1].register_forward_hook(lambda module, args, output: kept.append(output))
    scores, expected = both(trace(network), random_image(32, 32, torch.float64), (7, 5), PLACES)
    torch.testing.assert_close(scores, expected)
    assert all(bool((output < 0).any()) for output in kept)


def test_the_graph_is_left_as_it_was() -> None:
    graph = small_graph(nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Conv2d(4, 4, 3), nn.Hardswish(inplace=True))
    before, code = {name: value.clone() for name, value in graph.state_dict().items()}, graph.code
    scores, expected = both(graph, random_image(32, 32, torch.float64), (7, 5), PLACES)
    torch.testing.assert_close(scores, expected)
    assert graph.code == code
    assert all(torch.equal(value, before[name]) for name, value in graph.state_dict().items())


def test_occlude_replaces_the_patch_and_cuts_off_what_hangs_over() -> None:
    image, fill = random_image(32, 32), torch.zeros(1, 3, 32, 32)
    places = [*PLACES, (-9, 3), (40, 40)]
    copies = occlude(image, places, torch.zeros(len(places), 3, 7, 5))
    for copy, place in zip(copies, places, strict=True):
        assert torch.equal(copy, occluded(image, fill, place, (7, 5))[0])


@pytest.mark.parametrize("algorithm", ["incremental", "full"])
def test_scores_are_in_the_order_of_the_positions_and_steps_are_reported(algorithm: str) -> None:
    graph, image = small_graph(nn.ReLU()), random_image(32, 32, torch.float64)
    told: list[tuple[int, int]] = []
    scores = score_positions(
        graph, image, PLACES[::-1], 7, image.mean((2, 3), keepdim=True), batch=1, algorithm=algorithm,  # type: ignore[arg-type]
        on_step=lambda step: told.append((step.step, step.total)),
    )  # fmt: skip
    forward = score_positions(graph, image, PLACES, 7, image.mean((2, 3), keepdim=True))
    torch.testing.assert_close(scores.flip(0), forward)
    assert told[-1] == (4, 4)


@pytest.mark.parametrize("side", [2, 40], ids=["output scaled", "weights scaled"])
@pytest.mark.parametrize("kernel", [1, 3])
def test_weights_in_slices_give_the_same_convolution(side: int, kernel: int) -> None:
    with torch_seed(0):
        network = nn.Sequential(nn.Conv2d(40, 150, kernel, padding=kernel // 2), nn.BatchNorm2d(150))
        nn.init.uniform_(network.get_buffer("1.running_var"), 0.5, 2)
        x = torch.randn(3, 40, side, side, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
    network = network.double().eval().requires_grad_(False)
    prepared = convolution.prepare_convolutions(trace(network))
    with mock.patch.object(convolution, "_WEIGHTS_AT_ONCE", 1):
        torch.testing.assert_close(prepared(x), network(x))


def test_groups_keep_less_and_change_no_score() -> None:
    graph, image = small_graph(nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3)), random_image(64, 64, torch.float64)
    positions = [(top, left) for top in range(0, 57, 7) for left in range(0, 57, 7)]
    patches = torch.zeros(len(positions), 3, 7, 7, dtype=torch.float64)
    at_once = IncrementalEngine(graph, image, (7, 7), positions)
    with in_groups():
        grouped = IncrementalEngine(graph, image, (7, 7), positions)
    assert grouped.cache.parts > 2
    assert grouped.cache.nbytes() < at_once.cache.nbytes() / 3
    order = grouped.order(positions)
    assert len(list(itertools.groupby(grouped.cache.group(positions[i]) for i in order))) == grouped.cache.parts**2
    torch.testing.assert_close(grouped.scores(positions, patches, 4), at_once.scores(positions, patches, 4))


def test_batches_and_order_do_not_change_the_scores() -> None:
    graph, image = (
        small_graph(nn.MaxPool2d(3, 2), nn.ReLU(), nn.Conv2d(4, 4, 3)),
        random_image(32, 40, torch.float64),
    )
    positions = [(top, left) for top in range(0, 25, 3) for left in range(0, 33, 3)]
    engine = IncrementalEngine(graph, image, (7, 7), positions)
    patches = torch.zeros(len(positions), 3, 7, 7, dtype=torch.float64)
    torch.testing.assert_close(engine.scores(positions, patches, 1), engine.scores(positions, patches, 50))
    assert sorted(engine.order(positions)) == list(range(len(positions)))
