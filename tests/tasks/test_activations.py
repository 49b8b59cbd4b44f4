"""The sheets of a layer's feature maps."""

from __future__ import annotations

import pytest

from cnnviz.errors import UsageError
from cnnviz.network.default_layers import middle_layer
from cnnviz.pipeline.config import InputConfig
from cnnviz.pipeline.image_loading import read_image
from cnnviz.pipeline.inputs import ImageSource
from cnnviz.tasks.activations import Activations


@pytest.fixture
def image(squeezenet, samples):
    return read_image(ImageSource(samples / "chelsea.png"), squeezenet, InputConfig(size=64))


def result_of(task, network, image):
    (answer,) = task.compute(network, image.pixels)
    return task.render(network, image, answer)


def test_the_strongest_channels_come_first(squeezenet, image):
    result = result_of(Activations(top=3), squeezenet, image)
    means = [channel["mean"] for channel in result.metadata["channels"]]
    assert len(means) == 3
    assert means == sorted(means, reverse=True)
    assert result.target == result.metadata["layer"] == middle_layer(squeezenet)


def test_chosen_channels_come_in_their_order(squeezenet, image):
    result = result_of(Activations("fire5", ("9,3-4", "5")), squeezenet, image)
    assert [channel["channel"] for channel in result.metadata["channels"]] == [9, 3, 4, 5]


def test_a_channel_that_the_layer_has_not_is_refused(squeezenet, image):
    with pytest.raises(UsageError, match="Layer 'fire5' has no channel 256"):
        Activations("fire5", ("256",)).compute(squeezenet, image.pixels)
