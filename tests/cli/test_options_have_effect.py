"""Every option that may change a result does: with it, the output is another one.

For each command the options are read off the application itself, so that a new one without a trial fails. A trial is
a command line in which the option applies, run without and with it, at fp32 and with one seed; what is compared are
pixels, tensors, tables and predictions, never recipes, captions or what merely echoes the option. Differences must be
well above rounding.
"""

from __future__ import annotations

import base64
import io
import json
import math
import os
import re
import shlex
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageSequence

from cnnviz.cli.app import app
from cnnviz.cli.reference import Command, Parameter, commands

pytestmark = pytest.mark.nightly


@dataclass(frozen=True)
class Try:
    """``on`` is what is added to a command line; ``off`` what stands there otherwise; ``within`` what both need.

    ``base`` replaces the command's usual arguments; ``there`` names a file that exists already; ``fails`` allows exit
    codes other than 0.
    """

    on: str
    within: str = ""
    off: str = ""
    base: str | None = None
    there: str = ""
    fails: bool = False


@dataclass(frozen=True)
class Values:
    """Every value of an option makes another output. ``values`` None takes those the help lists; ``extra`` is what
    single values need."""

    within: str = ""
    values: tuple[str, ...] | None = None
    alike: tuple[str, ...] = ()
    extra: tuple[tuple[str, str], ...] = ()


class Same(str):
    """Why an option changes no output, by its nature."""


Trial = Try | Values | Same

ROUNDING = Same("computes the same another way: only the rounding differs")
REPORTED = Same("says how the run is reported, not what comes out")
ELSEWHERE = Same("the same results, by whatever computes them and in whatever order")

NATURE: dict[str, Same] = {
    "--quiet": REPORTED,
    "--verbose": REPORTED,
    "--debug": REPORTED,
    "--json": REPORTED,
    "--device": Same("here is one device only; tests/cuda compares devices"),
    "--precision": ROUNDING,
    "--fast-conv": ROUNDING,
    "--offline": Same("tests have no network; what is on the machine is found either way"),
    "--engine": ELSEWHERE,
    "--jobs": ELSEWHERE,
    "--ray-address": ELSEWHERE,
    "--unordered": ELSEWHERE,
    "--store": Same("where features are kept, not what they are"),
    "--batch": ROUNDING,
    "--half": Same("features in 16 bits: only their rounding differs"),
    "--transform-input": Same("what GoogLeNet and Inception do before all else; classify tries it"),
    "--head-activation": Same("stands in the classifier of a file that has its own; classify tries it"),
    "--show-channels": Same("what is shown of images that are no photos; saliency tries it"),
    "--classes": Same("names the true class in titles; classify, report and embed do more with it"),
    "--labels": Same("names classes in words; classify tries it"),
    "--logits": Same("chooses among the outputs of a network of one's own; networks of the catalogue have one"),
    "--activation": Same("what makes probabilities of logits, which most results do not hold; classify tries it"),
    "--exec": Same("a network of its own, which most commands refuse; classify tries it"),
    "--exec-timeout": Same("how long a call may take; tests/cli/test_exec.py tries it"),
    "--trust": Same("opens a network that is a file with code; classify tries it"),
    "--tile": Same("shows the network pieces of the same picture; what comes out is to be the same"),
}
"""Options that by nature change no output; a command's own trial goes before."""

SHARED: dict[str, Trial] = {
    "--model": Try("-m squeezenet1_0", within="-w random"),
    "--weights": Try("-w random"),
    "--weights-key": Try("--weights-key model_ema", within="-w in/two.pth"),
    "--mean": Try("--mean 0.9,0.1,0.5"),
    "--std": Try("--std 0.5,0.5,0.5"),
    "--input-range": Try("--input-range 0..255"),
    "--input-channels": Try("--input-channels 4", within="-w random", fails=True),
    "--seed": Try("--seed 5", within="-w random"),
    "--max-pixels": Try("--max-pixels 100", fails=True),
    "--output": Try("-o else.png"),
    "--force": Try("-f", there="out.png", fails=True),
    "--skip-existing": Try("--skip-existing", there="out.png", fails=True),
    "--crop": Try("--crop"),
    "--size": Try("-s 96"),
}
"""Trials of shared options that serve every command."""

KINDS = ("classify", "saliency", "patches", "universal", "visualize", "style", "report")
"""One command of each kind: prints, draws a picture's map, draws of a folder, learns of a folder, paints of nothing,
paints of a picture, writes a page. Options that commands share are tried on these; all others on their own command."""

MAP = "in/cat.png -s 64 --view heat -o out.png"
FOUR = "-m squeezenet1_1 -w random --input-channels 4 -s 64"
FOLDER = "in/photos -r -s 64 -o out.png"
PAGE = "-s 64 --methods saliency --layer fire2 --channels-per-layer 1"
STYLE = "in/cat.png in/mosaic.png -s 48 --steps 4 --scales 2 --shift 4 -o out.png"
ADAM = "--optimizer adam --adam-fraction 0"
TRAIN = "in/mosaic.png -c in/photos --steps 3 --batch 2 --crop 48 --style-size 64 --widths 4,4,4 --blocks 1"

