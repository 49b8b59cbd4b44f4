"""``--exec``: each command works on a program or says in one sentence which do; bad calls; nothing is left running."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import cnnviz
from cnnviz.attribution.occlusion import occlusion_grids
from cnnviz.attribution.settings import OcclusionSettings

pytestmark = pytest.mark.needs("posix")

SMALL = ("-s", 32)
WORKING = {
    "classify": ("classify", "cup.png", *SMALL),
    "occlusion": ("occlusion", "cup.png", *SMALL, "--patch", 16, "--stride", 16),
    "checked": ("occlusion", "cup.png", *SMALL, "--patch", 16, "--stride", 16, "--check"),
    "compare": ("compare", "cup.png", *SMALL),
    "rise": ("saliency", "cup.png", *SMALL, "--method", "rise", "--masks", 4),
    "lime": ("saliency", "cup.png", *SMALL, "--method", "lime", "--masks", 4, "--segments", 4),
    "kernelshap": ("saliency", "cup.png", *SMALL, "--method", "kernelshap", "--masks", 4, "--segments", 4),
    "ablation": ("saliency", "cup.png", *SMALL, "--method", "ablation", "--segments", 4),
    "named": ("compare", "cup.png", *SMALL, "--methods", "occlusion"),
}
REFUSED = {
    "saliency": ("saliency", "cup.png", *SMALL),
    "smoothgrad": ("saliency", "cup.png", *SMALL, "--method", "smoothgrad"),
    "integrated": ("saliency", "cup.png", *SMALL, "--method", "integrated"),
    "grabcut": ("saliency", "cup.png", *SMALL, "--grabcut"),
    "guided": ("guided", "cup.png", *SMALL),
    "gradcam": ("gradcam", "cup.png", *SMALL),
    "scorecam": ("gradcam", "cup.png", *SMALL, "--method", "scorecam"),
    "compare": ("compare", "cup.png", *SMALL, "--methods", "saliency,occlusion"),
    "fool": ("fool", "cup.png", *SMALL),
    "universal": ("universal", "photos/", "--passes", 1),
    "visualize": ("visualize", "--target", "green", "--steps", 2, "--size", 64),
    "dream": ("dream", "cup.png", *SMALL, "--steps", 1),
    "invert": ("invert", "cup.png", *SMALL, "--steps", 2),
    "style": ("style", "cup.png", "--style", "photos/cat.png", *SMALL, "--steps", 2),
    "texture": ("texture", "cup.png", "--size", 64, "--steps", 2),
    "filters": ("filters",),
    "activations": ("activations", "cup.png", *SMALL),
    "patches": ("patches", "photos/", *SMALL),
    "neighbors": ("neighbors", "cup.png", "photos/", *SMALL),
    "embed": ("embed", "photos/", *SMALL),
    "embed-index": ("embed-index", "photos/", *SMALL),
    "report": ("report", "cup.png", *SMALL),
    "fast-style": ("fast-style", "train", "photos/cat.png", "--content", "photos/", "-o", "styles.safetensors"),
    "layers": ("layers",),
}


@pytest.fixture(autouse=True)
def photos(tmp_path, samples):
    """Tiny photos, one of them beside a folder of two."""
    (tmp_path / "photos").mkdir()
    for name, places in {"coffee.png": ("cup.png", "photos/cup.png"), "chelsea.png": ("photos/cat.png",)}.items():
        photo = Image.open(samples / name).convert("RGB").resize((48, 32))
        for place in places:
            photo.save(tmp_path / place)


@pytest.mark.parametrize("command", WORKING)
def test_commands_that_compare_scores_work(command, run_cnnviz, classifier):
    done = run_cnnviz(*WORKING[command], "--exec", classifier("{frames}"), "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["model"] in ("mean_color", ["mean_color"])


def test_a_program_that_is_typed_goes_before_a_network_of_the_environment(run_cnnviz, classifier, monkeypatch):
    monkeypatch.setenv("CNNVIZ_MODEL", "squeezenet1_1")
    done = run_cnnviz(*WORKING["classify"], "--exec", classifier("{frames}"), "--json")
    assert json.loads(done.stdout)["model"] == "mean_color"
    both = run_cnnviz(*WORKING["classify"], "--exec", classifier("{frames}"), "-m", "squeezenet1_1")
    assert both.exit_code == 2


def test_what_looks_at_layers_is_left_out_of_a_comparison(run_cnnviz, classifier):
    done = run_cnnviz("compare", "cup.png", *SMALL, "--methods", "occlusion,eigencam", "--exec", classifier("{frames}"))
    assert (done.exit_code, done.stdout) == (0, "cup.compare.png\n")
    assert "mean_color has no layers: left out eigencam." in done.stderr


@pytest.mark.parametrize("command", REFUSED)
def test_other_commands_say_which_work(command, run_cnnviz, classifier):
    done = run_cnnviz(*REFUSED[command], "--exec", classifier("{frames}"))
    assert done.exit_code == 3, done.stderr
    assert "These commands work on it: classify, occlusion, saliency, compare --methods occlusion,rise" in done.stderr
    assert "Internal error" not in done.stderr


def test_scores_are_shown_and_named_as_the_program_names_them(run_cnnviz, classifier, tmp_path):
    done = run_cnnviz("classify", "cup.png", *SMALL, "--exec", classifier("-"), "--json")
    record = json.loads(done.stdout)
    pixels = cnnviz.read_image(tmp_path / "cup.png", size=32)
    best = record["predictions"][0]
    assert best["label"] == "red"
    assert best["value"] == pytest.approx(float(pixels[0, 0].mean()), abs=1e-5)
    assert record["weights"] == "program"


@pytest.mark.parametrize("frames", ["{}", "{frames}"])
def test_only_the_image_of_a_bad_call_fails(frames, run_cnnviz, classifier, tmp_path):
    """The third call is bad: of one image, or of several, each of which is then asked for alone."""
    for name in "abcdefgh":
        Image.new("RGB", (40, 40), "red").save(tmp_path / f"{name}.png")
    bad = classifier(frames, "calls", -3, "fail")
    done = run_cnnviz("classify", *(f"{name}.png" for name in "abcdefgh"), *SMALL, "--exec", bad, "--json", "--jobs", 1)
    names = [json.loads(line)["input"] for line in done.stdout.splitlines()]
    if frames == "{}":
        assert done.exit_code == 1
        assert names == [f"{name}.png" for name in "acdefgh"]
        assert "b.png: mean_color exits with the code 1; it says: reading the weights" in done.stderr
    else:  # whatever was at fault is not any more
        assert done.exit_code == 0
        assert names == [f"{name}.png" for name in "abcdefgh"]


@pytest.mark.parametrize("mode", ["fail", "half", "rows", "nan", "labels"])
def test_occlusion_with_a_bad_call_fails_that_image(mode, run_cnnviz, classifier, tmp_path):
    bad = classifier("{frames}", "calls", -3, mode)
    work = ("occlusion", "cup.png", "photos/cat.png", *SMALL, "--patch", 16, "--stride", 16)
    done = run_cnnviz(*work, "--exec", bad)
    assert done.exit_code == 1, done.stderr
    assert "cup.png: mean_color" in done.stderr
    assert done.stdout.splitlines()[0] == "cat.occlusion.png"


def test_a_bad_first_call_is_the_program_s_fault(run_cnnviz, classifier):
    done = run_cnnviz("classify", "cup.png", *SMALL, "--exec", classifier("{frames}", "calls", 1, "fail"))
    assert done.exit_code == 3
    assert "mean_color exits with the code 1" in done.stderr


def test_a_time_limit_names_its_option(run_cnnviz, classifier):
    slow = classifier("{frames}", "calls", 2, "sleep")
    done = run_cnnviz("classify", "cup.png", *SMALL, "--exec", slow, "--exec-timeout", 1)
    assert done.exit_code == 1
    assert "takes longer than 1 seconds" in done.stderr
    assert "--exec-timeout" in done.stderr


def test_an_unknown_target_asks_for_all_classes(run_cnnviz, classifier):
    done = run_cnnviz("occlusion", "cup.png", *SMALL, "--exec", classifier("{frames}"), "--target", "tabby")
    assert done.exit_code == 2
    assert "Ask the program for all classes" in done.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("-m", "resnet18"), "without a model and weights"),
        (("-w", "random"), "without a model and weights"),
        (("--engine", "ray"), "not by the workers of a cluster"),
    ],
)
def test_options_that_a_program_excludes(options, said, run_cnnviz, classifier):
    done = run_cnnviz("classify", "cup.png", "--exec", classifier("{frames}"), *options)
    assert done.exit_code == 2, done.stderr
    assert said in done.stderr


def test_options_without_effect_are_noted(run_cnnviz, classifier):
    done = run_cnnviz("classify", "cup.png", *SMALL, "--exec", classifier("{frames}"), "--mean", "0,0,0")
    assert done.exit_code == 0
    assert "--mean has no effect on mean_color" in done.stderr


def test_a_program_of_gray_images_gets_such(run_cnnviz, tmp_path):
    script = "import sys; print('{\"scores\": [%d, 0]}' % open(sys.argv[1], 'rb').read()[25])"  # PNG's color type
    gray = shlex.join([sys.executable, "-I", "-S", "-c", script, "{}"])
    for channels, kind in ((1, 0), (3, 2)):
        done = run_cnnviz("classify", "cup.png", *SMALL, "--exec", gray, "--input-channels", channels, "--json")
        assert done.exit_code == 0, done.stderr
        assert max(each["value"] for each in json.loads(done.stdout)["predictions"]) == kind


def test_labels_name_the_classes(run_cnnviz, classifier, tmp_path):
    (tmp_path / "names.txt").write_text("red\nblue\ngreen\n")
    done = run_cnnviz("classify", "cup.png", *SMALL, "--exec", classifier("{}"), "--labels", "names.txt", "--json")
    assert {each["label"]: each["index"] for each in json.loads(done.stdout)["predictions"]} == {
        "red": 0, "blue": 1, "green": 2,
    }  # fmt: skip


def test_a_network_and_a_program_stand_side_by_side(run_cnnviz, classifier):
    done = run_cnnviz(
        "compare", "cup.png", *SMALL, "-m", "squeezenet1_1", "--methods", "occlusion",
        "--exec", classifier("{frames}"), "--json",
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["model"] == ["squeezenet1_1", "mean_color"]


@pytest.mark.parametrize("command", ["occlusion", "compare"])
def test_the_command_of_a_recipe_warns_and_makes_the_same_image(command, run_cnnviz, classifier, tmp_path):
    others = ("-m", "squeezenet1_1") if command == "compare" else ()
    run_cnnviz(command, "cup.png", *SMALL, *others, "--exec", classifier("{frames}"), "-o", "one.png")
    told = run_cnnviz("info", "--command", "one.png")
    assert "runs code or a program" in told.stderr
    words = shlex.split(told.stdout)
    assert words[words.index("--exec") + 1] == classifier("{frames}")
    assert run_cnnviz(*words[1:-2], "-o", "two.png").exit_code == 0
    one, two = (np.asarray(Image.open(tmp_path / name)) for name in ("one.png", "two.png"))
    assert np.array_equal(one, two)


def is_running(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.slow
@pytest.mark.parametrize(("how", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_programs_too(how, code, classifier, cnnviz_command, tmp_path):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    slow = classifier("{}", tmp_path / "calls", 5, "sleep")  # from the first patches on, three at once
    work = [*cnnviz_command, "occlusion", "cup.png", "-s", "32", "--patch", "16", "--jobs", "3", "--exec", slow]
    pids = tmp_path / "calls.pids"
    environment = {**os.environ, "TMPDIR": str(temporary)}
    with subprocess.Popen(work, cwd=tmp_path, stderr=subprocess.PIPE, env=environment) as process:
        deadline = time.monotonic() + 60
        while not (pids.exists() and len(pids.read_text().split()) >= 6) and time.monotonic() < deadline:
            time.sleep(0.1)
        process.send_signal(how)
        process.communicate(timeout=60)
    assert process.returncode == code
    deadline = time.monotonic() + 20
    while any(is_running(int(pid)) for pid in pids.read_text().split()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(is_running(int(pid)) for pid in pids.read_text().split())
    assert list(temporary.iterdir()) == []


@pytest.mark.slow
def test_cnnviz_itself_as_a_program_gives_the_map_of_its_own_network(run_cnnviz, samples, monkeypatch):
    """``cnnviz classify`` prints six places, so that drops agree to two millionths."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    program = "cnnviz classify {frames} -k 1000 --json"
    photo = samples / "chelsea.png"
    done = run_cnnviz("occlusion", photo, "--exec", program, "--patch", 64, "--stride", 32, "--json")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    network = cnnviz.load_network("squeezenet1_1")
    rounded = cnnviz.Network(_Rounded(network), spec=_PLAIN, labels=network.labels)
    settings = OcclusionSettings(patch=64, stride=32, algorithm="full")
    (grid,) = occlusion_grids(rounded, cnnviz.read_image(photo, size=224), found["target"]["index"], settings)
    assert float((torch.tensor(found["drops"]) - grid.score_drops).abs().max()) < 2e-6


_PLAIN = cnnviz.InputSpec(224, mean=(0.0,) * 3, std=(1.0,) * 3)


class _Rounded(torch.nn.Module):
    """A network that sees pixels rounded to eight bits."""

    def __init__(self, network: cnnviz.Network) -> None:
        super().__init__()
        self.module, self.spec = network.module, network.spec

    def forward(self, x):
        x = (x * 255).round() / 255
        mean, std = (x.new_tensor(values).view(1, -1, 1, 1) for values in (self.spec.mean, self.spec.std))
        return self.module((x - mean) / std)
