"""Painting in one pass, without the command line."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from PIL import Image

import cnnviz
from cnnviz.errors import ModelError, UsageError
from cnnviz.imaging.pixel_ops import luminance
from cnnviz.imaging.pixels import to_pil_image, to_pixels
from cnnviz.pipeline.inputs import ImageSource
from cnnviz.pipeline.result import LoadedImage
from cnnviz.pipeline.style_model import StyleModelConfig
from cnnviz.style.fast import FastStyleNetwork
from cnnviz.style.model_file import to_bytes
from cnnviz.style.settings import FastStyleConfig
from cnnviz.tasks.fast_style_apply import FastStyleApply
from cnnviz.tasks.shared.style_choice import parse_styles


@pytest.fixture
def model(tmp_path: Path) -> StyleModelConfig:
    torch.manual_seed(2)
    file = tmp_path / "small.safetensors"
    file.write_bytes(to_bytes(FastStyleNetwork(["plain", "wild"], FastStyleConfig((4, 6, 8), blocks=1))))
    return StyleModelConfig(str(file), "cpu")


def test_an_image_is_painted_as_the_library_paints_it(model: StyleModelConfig):
    name, remark = model.choose("style")
    network = model.load(name, 0, workload="exact", progress=False)
    pixels = torch.rand(1, 3, 40, 36, generator=torch.Generator().manual_seed(1))
    photo = Image.new("RGB", (36, 40))
    image = LoadedImage(ImageSource(None), photo, photo, pixels, 36, False)
    result = pickle.loads(pickle.dumps(FastStyleApply("wild:3,plain:1")))(network, image)
    assert (name, remark, network.classes) == ("small", None, 2)
    assert result.metadata == {"style": {"wild": 0.75, "plain": 0.25}, "size": [36, 40]}
    expected = cnnviz.apply_fast_style(network.network_of(model.style_model), pixels, {"wild": 3, "plain": 1})
    assert isinstance(result.image, Image.Image)
    assert result.image == to_pil_image(expected, clamp=True)


def test_the_styles_meant_are_those_of_the_model(model: StyleModelConfig):
    file = model.style_model
    assert [choice.name for choice in FastStyleApply().choices(file)] == ["plain"]
    assert [choice.name for choice in FastStyleApply("wild").choices(file)] == ["wild"]
    for wrong in ("monet", "plain:0", "my.jpg"):
        with pytest.raises(UsageError):
            FastStyleApply(wrong).choices(file)


def test_each_style_is_painted_by_the_model_that_has_it():
    assert FastStyleApply().narrowed("auto") == "styles26"
    assert FastStyleApply(("ink", "mosaic")).narrowed("auto") == "embedded"
    assert FastStyleApply("./ink").narrowed("auto") == "any"
    assert FastStyleApply(("ink", "ember")).narrowed("auto") == "auto"
    assert FastStyleApply().choices("styles26") == FastStyleApply().choices("auto")
    with pytest.raises(UsageError, match="different models"):
        FastStyleApply(("ink", "ember")).require_one_model("auto")
    with pytest.raises(UsageError, match="needs one as the style"):
        FastStyleApply().choices("any")


def test_styles_and_their_weights_are_read(tmp_path: Path):
    def read(*texts: str) -> list[tuple[str, float, bool]]:
        return [(choice.name, choice.weight, choice.is_image) for choice in parse_styles(texts)]

    odd = tmp_path / "a,b:2.png"
    odd.write_bytes(b"")
    assert read("mosaic") == [("mosaic", 1, False)]
    assert read("starry:0.7, ink:.3", "a.JPG:2") == [("starry", 0.7, False), ("ink", 0.3, False), ("a.JPG", 2, True)]
    assert read("./ink", "C:/x/my.jpg") == [("./ink", 1, True), ("C:/x/my.jpg", 1, True)]
    assert read(str(odd)) == [(str(odd), 1, True)]
    for wrong in ("", "a,,b", "a:1,a:2", "a:-1", "a:nan", ":1", "a:0", "my.jpg:x"):
        with pytest.raises(UsageError):
            parse_styles([wrong])


@pytest.fixture(scope="module")
def networks():
    return StyleModelConfig("auto", "cpu").load("auto", 0, workload="exact", progress=False)


def photo_of(samples: Path, name: str = "coffee.png", size: int = 64) -> LoadedImage:
    photo = Image.open(samples / name).convert("RGB").resize((size * 3 // 2, size), Image.Resampling.BOX)
    return LoadedImage(ImageSource(None), photo, photo, to_pixels(photo), size, False)


def painted(networks, image: LoadedImage, style: str, **settings) -> torch.Tensor:
    return to_pixels(FastStyleApply((style,), **settings)(networks, image).image)


def test_strength_goes_from_the_photos_own_style_to_that_of_the_image(networks, samples):
    image, ink = photo_of(samples), str(samples / "ink.jpg")
    own = networks.any_style.with_styles({"own": networks.any_style.style_vector(image.pixels, 64)})
    expected = cnnviz.apply_fast_style(own, image.pixels, "own")
    none = painted(networks, image, ink, strength=0, style_size=64)
    assert (none - expected).abs().max() < 1 / 255
    half, full = (painted(networks, image, ink, strength=s, style_size=64) for s in (0.5, 1))
    assert (none - full).abs().mean() > 2 * (none - half).abs().mean() * 0.6 > 0.02


def test_strength_of_a_style_by_name_is_a_blend_with_the_photo(networks, samples):
    image = photo_of(samples)
    none, half, full = (painted(networks, image, "ember", strength=s) for s in (0, 0.5, 1))
    assert (none - image.pixels).abs().max() < 1 / 255
    assert (half - (image.pixels + full) / 2).abs().max() < 1.5 / 255


@pytest.mark.parametrize("style", ["ember", "mosaic", "ink.jpg"])
def test_keep_color_leaves_the_photos_colors_or_their_distribution(networks, samples, style):
    image = photo_of(samples)
    style = str(samples / style) if style.endswith(".jpg") else style
    plain, kept = (painted(networks, image, style, keep_color=mode) for mode in ("none", "luminance"))

    def chroma(pixels: torch.Tensor) -> torch.Tensor:
        luma = luminance(pixels)
        return torch.cat([(pixels[:, 2:] - luma) / 1.772, (pixels[:, :1] - luma) / 1.402], 1)

    unclipped = ((kept > 0) & (kept < 1)).all(1, keepdim=True)
    apart = ((chroma(kept) - chroma(image.pixels)).abs() * unclipped).max()
    assert apart < 1 / 255 < (chroma(plain) - chroma(image.pixels)).abs().max()
    assert (kept - image.pixels).abs().mean() > 0.02
    recolored = painted(networks, image, style, keep_color="covariance")
    mean = image.pixels.mean((2, 3))
    assert (recolored.mean((2, 3)) - mean).abs().max() < (plain.mean((2, 3)) - mean).abs().max()


def test_masks_say_where_each_style_goes(networks, samples, tmp_path):
    image, files = photo_of(samples), []
    for name, box in (("left", (0, 0, 30, 64)), ("right", (66, 0, 96, 64))):
        mask = Image.new("L", (96, 64))
        mask.paste(255, box)
        files.append(str(tmp_path / f"{name}.png"))
        mask.save(files[-1])
    ember, ink = (painted(networks, image, style) for style in ("ember", "ink"))
    within = painted(networks, image, "ember", masks=(files[0],))
    assert (within - ember)[..., :24].abs().max() < 2 / 255 and (within - image.pixels)[..., 40:].abs().max() < 2 / 255
    both = painted(networks, image, "ember,ink", masks=tuple(files))
    assert (both - ember)[..., :24].abs().max() < 2 / 255 and (both - ink)[..., 72:].abs().max() < 2 / 255
    hard, soft = (painted(networks, image, "ember", masks=(files[0],), feather=f)[..., 20:44] for f in (0, 0.2))
    steps = [(x[..., 1:] - x[..., :-1]).abs().max() for x in (hard, soft)]
    assert steps[1] < steps[0]
    with pytest.raises(UsageError, match="2 masks need as many styles"):
        painted(networks, image, "ember", masks=tuple(files))


def test_a_strength_outside_its_range_is_refused():
    for wrong in (5, -0.1, float("nan")):
        with pytest.raises(UsageError, match="between 0 and 1"):
            FastStyleApply(strength=wrong)


def test_a_missing_model_is_an_error(tmp_path: Path):
    with pytest.raises(ModelError):
        StyleModelConfig(str(tmp_path / "gone.safetensors")).choose("style")