BASES = {
    "classify": "in/cat.png -s 64 --json",
    "saliency": MAP,
    "guided": "in/cat.png -s 64 --raw -o out.png",
    "gradcam": MAP,
    "occlusion": MAP + " --stride 16",
    "explain": "in/cat.png -s 64 --budget fast -o out.png",
    "compare": "in/cat.png -s 64 --methods saliency,gradcam -o out.png",
    "fool": "in/cat.png -s 64 -e 8 --raw -o out.png",
    "universal": "in/photos -r -s 64 --passes 2 --rate 1 -o out.png",
    "filters": "-o out.png",
    "activations": "in/cat.png -s 64 -l fire2 -o out.png",
    "patches": FOLDER + " -l fire5 -c 3,5",
    "neighbors": "in/cat.png in/photos -r -s 64 -o out.png",
    "embed": FOLDER,
    "embed-index": "in/photos -r -s 64 --json",
    "visualize": "--target flamingo --size 48 --steps 4 --raw -o out.png",
    "dream": "in/cat.png -s 64 --steps 2 --octaves 2 -o out.png",
    "invert": "in/cat.png -s 64 --steps 4 --layer fire4 --raw -o out.png",
    "style": STYLE,
    "texture": "in/mosaic.png --sample-size 48 --steps 6 -o out.png",
    "layers": "--json",
    "info": "in/made.png",
    "doctor": "--json",
    "report": "in/cat.png -s 64 --methods saliency --layer fire2 --channels-per-layer 2 --top 2 -o out.html",
    "help": "",
    "fast-style apply": "in/cat.png -m in/fast.sft -o out.png",
    "fast-style sheet": "in/cat.png -m in/fast.sft -o out.png",
    "fast-style train": f"{TRAIN} -o out.safetensors",
    "fast-style list": "-m in/fast.sft --json",
    "models list": "--json",
    "models fetch": "alexnet",
    "models path": "alexnet",
}
"""The arguments each command is tried with."""

TARGET = Try("-t 130")
VERSUS = Try("--versus lynx", within="-t 130")
VIEWS = Values()
SEEDED = Same("nothing here is random but random weights, which saliency tries")
CHECK = Try("--check")
BOXES = Try("--boxes in/boxes.json", within="--check --json")

