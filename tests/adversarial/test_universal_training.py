"""What a universal perturbation is trained on, and the examples of what it does."""

from __future__ import annotations

import random

import pytest
import torch
from PIL import Image

from cnnviz.adversarial.settings import UniversalSettings
from cnnviz.adversarial.universal_training import MeasuredImages, example_images, square_crops, train_perturbation
from cnnviz.imaging.disk_images import DiskImages
from cnnviz.imaging.pixels import Crop, to_pixels

CENTER = Crop(32, 36)


def disk_images(pixels):
    made = DiskImages(*pixels.shape[2:])
    made.append(pixels)
    return made


@pytest.fixture
def photo(samples):
    with Image.open(samples / "chelsea.png") as image:
        return image.convert("RGB")


def test_without_random_crops_there_is_the_center(photo):
    (square,) = square_crops(photo, 32, 0, CENTER, random.Random(0))
    assert torch.equal(square, to_pixels(photo, 32, crop=CENTER))


def test_random_crops_are_squares_that_differ_and_come_back_with_the_seed(photo):
    first, again, other = (list(square_crops(photo, 32, 4, CENTER, random.Random(seed))) for seed in (0, 0, 1))
    assert [square.shape for square in first] == [(1, 3, 32, 32)] * 4
    assert all(torch.equal(*pair) for pair in zip(first, again, strict=True))
    assert not any(torch.equal(first[0], square) for square in (*first[1:], *other))


def test_the_examples_are_images_that_are_fooled():
    def images(levels):
        return disk_images(torch.stack([torch.full((3, 2, 2), level / 255) for level in levels]))

    def levels(*groups):
        found = example_images([MeasuredImages(*group) for group in groups], 3)
        return [round(float(image.mean()) * 255) for image in found]

    unseen, trained = images([1, 2, 3, 4]), images([11, 12, 13])
    none, some = torch.zeros(4, dtype=torch.bool), torch.tensor([False, True, False, True])
    late = torch.tensor([False, False, True])
    assert levels((unseen, some), (trained, late)) == [2, 4, 13]
    assert levels((unseen, none), (trained, late)) == [13]
    assert levels((unseen, none), (trained, torch.zeros(3, dtype=torch.bool))) == [1, 2, 3]


def test_held_out_images_are_measured_on_only(squeezenet):
    images = disk_images(torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    found = train_perturbation(squeezenet, images, UniversalSettings(passes=1), held_out=0.25)
    assert (len(found.training), len(found.held_out)) == (3, 1)
    assert found.perturbation.shape == (1, 3, 64, 64) and 0 <= found.training.rate <= 1
    alone = train_perturbation(squeezenet, found.training.images, UniversalSettings(passes=1))
    assert alone.held_out is None
