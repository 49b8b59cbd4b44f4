"""Photos kept back from a training: which, what is shown and said of them; and the estimate of its duration."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cnnviz.errors import UsageError
from cnnviz.network.network import Network
from cnnviz.network.spec import InputSpec
from cnnviz.style.held_out import Improvement, held_out_numbers, interval, preview_sheet, square
from cnnviz.style.settings import TrainingSettings
from cnnviz.style.training import FastStyleTraining

SMALL = {"widths": (4, 4, 4), "blocks": 1, "batch": 1, "crop": 32, "style_size": 64, "steps": 100}
LAYERS = {"content_layers": ["2"], "style_layers": ["0", "2"]}


@pytest.fixture
def training():
    """One whose photos are each of one color, by number, so that it shows in a crop which it is of."""
    torch.manual_seed(5)
    module = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    network = Network(module, name="tiny", spec=InputSpec(size=32, min_size=8))
    photos = [torch.full((1, 3, 40, 40), i / 10) for i in range(9)]

    def make(**changes):
        minutes = changes.pop("minutes", None)
        chosen = TrainingSettings(**{**SMALL, **LAYERS, "augment": False, **changes})
        style = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
        return FastStyleTraining(network, {"noise": style}, photos, chosen, minutes=minutes)

    return make


def test_at_most_a_quarter_is_kept_back_and_they_are_spread():
    assert [held_out_numbers(n, 3) for n in (1, 3, 4, 9)] == [[], [], [2], [2, 6]]
    assert held_out_numbers(60, 3) == [10, 30, 50]
    assert held_out_numbers(60, 0) == []


def test_what_is_kept_back_is_shown_beside_the_style_and_never_trained_on(training):
    job = training()
    crops = job.crops.draw(200, torch.Generator().manual_seed(0))
    seen = {round(float(v) * 10) for v in crops.mean((1, 2, 3))}
    assert seen == {0, 1, 3, 4, 5, 7, 8}
    sheet = job.preview()
    assert sheet.shape == (1, 3, 64, 96)
    assert [round(float(sheet[..., :32, x].mean()) * 10) for x in (0, 40, 70)] == [10, 2, 6]
    assert torch.equal(sheet[:, :, 32:, :32], square(job.styles[0], 32))
    assert torch.equal(sheet, job.preview())


def test_without_photos_kept_back_crops_are_shown_and_nothing_is_measured(training):
    job = training(held_out=0, steps=26)
    assert job.preview().shape == (1, 3, 64, 128)
    job.run()
    assert job.improvement.losses == []


def test_it_is_measured_now_and_then_and_a_resumed_training_goes_on_measuring(training):
    job = training(steps=60)
    job.run()
    assert [step for step, _ in job.improvement.losses] == [25, 50]
    again = training(steps=90)
    again.load_state_dict(job.state_dict())
    again.run()
    assert [step for step, _ in again.improvement.losses] == [25, 50, 75]
    assert again.improvement.losses[:2] == job.improvement.losses
    assert interval(20_000) == 500


def test_it_stops_improving_where_the_mean_of_four_falls_by_less_than_a_hundredth():
    falling, flat = Improvement(), Improvement()
    for i in range(12):
        falling.add(i, 0.98**i)
        flat.add(i, max(0.9**i, 0.9**4))
    assert falling.stopped_at is None
    assert flat.stopped_at == 11
    assert "At step 11" in flat.sentence and "0.656" in flat.sentence


def test_timing_changes_nothing(training):
    plain, timed = training(), training()
    told = []
    timed.on_estimate = lambda steps, seconds: told.append((steps, seconds))
    ends = [torch.cat([p.flatten() for p in job.run().parameters()]) for job in (plain, timed)]
    assert torch.equal(*ends)
    assert len(told) == 1 and told[0][0] == 100 and told[0][1] > 0


def test_a_time_is_turned_into_steps_which_a_resumed_training_keeps(training):
    job = training(minutes=0.05)
    job.seconds_per_step = lambda: 0.5
    job.run()
    assert job.done == job.settings.steps == 6
    state = {**job.state_dict(), "done": 2}
    again = training(minutes=1000)
    again.load_state_dict(state)
    again.run()
    assert again.done == 6
    with pytest.raises(UsageError, match="positive number of minutes"):
        training(minutes=float("nan"))


def test_a_sheet_has_a_row_for_each_style():
    photos, style = torch.zeros(2, 3, 8, 8), torch.ones(1, 3, 20, 30)
    assert preview_sheet([style, style], photos, [photos, photos]).shape == (1, 3, 24, 24)