TRIALS: dict[str, dict[str, Trial]] = {
    "classify": {
        "--files-from": Try("--files-from in/list.txt"),
        "--shard": Try("--shard 1/2", base="in/photos -r -s 64 --json"),
        "--recursive": Try("-r", base="in/photos -s 64 --json"),
        "--background": Try("--background black", base="in/clear.png -s 64 --json"),
        "--labels": Try("--labels in/labels.txt"),
        "--trust": Try("--trust", within="-m in/my_net.py:build", fails=True),
        "--exec": Try("""--exec 'printf {\\"scores\\":[0.7,0.3]} {}'"""),
        "--activation": Values("-k 3", alike=("auto", "softmax")),
        "--head-activation": Try("--head-activation tanh", within="-w in/mlp.pth"),
        "--transform-input": Try(
            "--transform-input", within="-m googlenet -w random -k 1000", off="--no-transform-input"
        ),
        "--top": Try("-k 2"),
        "--classes": Try("--classes in/true.csv", off="--classes folder", base="in/val -r -s 64 --json"),
        "--output": Try("-o else.png", base="in/val -r -s 64 --classes folder"),
        "--force": Try("-f", there="out.png", base="in/val -r -s 64 --classes folder -o out.png", fails=True),
    },
    "saliency": {
        "--show-channels": Try("--show-channels 4,2,1", base=f"in/four.npy {FOUR} --view overlay -o out.png"),
        "--files-from": Try("--files-from in/list.txt", within="-o out/"),
        "--shard": Try("--shard 1/2", base="in/photos -r -s 64 --view heat -o out/"),
        "--recursive": Try("-r", base="in/photos -s 64 --view heat -o out/"),
        "--background": Try("--background black", base="in/clear.png -s 64 --view heat -o out.png"),
        "--seed": Try("--seed 5", within="--method smoothgrad --samples 3"),
        "--target": TARGET,
        "--versus": VERSUS,
        "--method": Values("--samples 3 --steps 4 --masks 20 --segments 9"),
        "--samples": Try("--samples 2", within="--method smoothgrad", off="--samples 6"),
        "--sigma": Try("--sigma 0.5", within="--method smoothgrad --samples 3"),
        "--steps": Try("--steps 1", within="--method integrated", off="--steps 8"),
        "--baseline": Values("--method integrated --steps 4"),
        "--masks": Try("--masks 9", within="--method rise", off="--masks 20"),
        "--cells": Try("--cells 3", within="--method rise --masks 20"),
        "--segments": Try("--segments 9", within="--method ablation", off="--segments 20"),
        "--fill": Values("--method ablation --segments 9"),
        "--score": Values("--method ablation --segments 9"),
        "--baselines": Try("--baselines in/photos", within="--method expected-gradients --samples 3"),
        "--grabcut": Try("--grabcut"),
        "--check": CHECK,
        "--boxes": BOXES,
        "--view": VIEWS,
        "--colormap": Try("--colormap hot"),
        "--percentile": Try("--percentile 80"),
        "--blur": Try("--blur 3"),
    },
    "guided": {
        "--target": TARGET,
        "--versus": Try("--versus lynx", within="-t 130 -m resnet18 -w random"),
        "--method": Values(),
        "--layer": Try("-l fire5 -c 3"),
        "--channel": Try("-c 5", within="-l fire5", off="-c 3"),
        "--at": Try("--at 0,0", within="-l fire5 -c 3"),
        "--raw": Try("--raw", base="in/cat.png -s 64 -o out.png"),
        "--check": CHECK,
        "--boxes": BOXES,
        "--percentile": Try("--percentile 80"),
    },
    "gradcam": {
        "--target": TARGET,
        "--versus": VERSUS,
        "--method": Values("-l fire5,fire8"),
        "--layer": Try("-l fire5"),
        "--smooth": Values(),
        "--guided": Try("--guided"),
        "--grabcut": Try("--grabcut"),
        "--check": CHECK,
        "--boxes": BOXES,
        "--view": VIEWS,
        "--colormap": Try("--colormap hot"),
        "--percentile": Try("--percentile 60"),
        "--blur": Try("--blur 20"),
    },
    "occlusion": {
        "--target": TARGET,
        "--versus": VERSUS,
        "--patch": Try("--patch 16"),
        "--stride": Try("--stride 8"),
        "--fill": Values(),
        "--score": Values(),
        "--class-map": Try("--class-map", base="in/cat.png -s 64 --patch 1 --stride 32 -o out.png"),
        "--algorithm": ROUNDING,
        "--check": CHECK,
        "--boxes": BOXES,
        "--view": VIEWS,
        "--colormap": Try("--colormap hot"),
        "--percentile": Try("--percentile 60"),
        "--blur": Try("--blur 20"),
    },
    "explain": {
        "--target": TARGET,
        "--versus": VERSUS,
        "--budget": Try("--budget normal", off="--budget fast", base="in/cat.png -s 64 -o out.png"),
    },
    "compare": {
        "--model": Try("-m squeezenet1_1 -m squeezenet1_0 -w random", off="-m squeezenet1_1 -w random"),
        "--target": TARGET,
        "--versus": VERSUS,
        "--methods": Try("--methods saliency,deconvnet"),
        "--view": VIEWS,
        "--rank": Try("--rank", base="in/cat.png -s 64 --methods saliency -o out.png"),
        "--map": Try("--map mine=in/maps", base="in/cat.png -s 64 --rank --methods saliency -o out.png"),
        "--boxes": Try("--boxes in/boxes.json", base="in/cat.png -s 64 --rank --methods saliency -o out.png"),
    },
    "fool": {
        "--method": Values("--target 130", extra=(("deepfool", "--UNTARGET"), ("fgsm", "--UNTARGET"))),
        "--target": TARGET,
        "--label": Try("--label 130", fails=True),
        "--epsilon": Try("-e 2"),
        "--norm": Values("--method iterative -e 4"),
        "--steps": Try("--steps 2", within="--method iterative"),
        "--random-start": Try("--random-start", within="--method iterative --steps 2"),
        "--min-epsilon": Try("--min-epsilon"),
        "--jpeg": Try("--jpeg 60", within="--method iterative --steps 3"),
        "--small": Try("--small"),
        "--noise": Try("--noise"),
        "--raw": Try("--raw", base="in/cat.png -s 64 -o out.png"),
        "--strict": Try("--strict", within="-e 0.0001", fails=True),
    },
    "universal": {
        "--files-from": Try("--files-from in/list.txt"),
        "--shard": Try("--shard 1/2"),
        "--recursive": Try("-r", base="in/photos -s 64 --passes 2 --rate 1 -o out.png"),
        "--background": Try("--background black", base="in/clear.png in/cat.png -s 64 --passes 2 --rate 1 -o out.png"),
        "--size": Try("-s 96"),
        "--crop": Same("the middle squares are what is learned from in any case"),
        "--apply": Try("--apply in/uap.safetensors", base="in/cat.png -s 64 -o out.png"),
        "--epsilon": Try("-e 4"),
        "--norm": Values("-e 8"),
        "--method": Values(values=("gradient", "deepfool")),
        "--rate": Try("--rate 0", off="--rate 1", within="--passes 3"),
        "--passes": Try("--passes 3"),
        "--crops": Try("--crops 2"),
        "--held-out": Try("--held-out 0.5"),
        "--resume": Try("--resume in/uap.safetensors"),
        "--raw": Try("--raw", base="in/cat.png -s 64 --apply in/uap.safetensors -o out.png"),
        "--seed": Try("--seed 5"),
    },
    "filters": {
        "--layer": Try("-l fire2/squeeze1x1"),
        "--limit": Try("--limit 4", within="-l fire2/squeeze1x1"),
        "--shared-scale": Try("--shared-scale"),
    },
    "activations": {
        "--layer": Try("-l fire5"),
        "--channel": Try("-c 3,5"),
        "--top": Try("--top 5"),
        "--shared-scale": Try("--shared-scale"),
        "--colormap": Try("--colormap hot"),
    },
    "patches": {
        "--std": Try("--std 0.9,0.1,0.4", within="-k 1 -c 3,5,7,9"),
        "--mean": Try("--mean 0.9,0.1,0.5", within="-k 1 -c 3,5,7,9"),
        "--files-from": Try("--files-from in/one.txt"),
        "--shard": Try("--shard 1/2"),
        "--recursive": Try("-r", base="in/photos -s 64 -l fire5 -c 3,5 -o out.png"),
        "--background": Try("--background black", base="in/clear.png -s 64 -l fire5 -c 3,5 -o out.png"),
        "--layer": Try("-l fire2", off="-l fire5"),
        "--channel": Try("-c 7"),
        "--top": Try("-k 1"),
        "--guided": Try("--guided"),
    },
    "neighbors": {
        "--k": Try("--k 2"),
        "--metric": Values(),
        "--layer": Try("-l fire2"),
        "--index": Same("the same neighbours, sooner where there are many"),
    },
    "embed": {
        "--method": Values(),
        "--layout": Values("--method pca"),
        "--classes": Values(
            "--method pca", values=("auto", "folder", "predicted", "none", "in/photos.csv"), alike=("auto", "folder")
        ),
        "--layer": Try("-l fire2", within="--method pca"),
        "--perplexity": Try("--perplexity 1.5"),
        "--parquet": Try("--parquet"),
    },
    "embed-index": {"--layer": Try("-l fire2")},
    "visualize": {
        "--seed": Try("--seed 5"),
        "--target": Try("--target espresso", off="--target flamingo", base="--size 48 --steps 4 --raw -o out.png"),
        "--layer": Try("-l fire5", off="-l fire2", base="-c 3 --size 48 --steps 4 --raw -o out.png"),
        "--channel": Try("-c 5", off="-c 3", base="-l fire5 --size 48 --steps 4 --raw -o out.png"),
        "--at": Try("--at center", base="-l fire5 -c 3 --size 48 --steps 4 --raw -o out.png"),
        "--method": Values(),
        "--steps": Try("--steps 8"),
        "--size": Try("--size 64"),
        "--facets": Try("--facets 2"),
        "--from": Try("--from in/photos", within="--facets 2"),
        "--diversity": Try("--diversity 20", within="--facets 2"),
        "--generator": Try("--generator in/generator.pt --latent 8"),
        "--latent": Try("--latent 8,2,2", off="--latent 8,1,1", within="--generator in/any_generator.pt"),
        "--raw": Try("--raw", base="--class flamingo --size 48 --steps 2 -o out.png"),
        "--save-every": Try("--save-every 2"),
        "--gif": Try("--gif"),
    },
    "dream": {
        "--size": Try("-s 96"),
        "--tile": Try("--tile 128", within="-s 160 --steps 1"),
        "--layer": Try("-l fire2"),
        "--channel": Try("-c 3"),
        "--guide": Try("--guide in/mosaic.png"),
        "--octaves": Try("--octaves 1"),
        "--octave-scale": Try("--octave-scale 1.8"),
        "--steps": Try("--steps 6"),
        "--step-size": Try("--step-size 3"),
        "--jitter": Try("--jitter 0", within="--steps 8 --step-size 3"),
        "--color-share": Try("--color-share 1", within="--step-size 5"),
        "--average-pooling": Try("--average-pooling", within="--step-size 5"),
        "--zoom": Try("--zoom 2", within="-o out.gif"),
        "--zoom-factor": Try("--zoom-factor 1.3", within="--zoom 2 -o out.gif"),
        "--rotate": Try("--rotate 20", within="--zoom 2 -o out.gif"),
    },
    "invert": {
        "--layer": Try("-l fire2", off="-l fire4", base="in/cat.png -s 64 --steps 4 --raw -o out.png"),
        "--steps": Try("--steps 9"),
        "--optimizer": Values(),
        "--prior": Values(),
        "--tv-weight": Try("--tv-weight 50", within="--steps 12"),
        "--tv-beta": Try("--tv-beta 1", within="--steps 12 --tv-weight 20"),
        "--raw": Try("--raw", base="in/cat.png -s 64 --steps 2 --layer fire4 -o out.png"),
    },
    "style": {
        "--files-from": Try("--files-from in/one.txt", base="in/mosaic.png -s 48 --steps 2 -o out.png", fails=True),
        "--shard": Try("--shard 1/2", base="in/photos -S in/mosaic.png -s 32 --steps 1 -o out/"),
        "--recursive": Try("-r", base="in/photos -S in/mosaic.png -s 32 --steps 1 -o out/"),
        "--background": Try("--background black", base="in/clear.png in/mosaic.png -s 48 --steps 2 -o out.png"),
        "--size": Try("-s 64"),
        "--seed": Try("--seed 5"),
        "--save-every": Try("--save-every 2"),
        "--gif": Try("--gif"),
        "--style": Try("-S in/ink.png", off="-S in/mosaic.png", base="in/cat.png -s 48 --steps 4 -o out.png"),
        "--content-weight": Try("--content-weight 20"),
        "--style-weight": Try("--style-weight 20"),
        "--palette-weight": Try("--palette-weight 0"),
        "--tv-weight": Try("--tv-weight 20"),
        "--lightness-weight": Try("--lightness-weight 20"),
        "--content-target": Values(),
        "--style-scale": Try("--style-scale 2"),
        "--content-layer": Try("--content-layer fire2"),
        "--style-layer": Try("--style-layer fire2"),
        "--layer-weights": Try("--layer-weights falling"),
        "--style-loss": Values("--scales 1 --palette-weight 0 --steps 6"),
        "--init": Values(values=("content", "noise", "in/cup.png")),
        "--keep-color": Values(),
        "--mask": Try("--mask in/half.png"),
        "--style-mask": Try("--style-mask in/half.png"),
        "--fade": Try("--fade 0.5"),
        "--steps": Try("--steps 9"),
        "--scales": Try("--scales 1"),
        "--optimizer": Values("--adam-fraction 0"),
        "--learning-rate": Try("--learning-rate 0.2", within=ADAM),
        "--average": Try("--average 0.9", within=ADAM),
        "--keep-adam-state": Try("--no-keep-adam-state", within=ADAM),
        "--adam-fraction": Try("--adam-fraction 1"),
        "--fixed-fraction": Try("--fixed-fraction 1"),
        "--shift": Try("--shift 0", off="--shift 8"),
        "--pooling": Values(),
        "--smoothing": Values("-m resnet18 -w random"),
        "--sweep": Try("--sweep content-weight=0,9"),
        "--resume": Same("how a picture came about is no part of it; tests/cli/test_process.py goes on with one"),
    },
    "texture": {
        "--size": Try("-s 80x56"),
        "--sample-size": Try("--sample-size 64"),
        "--crop": Try("--crop"),
        "--method": Values("--size 40"),
        "--seamless": Try("--no-seamless"),
        "--strip": Try("--strip", within="--steps 1"),
        "--layer": Try("-l fire2"),
        "--layer-weights": Try("--layer-weights 9,0,0,0,0,0,0"),
        "--style-loss": Values(),
        "--distribution-weight": Try("--distribution-weight 0"),
        "--palette-weight": Try("--palette-weight 0"),
        "--steps": Try("--steps 9"),
        "--scales": Try("--scales 1"),
        "--adam-fraction": Try("--adam-fraction 1"),
        "--fixed-fraction": Try("--fixed-fraction 0"),
        "--window": Try("--window 5", within="--method efros-leung --size 40"),
        "--tolerance": Try("--tolerance 3", within="--method efros-leung --size 40"),
        "--pooling": Values(),
        "--resume": Same("how a picture came about is no part of it; tests/cli/test_process.py goes on with one"),
    },
    "layers": {"--size": Try("-s 96"), "--find": Try("--find fire5")},
    "info": {"--command": Try("--command")},
    "doctor": {},
    "report": {
        "--files-from": Try("--files-from in/list.txt"),
        "--shard": Try("--shard 1/2", within="in/cup.png"),
        "--recursive": Try("-r", base=f"in/photos {PAGE} -o out.html"),
        "--background": Try(
            "--background black",
            base=f"in/clear.png {PAGE} -o out.html",
        ),
        "--output": Try("-o else.html"),
        "--force": Try("-f", there="out.html", fails=True),
        "--skip-existing": Try("--skip-existing", there="out.html", fails=True),
        "--target": TARGET,
        "--versus": VERSUS,
        "--methods": Try("--methods gradcam"),
        "--layer": Try("-l fire5"),
        "--channels-per-layer": Try("--channels-per-layer 5"),
        "--top": Try("--top 3"),
        "--fool-into": Try("--fool-into 130"),
        "--title": Try("--title Mine"),
        "--classes": Try("--classes in/true.csv", off="--classes folder", base=f"in/val -r {PAGE} -o out.html"),
        "--errors": Try("--errors 1", base=f"in/val -r {PAGE} --classes in/true.csv -o out.html"),
    },
    "help": {},
    "fast-style apply": {
        "--style-model": Try("-m in/wild.sft", off="-m in/fast.sft"),
        "--size": Try("-s 32"),
        "--style": Values(values=("plain", "wild", "plain:1,wild:1")),
        "--style-size": Try("--style-size 64", base="in/cat.png --style in/mosaic.png -o out.png"),
        "--strength": Try("--strength 0.3"),
        "--keep-color": Values(),
        "--mask": Try("--mask in/half.png"),
        "--feather": Try("--feather 0.3", within="--mask in/half.png"),
        "--each": Try("--each", base="in/cat.png -m in/fast.sft --style wild,plain -o {style}.png"),
        "--tile": Same("paints in pieces; what comes out is to be the same"),
    },
    "fast-style sheet": {
        "--style-model": Try("-m in/wild.sft", off="-m in/fast.sft"),
        "--size": Try("-s 32"),
        "--style": Values(values=("plain", "wild", "plain,wild")),
        "--style-size": Try("--style-size 64", base="in/cat.png --style in/mosaic.png -o out.png"),
        "--strength": Try("--strength 0.3"),
        "--keep-color": Values(),
        "--columns": Try("--columns 1"),
        "--thumbnail": Try("--thumbnail 64"),
        "--tile": Same("paints in pieces; what comes out is to be the same"),
    },
    "fast-style train": {
        "--steps": Try("--steps 5"),
        "--batch": Try("--batch 3"),
        "--crop": Try("--crop 64"),
        "--style-size": Try("--style-size 96"),
        "--fade": Try("--fade 0.5"),
        "--widths": Try("--widths 6,6,6"),
        "--blocks": Try("--blocks 2"),
        "--learning-rate": Try("--learning-rate 0.05"),
        "--content-weight": Try("--content-weight 50"),
        "--style-weight": Try("--style-weight 50"),
        "--palette-weight": Try("--palette-weight 0"),
        "--tv-weight": Try("--tv-weight 500"),
        "--lightness-weight": Try("--lightness-weight 50"),
        "--content-target": Try("--content-target photo"),
        "--augment": Try("--no-augment"),
        "--mixed-precision": ROUNDING,
        "--content": Try("-c in/cat.png"),
        "--recursive": Try("-r"),
        "--held-out": Try("--held-out 0", base=f"{TRAIN} -c in/cat.png -c in/dog.png -o out.safetensors"),
        "--minutes": Try("--minutes 0.1"),
        "--extend": Try("--extend in/fast.sft"),
        "--start": Try("--start in/mosaic.sft"),
        "--resume": Same("that it was resumed is no part of it; tests/cli/commands/test_fast_style.py resumes one"),
        "--save-every": Try("--save-every 1"),
    },
    "fast-style list": {"--style-model": Try("-m in/wild.sft", off="-m in/fast.sft")},
    "models list": {"--here": Try("--here")},
    "models fetch": {
        "--weights": Same(
            "chooses the file that is fetched, for which there is no network here; 'models path' tries it"
        ),
        "--force": Same("fetches again what is there: the same file"),
    },
    "models path": {"--weights": Try("-w IMAGENET1K_V2", off="-w IMAGENET1K_V1", base="resnet50")},
}
"""Each command's trials of its options, by their first names."""

