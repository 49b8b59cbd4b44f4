"""``cnnviz activations``."""

from __future__ import annotations

import json

from PIL import Image

NET = ("-m", "squeezenet1_1")


def test_activations_of_the_strongest_and_of_chosen_channels(run_cnnviz, samples, tmp_path):
    photo = samples / "chelsea.png"
    result = run_cnnviz("activations", photo, *NET, "--layer", "fire5", "--top", 5, "--json")
    record = json.loads(result.stdout)
    assert record["shape"] == [256, 27, 41]
    means = [channel["mean"] for channel in record["channels"]]
    assert len(means) == 5 and means == sorted(means, reverse=True)
    chosen = run_cnnviz(
        "activations", photo, *NET, "--layer", "fire5", "--channel", "9,3", "-c", "3-4", "-o", "b.png", "--json"
    )
    assert [channel["channel"] for channel in json.loads(chosen.stdout)["channels"]] == [9, 3, 4]
    assert Image.open(tmp_path / "b.png").height > 600
    more = run_cnnviz("activations", photo, *NET, "--layer", "fire5", "--top", 40, "-o", "c.png")
    assert more.exit_code == 0
    assert Image.open(tmp_path / "c.png").height > Image.open(tmp_path / record["output"]).height


def test_activations_say_what_is_wrong(run_cnnviz, samples):
    photo = samples / "coffee.png"
    for options, sentence in (
        (["--layer", "flatten"], "is no map (1000)"),
        (["--layer", "fire5", "--channel", "256"], "has no channel 256: it has channels 0 to 255"),
        (["--layer", "fire5", "--channel", "a-b"], "Channels are numbers from 0"),
        (["--layer", "fire55"], "no layer called 'fire55'"),
    ):
        result = run_cnnviz("activations", photo, *NET, *options)
        assert result.exit_code == 2
        assert sentence in result.stderr
