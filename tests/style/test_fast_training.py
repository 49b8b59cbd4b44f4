"""Training: it lowers the loss, a resumed training gives the same network, and styles can be added."""

from __future__ import annotations

import io

import pytest
import torch
from torch import nn

from cnnviz.errors import DivergedError, ImageError, UsageError
from cnnviz.imaging.image_io import read_image
from cnnviz.network.network import Network
from cnnviz.network.spec import InputSpec
from cnnviz.style.dataset import CropDataset, random_augment
from cnnviz.style.fast import FastStyleNetwork
from cnnviz.style.perceptual_loss import PerceptualLoss
from cnnviz.style.settings import TrainingSettings
from cnnviz.style.training import FastStyleTraining, train_fast_style

SMALL = {"widths": (4, 6, 8), "blocks": 1, "batch": 2, "crop": 32, "style_size": 64, "steps": 6}
LAYERS = {"content_layers": ["2"], "style_layers": ["0", "2"]}


@pytest.fixture(scope="module")
def loss_network() -> Network:
    torch.manual_seed(5)
    module = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    return Network(module, name="tiny", spec=InputSpec(size=32, min_size=8))


@pytest.fixture(scope="module")
def images(samples) -> dict[str, torch.Tensor]:
    return {name: read_image(samples / f"{name}.jpg", 96) for name in ("starry", "ink")}


@pytest.fixture(scope="module")
def photos(samples) -> list[torch.Tensor]:
    return [read_image(samples / name, 96) for name in ("astronaut.png", "rocket.jpg")]


def settings(**changes) -> TrainingSettings:
    return TrainingSettings(**{**SMALL, **LAYERS, **changes})


def parameters(network: FastStyleNetwork) -> torch.Tensor:
    return torch.cat([part.detach().flatten() for part in network.parameters()])


@pytest.mark.slow
def test_the_loss_falls_by_half_in_200_steps(squeezenet, samples):
    losses = []
    train_fast_style(
        squeezenet,
        {"ink": read_image(samples / "ink.jpg", 128)},
        [read_image(samples / "astronaut.png", 128)],
        on_step=lambda step: losses.append(step.terms["loss"]),
        **{**SMALL, "widths": (8, 8, 8), "steps": 200, "crop": 48, "learning_rate": 1e-2, "content_weight": 1.0},
        style_layers=["relu1", "fire2", "fire3"],
        content_layers=["fire3"],
    )
    first, last = sum(losses[:10]) / 10, sum(losses[-10:]) / 10
    assert last < first / 2


def test_resumed_from_a_checkpoint_it_ends_with_the_same_bits(loss_network, images, photos):
    through = FastStyleTraining(loss_network, images, photos, settings(), seed=3)
    expected = parameters(through.run())
    stopped = FastStyleTraining(loss_network, images, photos, settings(), seed=3)
    for _ in range(3):
        stopped.step()
        stopped.preview()  # looking changes nothing
    kept = io.BytesIO()
    torch.save(stopped.state_dict(), kept)
    kept.seek(0)
    torch.manual_seed(99)
    again = FastStyleTraining(loss_network, images, photos, settings(), seed=3)
    again.load_state_dict(torch.load(kept, weights_only=True))
    assert again.done == 3
    assert torch.equal(parameters(again.run()), expected)
    other = FastStyleTraining(loss_network, images, photos, settings(), seed=4)
    assert (parameters(other.run()) - expected).abs().max() > 0.01


def test_a_checkpoint_of_another_training_is_refused_but_may_be_made_longer(loss_network, images, photos):
    state = FastStyleTraining(loss_network, images, photos, settings()).state_dict()
    with pytest.raises(UsageError, match="crop 32, not 48"):
        FastStyleTraining(loss_network, images, photos, settings(crop=48)).load_state_dict(state)
    with pytest.raises(UsageError, match="seed 0, not 1"):
        FastStyleTraining(loss_network, images, photos, settings(), seed=1).load_state_dict(state)
    longer = FastStyleTraining(loss_network, images, photos, settings(steps=9))
    longer.load_state_dict(state)
    longer.run()
    assert longer.done == 9


def test_an_added_style_leaves_the_old_ones_and_the_loss_network_as_they_were(loss_network, images, photos):
    before = torch.cat([p.flatten().clone() for p in loss_network.module.parameters()])
    base = train_fast_style(loss_network, {"ink": images["ink"]}, photos, **SMALL, **LAYERS)
    wider = train_fast_style(loss_network, {"starry": images["starry"]}, photos, extend=base, **SMALL, **LAYERS)
    photo = photos[0][:, :, :64, :64]
    old, same = base(photo, base.style_weights("ink")), wider(photo, wider.style_weights("ink"))
    torch.testing.assert_close(same, old)
    assert (wider(photo, wider.style_weights("starry")) - same).abs().max() > 1e-3
    for name, part in wider.state_dict().items():
        assert torch.equal(part if "conv" in name else part[:1], base.state_dict()[name])
    assert torch.equal(torch.cat([p.flatten() for p in loss_network.module.parameters()]), before)