ECHOES = {"input", "output", "companions", "model", "weights", "seconds", "seed", "parameters", "precision"}


def is_shared(parameter: Parameter) -> bool:
    return owners[parameter] > 1 and bool(parameter.panel)


every = list(commands())
owners: dict[Parameter, int] = {}
for _command in every:
    for _parameter in _command.parameters:
        owners[_parameter] = owners.get(_parameter, 0) + 1


def options_of(command: Command) -> list[Parameter]:
    """The options that are to be tried on this command: its own, and on one command of each kind those shared."""
    wanted = [p for p in command.parameters if p.is_option]
    return [p for p in wanted if not is_shared(p) or command.name in KINDS]


def option_name(parameter: Parameter) -> str:
    """The first name, without what switches it off."""
    return parameter.names[0].partition("/")[0]


def trial_of(command: str, option: str) -> Trial | None:
    own, shared = TRIALS.get(command, {}).get(option), SHARED.get(option)
    return own or shared or NATURE.get(option)


CASES = [(command, parameter) for command in every for parameter in options_of(command)]


def test_every_option_has_a_trial_and_every_trial_an_option():
    names = {c.name: {option_name(p) for p in c.parameters if p.is_option} for c in every}
    for table, entries in {"TRIALS": TRIALS, "BASES": BASES}.items():
        assert set(entries) == set(names), f"each command, and nothing else, has an entry in {table} of this file"
    missing = [(c.name, option_name(p)) for c, p in CASES if trial_of(c.name, option_name(p)) is None]
    assert not missing, "options without a trial in TRIALS of this file"
    assert not [(c, option) for c, trials in TRIALS.items() for option in trials if option not in names[c]]
    known = set().union(*names.values())
    assert set(SHARED) | set(NATURE) <= known


