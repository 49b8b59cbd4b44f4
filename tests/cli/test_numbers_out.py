"""Maps as numbers and figures as PDF, by the commands."""

from __future__ import annotations

import json

import numpy as np
import pytest

import cnnviz
from cnnviz.imaging.recipe import read_recipe

SMALL = ("-s", 64, "-m", "squeezenet1_1")
COMMANDS = {
    "saliency": (cnnviz.saliency, (64, 96)),
    "gradcam --method layercam --layer fire5": (
        lambda *of: cnnviz.layer_cam(*of, layer="fire5"),
        (64, 96),
    ),
    "guided": (cnnviz.guided_backprop, (3, 64, 96)),
    "occlusion --patch 16 --stride 16": (lambda *of: cnnviz.occlusion(*of, patch=16, stride=16), (64, 96)),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_npy_file_is_what_the_function_gives(command, run_cnnviz, samples, squeezenet):
    function, shape = COMMANDS[command]
    record = json.loads(
        run_cnnviz(*command.split(), samples / "chelsea.png", *SMALL, "-t", "tabby", "-o", "m.npy", "--json").stdout
    )
    assert (record["output"], record["companions"]) == ("m.npy", ["m.json"])
    found = np.load("m.npy", allow_pickle=False)
    expected = function(squeezenet, cnnviz.read_image(samples / "chelsea.png", size=64), "tabby")[0].detach()
    assert (found.dtype, found.shape) == (np.float32, shape)
    np.testing.assert_allclose(found, expected.reshape(shape), rtol=1e-3, atol=1e-3 * float(expected.abs().max()))
    assert read_recipe("m.npy")["command"] == command.split()[0]
    again = run_cnnviz("info", "--command", "m.npy").stdout
    assert again.strip().endswith("-o m.again.npy")
    assert run_cnnviz("info", "--command", "m.json").stdout == again


def test_a_comparison_writes_all_maps_and_its_recipe(run_cnnviz, samples):
    names = "saliency,gradcam++,hirescam"
    run_cnnviz("compare", samples / "chelsea.png", *SMALL, "--methods", names, "-o", "{stem}.npz")
    with np.load("chelsea.npz", allow_pickle=False) as found:
        assert set(found.files) == {*names.split(","), "recipe"}
        assert all(found[name].shape == (64, 96) for name in names.split(","))
    assert read_recipe("chelsea.npz")["parameters"]["methods"] == names
    assert "--methods saliency,gradcam++,hirescam" in run_cnnviz("info", "--command", "chelsea.npz").stdout
    two = ("-m", "squeezenet1_1", "-m", "squeezenet1_0", "-w", "random")
    run_cnnviz("compare", samples / "chelsea.png", "-s", 64, *two, "--methods", "saliency", "-o", "two.npz")
    with np.load("two.npz", allow_pickle=False) as found:
        assert set(found.files) == {"squeezenet1_1/saliency", "squeezenet1_0/saliency", "recipe"}


def test_what_cannot_be_written_as_numbers(run_cnnviz, samples, tmp_path):
    photo = samples / "chelsea.png"
    done = run_cnnviz("compare", photo, *SMALL, "-o", "m.npy")
    assert done.exit_code == 2 and "Write a .npz" in done.stderr
    done = run_cnnviz("dream", photo, *SMALL, "-o", "m.npy")
    assert done.exit_code == 2 and "extension '.npy'" in done.stderr
    (tmp_path / "m.json").write_text("mine")
    done = run_cnnviz("saliency", photo, *SMALL, "-o", "m.npy")
    assert done.exit_code == 2 and "'m.json' exists already" in done.stderr
    done = run_cnnviz("saliency", photo, *SMALL, "-o", "m.npz", "--view", "heat", "--colormap", "hot")
    assert done.exit_code == 0 and "--view and --colormap have no effect on numbers" in done.stderr


def test_a_figure_as_pdf(run_cnnviz, samples):
    done = run_cnnviz("gradcam", samples / "chelsea.png", *SMALL, "-o", "m.pdf")
    assert done.exit_code == 0, done.stderr
    assert run_cnnviz("info", "--command", "m.pdf").stdout.strip().endswith("-o m.again.pdf")