def test_a_training_started_from_a_network_does_not_change_it(loss_network, images, photos):
    base = train_fast_style(loss_network, images, photos, **SMALL, **LAYERS)
    before = parameters(base)
    begun = FastStyleTraining(loss_network, images, photos, settings(steps=1, learning_rate=1e-12), start=base)
    assert torch.equal(parameters(begun.network), before)
    torch.testing.assert_close(parameters(begun.run()), before, rtol=0, atol=1e-9)
    assert torch.equal(parameters(base), before)
    with pytest.raises(UsageError, match="widths and blocks"):
        FastStyleTraining(loss_network, images, photos, settings(blocks=2), start=base)
    with pytest.raises(UsageError, match="not both"):
        FastStyleTraining(loss_network, {"new": images["ink"]}, photos, settings(), start=base, extend=base)


def test_what_a_style_shows_at_its_borders_counts_for_less(loss_network, images):
    framed = images["ink"].clone()
    for side in (framed[..., :3, :], framed[..., -3:, :], framed[..., :3], framed[..., -3:]):
        side.zero_()
    painted = images["ink"][:, :, :64, :64]

    def change(fade: float) -> float:
        """Of the style loss, by the frame."""
        loss = PerceptualLoss(loss_network, [images["ink"], framed], settings(fade=fade))
        without, with_frame = (loss(painted, painted, torch.tensor([i]))[1]["style"] for i in range(2))
        return abs(float(with_frame - without))

    assert change(0.08) < 0.5 * change(0.0)


@pytest.mark.parametrize(("content_target", "least"), [("photo", 0.0), ("restyled", 0.03)])
def test_losses_of_a_batch_are_the_mean_of_each_alone_and_none_for_the_style_itself(
    loss_network, images, photos, content_target, least
):
    chosen = settings(average_pooling=False, fade=0.0, content_target=content_target)
    loss = PerceptualLoss(loss_network, list(images.values()), chosen)
    painted = torch.cat([photo[:, :, :64, :64] for photo in photos])
    content = painted.flip(3)
    both, terms = loss(painted, content, torch.tensor([0, 1]))
    alone = [loss(painted[i : i + 1], content[i : i + 1], torch.tensor([i]))[0] for i in range(2)]
    torch.testing.assert_close(both, (alone[0] + alone[1]) / 2)
    assert terms["content"] > 0.1
    style = torch.nn.functional.interpolate(images["ink"], (64, 64), mode="bicubic", antialias=True).clamp(0, 1)
    _, itself = loss(style, style, torch.tensor([1]))
    assert itself["content"] <= least  # restyled, deviations have a floor, so that what sees nothing stays faint
    assert itself["lightness"] < 0.03
    assert itself["style"] < 1e-3 * terms["style"]
    assert itself["palette"] < 5e-3  # the target is measured with its border, the image without


def test_damaged_photos_are_skipped_and_counted(tmp_path, samples):
    (tmp_path / "bad.jpg").write_bytes((samples / "rocket.jpg").read_bytes()[:3000])
    (tmp_path / "empty.png").write_bytes(b"")
    crops = CropDataset([tmp_path / "bad.jpg", samples / "astronaut.png", tmp_path / "empty.png"], 32)
    drawn = crops.draw(12, torch.Generator().manual_seed(0))
    assert drawn.shape == (12, 3, 32, 32)
    assert 0 <= drawn.min() < drawn.max() <= 1
    assert sorted(crops.skipped) == [0, 2]
    with pytest.raises(ImageError, match="No photo can be read"):
        CropDataset([tmp_path / "empty.png"], 32).draw(1, torch.Generator())


def test_crops_are_parts_of_the_photo_where_nothing_is_varied():
    ramp = torch.linspace(0, 1, 128).view(1, 1, 1, 128).expand(1, 3, 96, 128)
    crops = CropDataset([ramp], 32, augment=False).draw(40, torch.Generator().manual_seed(0))
    gradients = (crops[..., 20] - crops[..., 10]).mean((1, 2)) * 127 / 10  # source pixels for each of the crop's
    assert 0.9 < gradients.abs().min() < 1.5
    assert 2.5 < gradients.abs().max() < 3.1
    assert (gradients < 0).any() and (gradients > 0).any()
    seen = torch.stack([random_augment(crops[:1], torch.Generator().manual_seed(i)) for i in range(8)])
    assert seen.mean((1, 2, 3, 4)).std() > 0.05


def test_a_training_that_runs_away_says_so(loss_network, images, photos):
    training = FastStyleTraining(loss_network, images, photos, settings())
    with torch.no_grad():
        training.network.last.norm.scale.fill_(float("nan"))
    with pytest.raises(DivergedError, match="diverged at step 1"):
        training.run()


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"crop": 50}, {"tv_weight": -1.0}, {"learning_rate": 0.0}, {"content_target": "x"}]
)
def test_invalid_settings_are_refused(wrong):
    with pytest.raises(UsageError):
        TrainingSettings(**wrong)
