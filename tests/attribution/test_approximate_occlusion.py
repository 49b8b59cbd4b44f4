"""Approximate occlusion: exact where it says so, and wrong by what it says elsewhere."""

from __future__ import annotations

import json

import pytest
import torch

import cnnviz
from cnnviz.attribution.approximate_occlusion import drill_down
from cnnviz.attribution.occlusion import occlusion_grids
from cnnviz.attribution.occlusion_scores import score_positions
from cnnviz.attribution.settings import OcclusionSettings

NET = ("-m", "squeezenet1_1")


def grids(network, pixels, **options):
    return occlusion_grids(network, pixels, 285, OcclusionSettings(24, 8, score="logit", **options))[0]


def test_the_stated_error_is_that_of_the_exact_grid(squeezenet, chelsea):
    pixels = chelsea[..., 40:168, 60:188]
    exact, rough = grids(squeezenet, pixels), grids(squeezenet, pixels, approximate=True, seed=3)
    wrong = (rough.score_drops - exact.score_drops).abs() / rough.score_drops.abs().max()
    checked = wrong.flatten()[list(rough.error.checked)]
    assert 0 < rough.error.mean < 0.2
    assert rough.error.largest == pytest.approx(float(checked.max()), abs=1e-4)
    assert rough.error.mean == pytest.approx(float(checked.mean()), abs=1e-4)
    assert rough.error.largest <= float(wrong.max()) + 1e-4
    assert rough.error.computed < rough.error.positions / 2
    assert len(set(rough.error.checked)) == len(rough.error.checked)


def test_seeds_draw_other_positions_to_check(squeezenet, chelsea):
    pixels = chelsea[..., 40:104, 60:140]
    first, again, other = (grids(squeezenet, pixels, approximate=True, seed=seed).error for seed in (1, 1, 2))
    assert first == again
    assert first.checked != other.checked


@pytest.mark.parametrize(("cap", "is_exact"), [(1.0, True), (5.0, True), (0.3, False)])
def test_a_cap_beyond_the_map_is_exact(squeezenet, chelsea, cap, is_exact):
    image = squeezenet.normalize(chelsea[..., 40:140, 60:140])
    places = [(0, 0), (33, 20), (70, 50), (-5, 30)]
    graph, grey = squeezenet.graph, torch.zeros(1, 1, 1, 1)
    exact = score_positions(graph, image, places, 20, grey, algorithm="full")
    found = score_positions(graph, image, places, 20, grey, algorithm="incremental", window_cap=cap)
    difference = float((found - exact).abs().max() / exact.abs().max())
    assert (difference < 1e-5) is is_exact


def test_drill_down_interpolates_linearly_and_computes_the_hottest():
    tops, lefts = torch.tensor([0, 8, 16, 24, 30]), torch.tensor([0, 8, 16, 24, 32, 40, 48, 51])
    plane = tops[:, None] * 2.0 + lefts
    peak = plane.clone()
    peak[3, 6] += 1.0
    asked: list[tuple[list[int], bool]] = []

    def effects(chosen, exact):
        asked.append((list(chosen), exact))
        return peak.flatten()[list(chosen)], torch.zeros(len(chosen), dtype=torch.long)

    drops, classes, error = drill_down(tops, lefts, effects, torch.Generator().manual_seed(0))
    assert [exact for _, exact in asked] == [False, False, True]
    assert 3 * 8 + 6 in asked[0][0] + asked[1][0]
    torch.testing.assert_close(drops, peak, atol=0.4, rtol=0)
    torch.testing.assert_close(drops[:3, :3], plane[:3, :3])
    assert classes.shape == drops.shape
    assert error.computed == len(asked[0][0]) + len(asked[1][0])


def test_one_position_is_all_there_is(squeezenet, chelsea):
    pixels = chelsea[..., :64, :64]
    (grid,) = occlusion_grids(squeezenet, pixels, 285, OcclusionSettings(64, score="logit", approximate=True))
    (exact,) = occlusion_grids(squeezenet, pixels, 285, OcclusionSettings(64, score="logit"))
    assert float(grid.score_drops) == pytest.approx(float(exact.score_drops), abs=1e-3)
    assert grid.error.positions == grid.error.computed == 1


def test_progress_counts_every_computed_position(squeezenet, chelsea):
    told: list[tuple[int, int]] = []
    cnnviz.occlusion(
        squeezenet, chelsea[..., :96, :96], patch=32, stride=8, approximate=True,
        on_step=lambda step: told.append((step.step, step.total)),
    )  # fmt: skip
    assert told[-1][0] == told[-1][1]
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_command_states_the_error(run_cnnviz, samples):
    options = ("--size", 128, "--stride", 16, "--approximate")
    result = run_cnnviz("occlusion", samples / "chelsea.png", *NET, *options, "--json")
    record = json.loads(result.stdout)
    approximation = record["approximation"]
    assert approximation["computed"] < approximation["positions"] == len(record["tops"]) * len(record["lefts"])
    assert 0 <= approximation["mean"] <= approximation["largest"]
    assert f"{approximation['largest']:.1%} at most" in result.stderr.replace("\n", " ")
