"""Every command runs on a GPU, with precision ``auto``, and its files say what it was made in."""

from __future__ import annotations

import json

import pytest
import torch

PHOTO, FOLDER = "photo.jpg", "photos"
COMMANDS = {
    "classify": (PHOTO,),
    "saliency": (PHOTO,),
    "saliency --method smoothgrad --samples 4": (PHOTO,),
    "saliency --method integrated --steps 4": (PHOTO,),
    "occlusion --stride 32": (PHOTO,),
    "occlusion --stride 32 --algorithm full": (PHOTO,),
    "guided": (PHOTO,),
    "gradcam": (PHOTO,),
    "fool": (PHOTO,),
    "fool --target flamingo": (PHOTO,),
    "universal": (FOLDER, "-r", "--passes", "1"),
    "filters": (),
    "activations --layer fire2": (PHOTO,),
    "patches --layer fire6 --channel 3": (FOLDER, "-r"),
    "neighbors": (PHOTO, FOLDER, "-r"),
    "embed": (FOLDER, "-r"),
    "visualize --class flamingo --steps 4": (),
    "visualize --layer fire6 --channel 3 --steps 4": (),
    "dream --steps 2 --octaves 1": (PHOTO,),
    "invert --steps 4": (PHOTO,),
    "texture --steps 4": ("sample_images/brick.png",),
    "style --steps 4": (PHOTO, "starry.jpg"),
    "fast-style apply --style mosaic": (PHOTO,),
    "layers": (),
    "doctor": (),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_runs(playground, run_cnnviz, monkeypatch, command):
    if command.startswith("embed"):
        pytest.importorskip("sklearn", reason="embed projects with scikit-learn")
    monkeypatch.chdir(playground)
    if command.split()[0] not in ("layers", "doctor"):
        monkeypatch.setenv("CNNVIZ_DEVICE", "cuda")
    before = torch.cuda.memory_allocated()
    result = run_cnnviz(*command.split(), *COMMANDS[command])
    assert result.exit_code == 0, result.stderr
    assert torch.cuda.memory_allocated() <= before + (64 << 20)


def test_the_recipe_tells_the_precision(playground, run_cnnviz, monkeypatch):
    monkeypatch.chdir(playground)
    monkeypatch.setenv("CNNVIZ_DEVICE", "cuda")
    assert run_cnnviz("dream", PHOTO, "--steps", "1", "--octaves", "1", "-o", "dream.png").exit_code == 0
    wanted = "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    assert json.loads(run_cnnviz("info", "dream.png").stdout)["precision"] == wanted