@pytest.mark.parametrize(("command", "parameter"), CASES, ids=[f"{c.name}{option_name(p)}" for c, p in CASES])
def test_an_option_has_an_effect(bench, command, parameter):
    option = option_name(parameter)
    trial = trial_of(command.name, option)
    assert trial is not None and command.name in BASES, f"add {command.name} {option} to TRIALS and BASES of this file"
    if isinstance(trial, Same):
        assert len(trial) > 20
    elif isinstance(trial, Values):
        _every_value_differs(bench, command.name, option, trial, parameter)
    else:
        base = f"{command.name} {BASES[command.name] if trial.base is None else trial.base} {trial.within}"
        plain = bench.outcome(f"{base} {trial.off}", trial.there, fails=trial.fails)
        changed = bench.outcome(f"{base} {trial.on}", trial.there, fails=trial.fails)
        assert differs(plain, changed), f"{base} [{trial.off}|{trial.on}] makes the same"


def _every_value_differs(bench, command: str, option: str, trial: Values, parameter: Parameter) -> None:
    values = trial.values or parameter.choices or tuple(parameter.value.split("|"))
    assert len(values) > 1
    base, extra = f"{command} {BASES[command]}", dict(trial.extra)
    made = {}
    for value in values:
        within = trial.within if extra.get(value) != "--UNTARGET" else ""
        made[value] = bench.outcome(f"{base} {within} {option} {value}")
    for one, other in combinations(values, 2):
        if {one, other} != set(trial.alike):
            assert differs(made[one], made[other]), f"{command} {option}: {one} and {other} make the same"


