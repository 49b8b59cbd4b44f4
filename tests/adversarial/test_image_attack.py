"""Attacks on images as files hold them, from Python."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cnnviz.adversarial.image_attack import fool, minimal_attack, quantized
from cnnviz.adversarial.image_loading import ImagePipeline
from cnnviz.adversarial.settings import Attack
from cnnviz.imaging.image_io import read_pil_image
from cnnviz.imaging.pixels import to_pil_image, to_pixels


def test_the_least_epsilon_is_gone_on_with_too(squeezenet, chelsea):
    attack = Attack(epsilon=8 / 255, confidence=0.99)
    found = minimal_attack(squeezenet, to_pil_image(chelsea), attack, ImagePipeline((224, 336)))
    assert found.after[2] >= 0.99
    assert found.linf == pytest.approx(1 / 255, abs=1e-6)
    assert found.tried == pytest.approx([1 / 255])


def test_where_one_step_does_not_fool_many_go_on(squeezenet, samples):
    photo = to_pil_image(to_pixels(read_pil_image(samples / "coffee.png"), 160))
    one_step = fool(squeezenet, photo, Attack(epsilon=1 / 255), ImagePipeline(160))
    gone_on = fool(squeezenet, photo, Attack(epsilon=1 / 255, confidence=0.99), ImagePipeline(160))
    assert (one_step.success, gone_on.success) == (False, True)


def test_rounding_keeps_to_epsilon():
    photo = to_pil_image(torch.full((1, 3, 4, 4), 0.5))
    attack = Attack(epsilon=2.4 / 255)
    rounded = quantized(to_pixels(photo) + 2.6 / 255, photo, attack)
    assert np.asarray(rounded).max() - np.asarray(photo).max() == 2


def test_the_same_seed_gives_the_same_photo(squeezenet, samples):
    photo = read_pil_image(samples / "coffee.png").resize((120, 80))
    attack = Attack("iterative", 4 / 255, random_start=True, steps=3, seed=5)
    one, two = (fool(squeezenet, photo, attack, ImagePipeline(80)) for _ in range(2))
    assert one.adversarial.tobytes() == two.adversarial.tobytes()
