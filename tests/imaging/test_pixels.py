"""Photos to pixels as torchvision does it, and back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from cnnviz.errors import UsageError
from cnnviz.imaging.pixels import Crop, center_square, to_pil_image, to_pixels

SIZES = [(320, 240), (240, 320), (501, 333), (97, 97), (224, 224), (1000, 150)]


def photo(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("size", SIZES)
def test_crop_is_torchvisions_evaluation_protocol(size: tuple[int, int]):
    transforms = pytest.importorskip("torchvision.transforms")
    for side in (224, 96):
        steps = [
            transforms.Resize(round(side * 256 / 224)),
            transforms.CenterCrop(side),
            transforms.ToTensor(),
        ]
        expected = transforms.Compose(steps)(photo(*size))
        actual = to_pixels(photo(*size), side, crop=True)[0]
        assert torch.equal(actual, expected)


def test_of_an_endless_strip_only_the_square_is_computed():
    """Where torchvision would compute 28 million pixels; the same but for rounding."""
    transforms = pytest.importorskip("torchvision.transforms")
    steps = [transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor()]
    strip = photo(4300, 10)
    assert (to_pixels(strip, 224, crop=True)[0] - transforms.Compose(steps)(strip)).abs().max() <= 1.01 / 255


def test_a_crop_at_another_size_shows_the_same_part():
    crop = Crop(384, 400, "bicubic")
    assert crop.at(384) == crop
    assert crop.at(192) == Crop(192, 200, "bicubic")
    assert torch.equal(to_pixels(photo(500, 410), 192, crop), to_pixels(photo(500, 410), crop=crop.at(192)))
    assert to_pixels(photo(500, 410), crop=crop).shape == (1, 3, 384, 384)
    assert center_square(photo(500, 400), crop).size == (384, 384)


@pytest.mark.parametrize("plan", [(224, 200), (0, 256), (224, 256, "nearest")])
def test_crops_that_cannot_be_are_refused(plan):
    with pytest.raises(UsageError):
        Crop(*plan)


@pytest.mark.parametrize("size", SIZES[:-1])
def test_one_size_is_torchvisions_resize(size: tuple[int, int]):
    transforms = pytest.importorskip("torchvision.transforms")
    expected = transforms.Compose([transforms.Resize(100), transforms.ToTensor()])(photo(*size))
    assert torch.equal(to_pixels(photo(*size), 100)[0], expected)


def test_shape_range_and_layout():
    pixels = to_pixels(photo(30, 20))
    assert pixels.shape == (1, 3, 20, 30)
    assert pixels.dtype == torch.float32
    assert pixels.is_contiguous()
    assert 0 <= pixels.min() < pixels.max() <= 1
    assert to_pixels(photo(30, 20), (7, 9)).shape == (1, 3, 7, 9)
    assert to_pixels(photo(30, 20).convert("L"), 10).shape == (1, 3, 10, 15)


@pytest.mark.parametrize(
    ("size", "shape"),
    [((37, 4000), (896, 8)), ((4000, 37), (8, 896)), ((1, 100_000), (896, 1)), ((400, 100), (224, 896))],
)
def test_strips_stay_affordable(size: tuple[int, int], shape: tuple[int, int]):
    assert to_pixels(photo(*size), 224).shape[2:] == shape
    assert to_pixels(photo(*size), 224, crop=True).shape[2:] == (224, 224)


@pytest.mark.parametrize(("size", "crop"), [(0, False), (-3, True), ((0, 5), False), (None, True), ((9, 9), True)])
def test_senseless_sizes_are_refused(size, crop: bool):
    with pytest.raises(UsageError):
        to_pixels(photo(30, 20), size, crop)


def test_the_square_in_the_middle_is_what_the_crop_shows():
    smooth = photo(8, 6).resize((320, 240))
    square = center_square(smooth)
    assert square.tobytes() == smooth.crop((55, 15, 265, 225)).tobytes()
    assert (to_pixels(square, (224, 224)) - to_pixels(smooth, 224, crop=True)).abs().mean() < 0.01


def test_no_bomb_is_seen_in_a_photo_that_was_admitted(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert center_square(photo(64, 48)).size == (42, 42)


def test_there_and_back_is_exact():
    original = photo(31, 17)
    assert to_pil_image(to_pixels(original)).tobytes() == original.tobytes()


@pytest.mark.parametrize("shape", [(1, 3, 4, 5), (3, 4, 5), (1, 1, 4, 5), (1, 4, 5), (4, 5)])
def test_every_layout_becomes_a_photo(shape: tuple[int, ...]):
    values = torch.rand(shape, requires_grad=True)
    result = to_pil_image(values)
    assert result.size == (5, 4)
    assert result.mode == ("RGB" if 3 in shape else "L")
    assert result.tobytes() == to_pil_image(values.detach().numpy()).tobytes()
    assert to_pil_image(values.bfloat16()).size == (5, 4)


def test_values_are_clamped_and_rounded_to_nearest():
    values = np.array([[-1.0, 0.0, 0.5 / 255 + 1e-6, 1.49 / 255, 1.0, 7.0, np.nan, np.inf]])
    assert np.asarray(to_pil_image(values, clamp=True)).tolist() == [[0, 0, 1, 1, 255, 255, 0, 255]]


def test_bytes_pass_through():
    array = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    assert (np.asarray(to_pil_image(array)) == array).all()


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (2, 4, 5), (5,), (1, 3, 0, 5)])
def test_other_shapes_are_refused(shape: tuple[int, ...]):
    with pytest.raises(UsageError, match="not an image"):
        to_pil_image(np.zeros(shape))


@pytest.mark.nightly
def test_a_strip_of_many_millions_of_pixels_is_resized():
    """Pillow has no room for the filter of so large a step, and says that memory is short."""
    assert to_pixels(Image.new("L", (140_000_000, 1), 255), 224).shape == (1, 3, 1, 896)
