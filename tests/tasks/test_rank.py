"""``compare --rank``: the true map first, baselines last, and what it reads and writes."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import avg_pool2d

from cnnviz.errors import UsageError
from cnnviz.imaging.pixel_ops import gaussian_blur
from cnnviz.network.network import Network
from cnnviz.pipeline.collection_job import ImageCollection
from cnnviz.pipeline.config import InputConfig
from cnnviz.pipeline.recipe import Provenance
from cnnviz.pipeline.reporter import SilentReporter
from cnnviz.tasks.rank import Rank

BLIND = ("random", "smooth-random", "middle", "edges")
SIDE = 64
SLOW = pytest.mark.slow


class Cells(torch.nn.Module):
    """How many cells of 4 × 4 pixels within a mask hold their pattern; half of a pattern is none."""

    def __init__(self, pattern: torch.Tensor, mask: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("pattern", pattern)
        self.register_buffer("cells", avg_pool2d(mask, 4) / mask.mean())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        match = avg_pool2d((x.mean(1, keepdim=True) - 0.5) * self.pattern, 4)
        score = 10 * (((match - 0.18).relu() / 0.12 * self.cells).mean((1, 2, 3)) - 0.5)
        return torch.stack((score, -score), 1)


def evidence(seed: int, where: str) -> tuple[torch.Tensor, torch.Tensor]:
    """A pattern of ±1 (1, 1, H, W), and where it is read, in cells: spots, the border, or a square of texture."""
    generator = torch.Generator().manual_seed(seed)
    pattern = 2.0 * ((torch.arange(SIDE) // 2) % 2) - 1
    pattern = (pattern[:, None] * torch.ones(SIDE))[None, None]
    mask = torch.zeros(1, 1, SIDE, SIDE)
    if where == "border":
        mask[:] = 1
        mask[..., 4:-4, 4:-4] = 0
    elif where == "texture":
        top, left = (4 * torch.randint(0, 11, (2,), generator=generator)).tolist()
        mask[..., top : top + 24, left : left + 24] = 1
        pattern = 2.0 * (torch.rand(1, 1, SIDE, SIDE, generator=generator) > 0.5) - 1
    else:
        field = gaussian_blur(torch.rand(1, 1, SIDE // 4, SIDE // 4, generator=generator), 2)
        mask = (field > field.quantile(0.85)).float().repeat_interleave(4, 2).repeat_interleave(4, 3)
    return pattern, mask


def made_set(folder, seed: int, where: str, count: int = 2) -> tuple[Network, torch.Tensor]:
    """Images full of the pattern, each on a background of its own, the true maps beside, and the network."""
    pattern, mask = evidence(seed, where)
    (folder / "photos").mkdir()
    (folder / "true").mkdir()
    for number in range(count):
        noise = torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(100 * seed + number))
        background = gaussian_blur(noise, 8)
        background = 0.05 * (background - background.mean()) / background.std()
        pixels = (0.5 + 0.3 * pattern + background).clamp(0, 1)
        levels = (255 * pixels[0]).round().byte().permute(1, 2, 0).numpy()
        Image.fromarray(levels).save(folder / "photos" / f"{number}.png")
        np.save(folder / "true" / f"{number}.npy", mask[0, 0].numpy())
    labels = ("there", "not there")
    return Network(Cells(pattern, mask), labels=labels, mean=(0.0,) * 3, std=(1.0,) * 3, size=SIDE), mask


def ranked(folder, network, **settings):
    config = InputConfig(images=[str(folder / "photos")], size=SIDE)
    images = ImageCollection.of(config, SilentReporter(), Provenance())
    return Rank(**settings).run(network, images)


def require_order(folder, seed: int, where: str) -> None:
    network, _ = made_set(folder, seed, where)
    methods = "saliency,input-x-gradient,occlusion"
    own = (f"true={folder / 'true'}",)
    result = ranked(folder, network, maps=own, methods=methods, boxes=str(folder / "masks"), seed=seed)
    rows = {row["name"]: row for row in result.metadata["ranking"]}
    assert next(iter(rows)) == "true", list(rows)
    order = list(rows)
    for name, row in rows.items():
        if name not in BLIND and row["overlap"][0] > 0.5:
            assert all(order.index(blind) > order.index(name) for blind in BLIND), (name, order)


@pytest.fixture
def folder(tmp_path):
    return tmp_path


def with_masks(folder, seed, where):
    _, mask = evidence(seed, where)
    (folder / "masks").mkdir()
    for number in range(2):
        Image.fromarray((255 * mask[0, 0]).byte().numpy()).save(folder / "masks" / f"{number}.png")


@pytest.mark.parametrize("where", ["spots", pytest.param("texture", marks=SLOW), pytest.param("border", marks=SLOW)])
def test_the_true_map_is_first_and_baselines_are_last(folder, where):
    with_masks(folder, 0, where)
    require_order(folder, 0, where)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("where", ["spots", "texture", "border"])
def test_it_is_so_with_every_seed(folder, where, seed):
    with_masks(folder, seed, where)
    require_order(folder, seed, where)


def test_the_sheet_has_a_table_and_json_beside_it(folder):
    network, _ = made_set(folder, 0, "spots")
    result = ranked(folder, network, methods="saliency")
    table = list(csv.DictReader(io.StringIO(result.sidecars[".csv"].decode())))
    assert [row["map"] for row in table] == [row["name"] for row in result.metadata["ranking"]]
    assert {row["map"] for row in table if row["baseline"] == "yes"} == set(BLIND)
    assert json.loads(result.sidecars[".json"]) == result.metadata
    first = result.metadata["ranking"][0]
    assert first["name"] == "saliency"
    assert first["hiding"][1] <= first["hiding"][0] <= first["hiding"][2]
    rows = {row["name"]: row for row in result.metadata["ranking"]}
    best = rows[result.metadata["best_baseline"]]
    assert first["margin"][0] == pytest.approx(first["hiding"][0] - best["hiding"][0], abs=2e-6)
    assert result.metadata["agreement"] == {"saliency": {"saliency": 1.0}}
    assert "knows nothing of the network" in result.text[-1]
    assert result.image.mode == "RGB"


def test_one_image_has_no_interval(folder):
    network, _ = made_set(folder, 0, "spots", count=1)
    result = ranked(folder, network, methods="saliency")
    assert result.metadata["ranking"][0]["hiding"][1:] == [None, None]


@pytest.mark.parametrize("text", ["true", "=x", "true=", "gradcam=x", "middle=x"])
def test_names_of_maps_are_checked(text):
    with pytest.raises(UsageError, match="name"):
        Rank(maps=(text,))


def test_a_folder_of_maps_that_is_not_there_is_named_before_any_work(tmp_path):
    with pytest.raises(UsageError, match=r"There is no folder .*gone' of maps called 'mine'"):
        Rank(maps=(f"mine={tmp_path / 'gone'}",)).run(None, None)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (None, "There is no map"),
        (np.full((4, 4), np.nan), "finite numbers"),
        (np.zeros((2, 4, 4)), "finite numbers"),
        (np.array([{}], dtype=object), "is no map"),
    ],
)
def test_a_bad_map_leaves_its_image_out(folder, values, words):
    network, _ = made_set(folder, 0, "spots")
    bad = folder / "true" / "1.npy"
    bad.unlink()
    if values is not None:
        np.save(bad, values, allow_pickle=True)
    failed = []

    class Recorder(SilentReporter):
        def failed(self, name, error):
            failed.append(str(error))

    images = ImageCollection.of(InputConfig(images=[str(folder / "photos")], size=SIDE), Recorder(), Provenance())
    result = Rank(maps=(f"true={folder / 'true'}",), methods="saliency").run(network, images)
    assert result.metadata["images"] == 1
    assert len(failed) == 1 and words in failed[0]


def test_maps_of_another_size_are_resized(folder):
    network, mask = made_set(folder, 0, "spots")
    for number in range(2):
        small = torch.nn.functional.interpolate(mask, (16, 16), mode="area")[0, 0].numpy()
        np.save(folder / "true" / f"{number}.npy", small)
    result = ranked(folder, network, maps=(f"true={folder / 'true'}",), methods="saliency")
    assert {row["name"] for row in result.metadata["ranking"][:2]} == {"true", "saliency"}
