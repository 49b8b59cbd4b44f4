"""What the network sees of an image's file: computed with a gradient, and true of the bytes, whatever the format."""

from __future__ import annotations

from io import BytesIO

import pytest
import torch

from cnnviz.adversarial.image_attack import fool
from cnnviz.adversarial.image_loading import ImagePipeline
from cnnviz.adversarial.settings import Attack
from cnnviz.imaging.encoding import encode
from cnnviz.imaging.image_io import read_pil_image
from cnnviz.imaging.pixels import Crop, to_pil_image, to_pixels

FORMATS = (".png", ".tif", ".jpg", ".jpeg", ".webp", ".gif")


def test_reading_through_is_the_reading_path_forward_and_has_its_gradient(samples):
    photo = read_pil_image(samples / "chelsea.png")
    cut = ImagePipeline(64, crop=Crop(224, 230, "bicubic"))
    for pipeline in (
        ImagePipeline(64),
        ImagePipeline((40, 70)),
        ImagePipeline(64, crop=True),
        ImagePipeline(64, jpeg=60),
        cut,
    ):
        pixels = to_pixels(photo).requires_grad_()
        seen = pipeline.differentiable(pixels)
        torch.testing.assert_close(seen, pipeline.load(photo))
        smooth = pipeline.resize_and_crop(pixels).clamp(0, 1)
        assert (smooth - ImagePipeline(pipeline.size, pipeline.crop).load(photo)).abs().max() < 1.01 / 255
        gradient = torch.autograd.grad(seen.sum(), pixels)[0]
        # Resizing keeps means: every output pixel spreads a weight of one.
        assert float(gradient.sum()) == pytest.approx(seen.numel(), rel=1e-3)


def test_a_file_that_is_to_survive_jpeg_does_it_itself_too(squeezenet, samples):
    cup = read_pil_image(samples / "coffee.png").resize((144, 96))
    found = fool(squeezenet, cup, Attack("iterative", 8 / 255), ImagePipeline(96, jpeg=70, format=".webp"))
    assert found.success
    for content in (encode(found.adversarial, "webp"), _jpeg(read_pil_image(encode(found.adversarial, "webp")), 70)):
        seen = ImagePipeline(96).preprocess(read_pil_image(content))
        assert squeezenet.predict(seen, 1)[0][0][0] != found.before[0]


def _jpeg(photo, quality: int) -> bytes:
    file = BytesIO()
    photo.save(file, "JPEG", quality=quality)
    return file.getvalue()


def test_reading_is_what_the_file_holds():
    noise = to_pil_image(torch.rand(1, 3, 24, 32, generator=torch.Generator().manual_seed(0)))
    for suffix in FORMATS:
        pipeline = ImagePipeline(24, format=suffix, jpeg=55 if suffix == ".jpg" else None)
        written = read_pil_image(encode(noise, suffix, {"a": "recipe"}, pipeline.quality))
        assert pipeline.roundtrip(noise).tobytes() == written.tobytes()
        assert pipeline.is_lossless == (written.tobytes() == noise.tobytes())