def differs(one: Any, other: Any) -> bool:
    """Whether two outcomes differ by more than rounding: in structure, words, numbers, or pixels."""
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return _arrays_differ(one, other)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() != other.keys() or any(differs(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) != len(other) or any(differs(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, float) and isinstance(other, int | float):
        return not math.isclose(one, other, rel_tol=1e-2, abs_tol=1e-4)
    return bool(one != other)


def _arrays_differ(one: np.ndarray, other: np.ndarray) -> bool:
    if one.shape != other.shape:
        return True
    if one.dtype == np.uint8:
        changed = np.abs(one.astype(int) - other.astype(int)) > 2
        return bool(changed.mean() > 1e-3)
    scale = max(float(np.abs(one).max(initial=0)), 1e-6)
    return bool(np.abs(one - other).max(initial=0) > 1e-3 * scale)


class Bench:
    """Runs command lines, each in a folder of its own beside the inputs, and keeps what came out."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.kept: dict[tuple[str, str], dict[str, Any]] = {}

    def outcome(self, line: str, there: str = "", *, fails: bool = False) -> dict[str, Any]:
        """Exit code, files and printed results of ``cnnviz LINE``."""
        key = (" ".join(line.split()), there)
        if key not in self.kept:
            self.kept[key] = self._run(key[0], there)
        found = self.kept[key]
        assert fails or found["code"] == 0, f"cnnviz {line}: {found['said']}"
        return {name: value for name, value in found.items() if name != "said"}

    def _run(self, line: str, there: str) -> dict[str, Any]:
        from typer.testing import CliRunner

        place = self.home / f"run{len(self.kept)}"
        place.mkdir()
        (place / "in").symlink_to(self.home / "in")
        if there:
            (place / there).write_bytes(b"there before")
        os.chdir(place)
        run = CliRunner().invoke(app, shlex.split(line), catch_exceptions=False)
        files = [path for path in sorted(place.rglob("*")) if path.is_file() and "in" not in path.parts[-2:-1]]
        made = {str(path.relative_to(place)): content(path) for path in files}
        prints = {} if made and "--json" not in line else {"printed": printed(run.stdout)}
        return {"code": run.exit_code, "files": made, "said": run.stderr, **prints}


def printed(text: str) -> Any:
    """What was printed: JSON without what merely echoes the command line, or the words."""
    try:
        rows = [json.loads(line) for line in text.splitlines()]
    except ValueError:
        return text
    return [{k: v for k, v in row.items() if k not in ECHOES} if isinstance(row, dict) else row for row in rows]


def content(path: Path) -> Any:
    """A file as what it shows or holds: frames, tensors, the pictures and title of a page; without recipes."""
    data = path.read_bytes()
    if data == b"there before":
        return "as it was"
    if path.suffix in (".png", ".gif", ".jpg", ".webp"):
        return frames(data)
    if path.suffix == ".html":
        page = data.decode()
        pictures = re.findall(r"data:image/[a-z]+;base64,([A-Za-z0-9+/=]+)", page)
        return [re.findall("<title>.*?</title>", page), *(frames(base64.b64decode(picture)) for picture in pictures)]
    if path.suffix in (".safetensors", ".sft"):
        from safetensors.numpy import load

        return load(data)
    return data.decode() if path.suffix == ".csv" else "binary"


def frames(data: bytes) -> list[np.ndarray]:
    return [np.array(frame.convert("RGBA")) for frame in ImageSequence.Iterator(Image.open(io.BytesIO(data)))]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, samples: Path):
    """Small inputs of every sort, one environment for all runs, and no words in pictures."""
    from cnnviz.figures.text import Typeface

    home, before = tmp_path_factory.mktemp("bench"), Path.cwd()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CNNVIZ_MODEL", "squeezenet1_1")
        patch.setenv("CNNVIZ_PRECISION", "fp32")
        patch.setenv("CNNVIZ_STORE", str(home / "store"))
        patch.setenv("TORCH_HOME", str(home / "torch"))
        _make_inputs(home / "in", samples)
        patch.setattr(ImageDraw.ImageDraw, "text", lambda *args, **more: None)
        patch.setattr(Typeface, "fit", lambda *args, **more: [""])
        patch.setattr(Typeface, "to_supported", lambda *args, **more: "")
        found = Bench(home)
        _make_with(found)
        yield found
        os.chdir(before)


def _make_inputs(place: Path, samples: Path) -> None:
    """Photos, styles, masks, lists and models."""
    import torch

    from cnnviz.network.architecture import build_random
    from cnnviz.network.catalogue import EMBEDDED_FILE, entry
    from cnnviz.network.weights import read_safetensors
    from cnnviz.style.fast import FastStyleNetwork
    from cnnviz.style.model_file import to_bytes
    from cnnviz.style.settings import FastStyleConfig

    def small(name: str, to: str, size: tuple[int, int] = (96, 72)) -> None:
        (place / to).parent.mkdir(parents=True, exist_ok=True)
        photo = Image.open(samples / name).convert("RGB")
        photo.resize(size, Image.Resampling.LANCZOS).save(place / to)

    small("chelsea.png", "cat.png")
    small("coffee.png", "cup.png")
    for name in ("mosaic.jpg", "ink.jpg"):
        small(name, Path(name).stem + ".png")
    album = ("astronaut.png", "coffee.png", "rocket.jpg", "grass.png", "brick.png")
    for number, name in enumerate(album):
        small(name, f"photos/{'deep/' if number > 2 else ''}{Path(name).stem}.png")
    clear = Image.open(place / "cat.png").convert("RGBA")
    clear.paste((0, 0, 0, 0), (0, 0, 60, 72))
    clear.save(place / "clear.png")
    (place / "maps").mkdir()
    np.save(place / "maps" / "cat.npy", np.tri(64, dtype=np.float32))
    marks = {"images": [{"id": 1, "file_name": "cat.png"}], "annotations": [{"image_id": 1, "bbox": [8, 8, 40, 40]}]}
    (place / "boxes.json").write_text(json.dumps(marks))
    np.save(place / "four.npy", np.asarray(Image.open(place / "cat.png").convert("CMYK")))
    half = Image.new("L", (96, 72))
    half.paste(255, (0, 0, 48, 72))
    half.save(place / "half.png")
    (place / "list.txt").write_text("in/cup.png\n")
    (place / "one.txt").write_text("in/cat.png\n")
    for folder, name in {"Egyptian cat": "cat", "espresso": "cup"}.items():
        small("chelsea.png" if name == "cat" else "coffee.png", f"val/{folder}/{name}.png")
    (place / "photos.csv").write_text("file,class\nastronaut.png,person\ncoffee.png,drink\n")
    (place / "true.csv").write_text("file,class\ncat.png,tabby\ncup.png,n07930864\n")
    code = "from cnnviz.network.squeezenet import SqueezeNet\ndef build(): return SqueezeNet(5)\n"
    (place / "my_net.py").write_text(code)
    (place / "labels.txt").write_text("".join(f"kind {number}\n" for number in range(1000)))
    for seed, (name, styles) in enumerate(
        {"fast": ("plain", "wild"), "wild": ("wild",), "mosaic": ("mosaic",)}.items()
    ):
        torch.manual_seed(seed)
        network = FastStyleNetwork(list(styles), FastStyleConfig((4, 4, 4), blocks=1))
        with torch.no_grad():
            for part in network.style_parameters():
                part.add_(0.5 * torch.randn_like(part))
        (place / f"{name}.sft").write_bytes(to_bytes(network))
    plain = {name: tensor.clone() for name, tensor in read_safetensors(EMBEDDED_FILE).items()}
    other = build_random("squeezenet1_1", 1000, seed=1).state_dict()
    torch.save({"model": plain, "model_ema": other}, place / "two.pth")
    layers = torch.nn.Sequential(torch.nn.Conv2d(512, 16, 1), torch.nn.ReLU(), torch.nn.Conv2d(16, 1000, 1))
    own = {f"classifier.1.{name}": tensor for name, tensor in layers.state_dict().items()}
    torch.save({**{k: v for k, v in plain.items() if "classifier" not in k}, **own}, place / "mlp.pth")
    for published in entry("resnet50").weights:  # for what only asks whether they are there
        published.path.parent.mkdir(parents=True, exist_ok=True)
        published.path.touch()
    torch.manual_seed(0)
    fixed = torch.nn.Sequential(torch.nn.Linear(8, 3 * 32 * 32), torch.nn.Unflatten(1, (3, 32, 32)), torch.nn.Tanh())
    torch.jit.trace(fixed, torch.zeros(1, 8)).save(place / "generator.pt")
    grown = torch.nn.Sequential(torch.nn.ConvTranspose2d(8, 3, 32, 8), torch.nn.Tanh())
    torch.jit.trace(grown, torch.zeros(1, 8, 1, 1)).save(place / "any_generator.pt")


def _make_with(bench: Bench) -> None:
    """What cnnviz itself makes to be used again."""
    learned = bench.outcome("universal in/photos -s 64 --passes 1 -e 20 --seed 7 -o uap.png")
    assert "uap.safetensors" in learned["files"]
    place = bench.home / f"run{len(bench.kept) - 1}"
    (place / "uap.safetensors").rename(bench.home / "in" / "uap.safetensors")
    (place / "uap.png").rename(bench.home / "in" / "made.png")
