"""A note names an option that has no effect beside the others; where it has one, or comes from the environment,
nothing is said."""

from __future__ import annotations

import pytest

MAP = "a.png -s 32 -o out.png"
STYLE = "style a.png a.png -s 32 --scales 1 --steps 1 -o out.png"

IDLE = {
    f"compare {MAP} --methods saliency --map mine=maps": "--map has no effect without --rank",
    f"saliency {MAP} --samples 2": "--samples has no effect without --method smoothgrad or",
    f"saliency {MAP} --method lime --masks 9 --steps 2": "--steps has no effect without --method integrated or",
    f"saliency {MAP} --baselines album": "--baselines has no effect without --method expected-gradients or",
    f"saliency {MAP} --view raw --percentile 90 --colormap hot": "--colormap and --percentile have no effect with",
    f"guided {MAP} -l fire2 -c 3 -t 5": "--target has no effect for a neuron.",
    f"gradcam {MAP} --view raw --percentile 90": "--percentile has no effect with --view raw",
    f"occlusion {MAP} --stride 16 --view heat --class-map": "--class-map has no effect without --view panel.",
    f"fool {MAP} --method fgsm --steps 3 --random-start": "--steps has no effect with --method fgsm",
    f"fool {MAP} --method deepfool --random-start": "--random-start has no effect without --method iterative.",
    f"fool {MAP} --steps 1 -t 130 --label 281": "--label has no effect with --target.",
    "universal a.png -s 32 --passes 1 --raw --crop -o out.png": "--raw has no effect without --apply.",
    "filters -o out.png --limit 4 --mean 0.1,0.1,0.1": "--limit has no effect on features.0, which is shown whole.",
    f"activations {MAP} -l fire2 -c 3 --top 4": "--top has no effect with --channel.",
    "embed album -s 32 -o out.png --method pca --perplexity 2": "--perplexity has no effect without --method tsne.",
    "visualize -t 5 --steps 1 --size 32 -o out.png --latent 8": "--latent has no effect without --generator.",
    "visualize -t 5 --steps 1 --size 32 -o out.png --diversity 1": "--diversity has no effect on one image.",
    f"dream {MAP} --steps 1 --octaves 1 --guide a.png -c 3": "--channel has no effect with --guide",
    f"dream {MAP} --steps 1 --octaves 1 --rotate 3": "--rotate has no effect without a --zoom of two frames or more.",
    f"dream {MAP} --steps 1 --octaves 1 --octave-scale 2": "--octave-scale has no effect with --octaves 1.",
    f"invert {MAP} --layer fire2 --steps 1 --tv-weight 0 --tv-beta 3": "--tv-beta has no effect with --tv-weight 0.",
    f"{STYLE} --learning-rate 0.1": "--learning-rate has no effect without --optimizer adam.",
    f"{STYLE} --average 0.5 --adam-fraction 0": "--average has no effect without steps of Adam's.",
    f"{STYLE} --optimizer adam --no-keep-adam-state": "--no-keep-adam-state has no effect with --scales 1.",
    f"{STYLE} --content-weight 0 --content-target photo": "--content-target has no effect with --content-weight 0.",
    f"{STYLE} --style-weight 0 --style-loss gram": "--style-loss has no effect with --style-weight 0.",
    f"{STYLE} --tv-weight 2 --sweep tv-weight=0,1": "--tv-weight has no effect beside a --sweep of it.",
    f"{STYLE} --save-every 5": "--save-every has no effect before the last step, 1.",
    "style a.png a.png -s 32 --scales 1 --steps 2 --save-every 1 -o -": "--save-every has no effect where the name",
    f"{STYLE} --smoothing scaled": "--smoothing has no effect as 'scaled' but on a ResNet's layer3 and layer4.",
    "texture a.png --sample-size 32 --steps 1 -o out.png --window 5": "--window has no effect without --method",
    "texture a.png --sample-size 32 --method efros-leung --window 5 --layer fire2 -o out.png": "--layer has no",
    "layers --precision bf16 --std 1,1,1": "--std and --precision have no effect on a list of layers.",
    "classify a.png -s 32 --ray-address auto": "--ray-address has no effect without --engine ray.",
    "classify a.png -m lenet5 -w random -s 48": "--size has no effect on lenet5, which takes images of one size.",
}
"""Command lines, and what the note says."""


@pytest.fixture
def at_hand(tmp_path, monkeypatch):
    from PIL import Image, ImageDraw

    photo = Image.effect_noise((48, 40), 90).convert("RGB")
    ImageDraw.Draw(photo).ellipse((6, 6, 38, 34), fill="orange")
    (tmp_path / "album").mkdir()
    for name in ("a.png", "album/a.png"):
        photo.save(tmp_path / name)
    photo.rotate(180).save(tmp_path / "album/b.png")
    monkeypatch.setenv("CNNVIZ_MODEL", "squeezenet1_1")
    monkeypatch.setenv("CNNVIZ_PRECISION", "fp32")


@pytest.mark.parametrize("line", IDLE, ids=[" ".join(line.split()[:1] + line.split()[-2:]) for line in IDLE])
def test_an_option_without_effect_is_told_of(run_cnnviz, at_hand, line):
    run = run_cnnviz(*line.split())
    assert f"note: {IDLE[line]}" in run.stderr
    assert run.exit_code == 0, run.stderr


def test_nothing_is_said_where_it_has_an_effect_or_is_set_for_good(run_cnnviz, at_hand, monkeypatch):
    monkeypatch.setenv("CNNVIZ_SIZE", "48")
    said = run_cnnviz("classify", "a.png", "-m", "lenet5", "-w", "random").stderr
    said += run_cnnviz(*f"saliency {MAP} --method smoothgrad --samples 2".split()).stderr
    said += run_cnnviz(*f"saliency {MAP} --view heat --colormap hot -f".split()).stderr
    said += run_cnnviz(*f"saliency {MAP} --samples 2 --quiet -f".split()).stderr
    assert "no effect" not in said


def test_a_sweep_without_effect_is_refused(run_cnnviz, at_hand):
    run = run_cnnviz(*f"{STYLE} --sweep learning-rate=0.1,0.2".split())
    assert run.exit_code == 2
    assert "--optimizer adam" in run.stderr


def test_guided_grad_cam_is_clipped_where_it_is_told_to(run_cnnviz, at_hand):
    """100 is what Grad-CAM does without being told, and guided Grad-CAM does only when told."""
    import numpy as np
    from PIL import Image

    made = {}
    for name, options in {"usual": "", "99": "--percentile 99", "100": "--percentile 100"}.items():
        run = run_cnnviz(*f"gradcam a.png -s 32 --guided --view heat {options} -o {name}.png".split())
        assert run.exit_code == 0
        made[name] = np.array(Image.open(f"{name}.png").convert("RGB"), dtype=int)
    assert np.array_equal(made["usual"], made["99"])
    assert (np.abs(made["usual"] - made["100"]) > 2).mean() > 0.05
