"""Google's networks, for any image as a style and for 26: what they paint is what the published graphs paint."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import cnnviz
from cnnviz.errors import ImageError, UsageError
from cnnviz.style.catalogue import DEFAULT_STYLE, MODELS, model_of
from cnnviz.style.model_file import STYLES26, load_any_style, load_fast_style, read_metadata

REFERENCE = Path(__file__).parents[1] / "data" / "google_styles.npz"


@pytest.fixture(scope="module")
def reference():
    with np.load(REFERENCE) as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}


@pytest.fixture(scope="module")
def model():
    return load_any_style()


def pixels_of(image: torch.Tensor) -> torch.Tensor:
    return image.permute(2, 0, 1)[None].float() / 255


def test_style_vectors_and_paintings_are_those_of_the_published_graphs(model, reference):
    for number in range(2):
        style, photo = (pixels_of(reference[f"{name}{number}"]) for name in ("style", "photo"))
        with torch.inference_mode():
            vector = model.predictor(style)
            painted = model.with_styles({"it": vector})(photo, torch.ones(1, 1))
        assert (vector - reference[f"vector{number}"]).abs().max() < 1e-3
        assert (painted - reference[f"painted{number}"].permute(2, 0, 1)[None]).abs().max() < 1e-3
        assert (painted - photo).abs().mean() > 0.05


def test_each_of_the_26_styles_is_that_of_the_published_graph(reference):
    network = load_fast_style(STYLES26)
    assert network.styles == tuple(MODELS["styles26"].styles)
    photo, expected = pixels_of(reference["photo26"]), reference["painted26"].float() / 65535
    with torch.inference_mode():
        painted = torch.cat([network(photo, network.style_weights(name)) for name in network.styles])
    assert (painted - expected).abs().amax((1, 2, 3)).max() < 1e-3
    apart = torch.cdist(expected.flatten(1), expected.flatten(1)) + torch.eye(26) * 1e6
    assert apart.min() > 1, "each style is another"


def test_a_style_vector_is_a_blend_where_styles_are_blended(model, samples):
    photo = cnnviz.read_image(samples / "coffee.png", size=48)
    vectors = {name: model.style_vector(cnnviz.read_image(samples / f"{name}.jpg"), 64) for name in ("ink", "mosaic")}
    mixed = 0.3 * vectors["ink"] + 0.7 * vectors["mosaic"]
    blend = cnnviz.apply_fast_style(model.with_styles(vectors), photo, {"ink": 0.3, "mosaic": 0.7})
    single = cnnviz.apply_fast_style(model.with_styles({"mixed": mixed}), photo, "mixed")
    assert (blend - single).abs().max() < 1e-3
    assert (blend - cnnviz.apply_fast_style(model.with_styles(vectors), photo, "ink")).abs().max() > 0.1


def test_the_style_images_size_is_the_strokes_size(model, samples):
    style = cnnviz.read_image(samples / "mosaic.jpg")
    small, large = (model.style_vector(style, size) for size in (64, 256))
    assert (small - large).abs().max() > 0.1
    strip = style[:, :, :16].repeat(1, 1, 1, 3)
    assert model.style_vector(strip, 32).isfinite().all()


def test_images_that_are_no_style_are_refused(model):
    with pytest.raises(ImageError, match="8×40 pixels is too small"):
        model.style_vector(torch.rand(1, 3, 40, 8))
    with pytest.raises(UsageError, match="32 pixels or more, not 16"):
        model.style_vector(torch.rand(1, 3, 40, 40), 16)
    with pytest.raises(UsageError, match="shape"):
        model.with_styles({"it": torch.zeros(1, 7)})
    with pytest.raises(UsageError, match="at least one style"):
        model.with_styles({})


def test_a_photo_of_any_size_is_painted_whole_or_in_tiles(model, samples):
    photo = cnnviz.read_image(samples / "chelsea.png", (90, 133))
    network = model.with_styles({"ink": model.style_vector(cnnviz.read_image(samples / "ink.jpg"), 64)})
    whole = cnnviz.apply_fast_style(network, photo, "ink")
    tiled = cnnviz.apply_fast_style(network, photo, "ink", tile=64)
    assert whole.shape == photo.shape
    assert (whole - tiled).abs().max() < 1e-3


def test_a_style_is_added_to_the_26(samples):
    network = load_fast_style("styles26")
    wider = network.extended(["mine"])
    photo = cnnviz.read_image(samples / "coffee.png", size=32)
    one, two = (cnnviz.apply_fast_style(net.eval().requires_grad_(False), photo, "ember") for net in (network, wider))
    assert torch.equal(one, two)


def test_the_catalogue_has_each_name_once_and_is_that_of_the_files():
    names = [name for model in MODELS.values() for name in model.styles]
    assert len(set(names)) == len(names) == 29
    assert DEFAULT_STYLE in names
    for key in ("embedded", "styles26"):
        assert read_metadata(MODELS[key].file)["styles"] == list(MODELS[key].styles)
    assert model_of("ink") == "embedded"
    with pytest.raises(UsageError, match="no style 'woodcuts'; the nearest are woodcut"):
        model_of("woodcuts")
