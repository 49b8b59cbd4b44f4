"""The baselines, the fills, and what hiding measures."""

from __future__ import annotations

import pytest
import torch

import cnnviz
from cnnviz.attribution.metrics.baselines import BASELINES
from cnnviz.attribution.metrics.fills import CHOOSING, MEASURING, inpaint
from cnnviz.attribution.metrics.hiding import hiding, ranks_of
from cnnviz.attribution.metrics.jitters import Jitter, steady_jitter
from cnnviz.errors import UsageError
from cnnviz.network.network import Network


def test_halves_share_kinds_but_no_fill():
    assert {fill.kind for fill in CHOOSING} == {fill.kind for fill in MEASURING}
    assert not {fill.name for fill in CHOOSING} & {fill.name for fill in MEASURING}
    for half in (CHOOSING, MEASURING):
        kinds = [fill.kind for fill in half]
        most = sorted(map(kinds.count, set(kinds)))[-2:]
        assert len(half) - sum(most) >= 6, "a map made with fills of two kinds is measured by six others"


@pytest.mark.parametrize("fill", [*CHOOSING, *MEASURING], ids=lambda fill: fill.name)
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_fills_keep_what_is_kept_and_hide_the_rest(fill, channels):
    image = torch.rand(1, channels, 30, 41, generator=torch.Generator().manual_seed(0))
    keep = torch.rand(2, 1, 30, 41, generator=torch.Generator().manual_seed(1)) < 0.4
    hide = fill.prepare(image, torch.Generator().manual_seed(2))
    hidden = hide(keep)
    assert hidden.shape == (2, channels, 30, 41)
    assert 0 <= float(hidden.min()) <= float(hidden.max()) <= 1
    inside = keep.expand_as(hidden)
    assert torch.equal(hidden[inside], image.expand_as(hidden)[inside])
    assert float((hidden - image)[~inside].abs().mean()) > 0.1
    again = fill.prepare(image, torch.Generator().manual_seed(2))(keep)
    assert torch.equal(hidden, again)


def test_inpainting_continues_a_gradient():
    ramp = torch.linspace(0, 1, 32).expand(1, 1, 32, 32)
    keep = torch.ones(1, 1, 32, 32, dtype=torch.bool)
    keep[..., 12:20, 12:20] = False
    assert float((inpaint(ramp, keep) - ramp).abs().max()) < 0.15
    nothing = inpaint(ramp, torch.zeros_like(keep))
    assert torch.allclose(nothing, torch.full_like(nothing, 0.5), atol=1e-5)


def test_baselines_know_the_image_at_most():
    image = torch.zeros(2, 3, 40, 60)
    image[:, :, :, 30:] = 1
    maps = {name: cnnviz.baseline_map(name, image) for name in BASELINES}
    assert {tuple(found.shape) for found in maps.values()} == {(2, 1, 40, 60)}
    assert not torch.equal(maps["random"], cnnviz.baseline_map("random", image, seed=1))
    assert divmod(int(maps["middle"][0, 0].argmax()), 60) in {(row, column) for row in (19, 20) for column in (29, 30)}
    assert set(maps["edges"][0, 0].argmax(1).tolist()) <= {29, 30}
    with pytest.raises(UsageError, match="There is no baseline 'center'"):
        cnnviz.baseline_map("center", image)


def test_ranks_put_the_largest_first_and_ties_nowhere():
    ranks = ranks_of(torch.tensor([[[[1.0, 3.0], [2.0, 0.0]]]]))
    assert ranks.tolist() == [[[[2, 0], [1, 3]]]]
    flat = ranks_of(torch.zeros(1, 1, 64, 64)).double()
    top, bottom = flat[..., :32, :].mean(), flat[..., 32:, :].mean()
    assert abs(float(top - bottom)) < 200, "equal pixels are in no order"


def test_a_negated_map_has_the_negated_area(squeezenet):
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    found = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(4))
    measured = hiding(squeezenet, image, torch.cat((found, -found)), 5, CHOOSING[0], steps=4)
    assert float(measured.scores.sum()) == pytest.approx(0, abs=1e-9)
    assert 0 <= measured.least <= measured.largest <= 1


def test_maps_move_with_the_image():
    image = torch.rand(1, 3, 20, 30)
    jitter = Jitter(down=2, right=-1, gain=1.0, seed=0)
    moved = jitter.of_maps(image)
    assert torch.equal(moved[:, :, 2:, :-1], image[:, :, :-2, 1:])
    assert float((jitter.of_image(image) - moved).abs().max()) < 0.06
    drawn = Jitter.draw((224, 300), torch.Generator().manual_seed(0))
    assert abs(drawn.down) <= 2 and abs(drawn.right) <= 2 and 0.95 <= drawn.gain <= 1.05


class Exact(torch.nn.Module):
    """Sees one image where it is, and nothing where it is a pixel to the side."""

    def __init__(self, image: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("image", image)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        score = 20 * (1 - 8 * (x - self.image).abs().mean((1, 2, 3)))
        return torch.stack((score, -score), 1)


def test_a_jitter_that_takes_the_class_away_is_drawn_again():
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(5))
    network = Network(Exact(image), labels=("seen", "not"), mean=(0.0,) * 3, std=(1.0,) * 3, size=64)
    moved = [Jitter.draw((64, 64), torch.Generator().manual_seed(seed)) for seed in range(6)]
    assert any(network.predict(each.of_image(image), 1)[0][0][0] == 1 for each in moved), "not seen any more"
    assert any(each.down or each.right for each in moved)
    steady = [steady_jitter(network, image, 0, seed) for seed in range(6)]
    assert all((each.down, each.right) == (0, 0) for each in steady)
    assert all(network.predict(each.of_image(image), 1)[0][0][0] == 0 for each in steady), "still seen"
    assert steady_jitter(network, image, 1, 0) == moved[0], "nothing of what is not there can be taken"
