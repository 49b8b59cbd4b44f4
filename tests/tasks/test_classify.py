"""The task of ``classify``: what it says of images whose classes are known."""

from __future__ import annotations

import csv
import io
import json
import pickle
from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from cnnviz.errors import IncompleteError, UsageError
from cnnviz.network.imagenet import imagenet_labels
from cnnviz.network.network import Network
from cnnviz.network.spec import InputSpec, WeightsInfo
from cnnviz.pipeline.config import BatchConfig, InputConfig, OutputConfig
from cnnviz.pipeline.evaluation_job import EvaluationJob
from cnnviz.pipeline.recipe import Provenance
from cnnviz.pipeline.reporter import SilentReporter
from cnnviz.pipeline.run import LoadedNetwork, PipelineConfig, run_images
from cnnviz.tasks.classify import MATRIX, MISTAKES, Classify

COLORS = {
    104: ("brush_kangaroo", (255, 4, 9)),
    130: ("130", (21, 240, 0)),
    148: ("Killer-Whale", (0, 13, 251)),
    281: ("n02123045", (230, 255, 5)),
    285: ("Egyptian cat", (3, 222, 255)),
    0: ("tinca_tinca", (244, 0, 217)),
    967: ("ESPRESSO", (7, 31, 2)),
}
"""A folder's name and a color for each of seven classes of ImageNet."""

PLANTED = {(104, 130): 3, (104, 0): 1, (281, 285): 2, (285, 281): 1, (967, 148): 2, (0, 967): 1}
"""How many images of one class lie in the folder of another: (folder, what they show)."""


class Seen(nn.Module):
    """The class whose color the mean color is nearest to; how near, decides the probability."""

    def __init__(self, colors, classes):
        super().__init__()
        centers = torch.full((classes, 3), 9.0)
        for index, color in colors.items():
            centers[index] = torch.tensor(color) / 255
        self.register_buffer("centers", centers)

    def forward(self, x):
        return -8 * (x.mean((2, 3))[:, None] - self.centers).square().sum(2)


def network_of(colors, labels, **more):
    spec = InputSpec(size=16, mean=(0.0,) * 3, std=(1.0,) * 3)
    return Network(Seen(colors, len(labels)), name="seen", labels=tuple(labels), spec=spec, **more)


@pytest.fixture
def network():
    return network_of({index: color for index, (_, color) in COLORS.items()}, imagenet_labels())


def photo(path, color, strength=1.0):
    """A picture of one color, the paler the less of ``strength``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pale = tuple(round(127 + (value - 127) * strength) for value in color)
    Image.new("RGB", (20, 16), pale).save(path)


@pytest.fixture
def album(tmp_path):
    """Seven folders of ten images each, ten of which show what belongs elsewhere."""
    for index, (folder, color) in COLORS.items():
        planted = [shown for (place, shown), count in PLANTED.items() if place == index for _ in range(count)]
        for number, shown in enumerate(planted):
            photo(tmp_path / "album" / folder / f"wrong{number}.png", COLORS[shown][1], 0.5 + 0.1 * number)
        for number in range(10 - len(planted)):
            photo(tmp_path / "album" / folder / f"right{number}.png", color)
    return tmp_path / "album"


def is_among_five(path, true):
    """Whether the color of a class is among the five nearest to that of a picture."""
    color = np.array(Image.open(path).getpixel((0, 0)))
    distances = {index: ((color - other) ** 2).sum() for index, (_, other) in COLORS.items()}
    return true in sorted(distances, key=distances.get)[:5]


class Recorder(SilentReporter):
    def __init__(self):
        self.records, self.paths, self.text, self.warnings, self.failures = [], [], [], [], []

    def warn(self, message):
        self.warnings.append(str(message))

    def failed(self, name, error):
        self.failures.append(name)

    def result(self, record, paths, text):
        self.records.append(record)
        self.paths += paths or []
        self.text.append(list(text))


def judge(network, folder, task=None, output=None, **more):
    """The recorder of a run over a folder; the last record is the summary."""
    task, recorder = task or Classify(classes="folder"), Recorder()
    job = EvaluationJob(
        task.purpose,
        LoadedNetwork(network),
        InputConfig([str(folder)], recursive=True),
        BatchConfig(),
        provenance=Provenance("classify", {"classes": task.classes}),
        reporter=recorder,
        sidecars=task.sidecars,
        summary=OutputConfig(None if output is None else str(output), **more),
    )
    try:
        job(task.with_files())
    except IncompleteError as error:
        recorder.exit_code = error.exit_code
    return recorder


def test_seven_classes_with_ten_planted_mistakes(network, album, tmp_path):
    found = judge(network, album, output=tmp_path / "confusion.png")
    lines, summary = found.records[:-1], found.records[-1]["summary"]
    assert len(lines) == summary["pictures"] == 70
    assert (summary["correct"], summary["accuracy"]) == (60, round(60 / 70, 6))
    counts = Counter((line["true"]["index"], line["predictions"][0]["index"]) for line in lines if not line["correct"])
    assert counts == PLANTED
    names = imagenet_labels()
    for each in summary["classes"]:
        wrong = {names[shown]: count for (place, shown), count in PLANTED.items() if place == each["index"]}
        assert each["taken_for"] == wrong and each["correct"] == 10 - sum(wrong.values()) and each["pictures"] == 10
    certain = [mistake["predicted"]["probability"] for mistake in summary["mistakes"]]
    assert len(certain) == 10 and certain == sorted(certain, reverse=True)
    assert all("wrong" in mistake["input"] for mistake in summary["mistakes"])
    among_five = sum(is_among_five(line["input"], line["true"]["index"]) for line in lines)
    assert found.text[-1][0] == f"7 classes, 70 images: accuracy 85.7% (60 of 70), top-5 {among_five / 70:.1%}"
    assert 60 < among_five < 70
    assert found.text[-1][1] == "10 mistakes, most certain first:" and len(found.text[-1]) == 12
    assert [path.rpartition("/")[2] for path in found.paths] == [
        "confusion.png",
        "confusion.csv",
        "confusion.mistakes.csv",
    ]


def test_the_tables(network, album, tmp_path):
    judge(network, album, output=tmp_path / "confusion.png")
    matrix = list(csv.reader((tmp_path / f"confusion{MATRIX}").open(encoding="utf-8")))
    names = [imagenet_labels()[index] for index in sorted(COLORS)]
    assert matrix[0] == ["true \\ predicted", *names] and [row[0] for row in matrix[1:]] == names
    counts = np.array([[int(cell) for cell in row[1:]] for row in matrix[1:]])
    expected = np.diag([10] * 7)
    for (place, shown), count in PLANTED.items():
        row, column = sorted(COLORS).index(place), sorted(COLORS).index(shown)
        expected[row, column] += count
        expected[row, row] -= count
    np.testing.assert_array_equal(counts, expected)
    mistakes = list(csv.DictReader((tmp_path / f"confusion{MISTAKES}").open(encoding="utf-8")))
    assert [(row["true"], row["predicted"]) for row in mistakes if "tinca" in row["file"]] == [("tench", "espresso")]
    assert len(mistakes) == 10 and {row["rank of true"] for row in mistakes} <= set("234567")


def test_a_folder_that_names_no_class(network, album):
    photo(album / "kangoroo" / "a.png", (0, 0, 0))
    with pytest.raises(UsageError, match=r"The folder 'kangoroo' names no class of this network; the nearest are "):
        judge(network, album)


def test_a_table_of_classes(network, album, tmp_path):
    table = tmp_path / "true.csv"
    rows = [f"{path.relative_to(album)},{path.parent.name}" for path in sorted(album.rglob("*.png"))[1:]]
    table.write_text("\n".join(["file,class", *rows]))
    found = judge(network, album, Classify(classes=str(table)))
    assert found.records[-1]["summary"]["pictures"] == 69
    assert ["true" in record for record in found.records[:-1]] == [False] + [True] * 69
    assert found.warnings == [f"The table of classes '{table}' lacks '{sorted(album.rglob('*.png'))[0]}'."]


def test_an_image_that_cannot_be_read_is_left_out(network, album):
    (album / "130" / "bad.png").write_text("no image")
    found = judge(network, album)
    assert found.exit_code == 1 and found.failures == [str(album / "130" / "bad.png")]
    assert found.records[-1]["summary"]["pictures"] == 70


def test_the_folders_it_was_trained_on(tmp_path):
    colors = {0: (255, 0, 0), 1: (0, 255, 0)}
    network = network_of(colors, ["Katze", "Hund"], weights=WeightsInfo("mine", class_to_idx={"cat": 0, "dog": 1}))
    photo(tmp_path / "album" / "cat" / "a.png", (255, 0, 0))
    photo(tmp_path / "album" / "dog" / "b.png", (255, 0, 0))
    found = judge(network, tmp_path / "album")
    assert found.text[-1] == [
        "2 classes, 2 images: accuracy 50.0% (1 of 2)",
        "1 mistake, most certain first:",
        f"  100.0%  {tmp_path / 'album' / 'dog' / 'b.png'}: Katze, not Hund (0.0%)",
    ]
    assert found.records[-1]["summary"]["top5"] is None


def test_one_logit_has_two_classes(tmp_path):
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 1))
    nn.init.constant_(model[2].weight, 0)
    nn.init.constant_(model[2].bias, -2)
    model[2].weight.data[0, 0] = 4
    spec = InputSpec(size=16, mean=(0.0,) * 3, std=(1.0,) * 3)
    network = Network(model, labels=("red",), spec=spec)
    for name, color in {"red/a.png": (255, 0, 0), "not red/b.png": (0, 0, 0), "Not_Red/c.png": (255, 9, 9)}.items():
        photo(tmp_path / "album" / name, color)
    summary = judge(network, tmp_path / "album").records[-1]["summary"]
    assert (summary["correct"], summary["pictures"]) == (2, 3)
    assert summary["mistakes"][0]["true"] == {"index": 1, "label": "not red", "probability": 0.119203}
    photo(tmp_path / "album" / "1" / "d.png", (255, 0, 0))
    with pytest.raises(UsageError, match="The folder '1' names no class"):
        judge(network, tmp_path / "album")
    with pytest.raises(UsageError, match="gives one number and no class"):
        judge(Network(model, spec=spec, activation="none"), tmp_path / "album")


def test_values_that_are_no_probabilities(tmp_path):
    network = network_of({0: (255, 0, 0), 1: (0, 255, 0)}, ["red", "green"], activation="none")
    photo(tmp_path / "album" / "red" / "a.png", (0, 255, 0))
    found = judge(network, tmp_path / "album", output=tmp_path / "m.png")
    (mistake,) = found.records[-1]["summary"]["mistakes"]
    assert mistake["predicted"] == {"index": 1, "label": "green", "value": 0.0} and mistake["true"]["value"] == -16.0
    assert found.text[-1][-1].endswith("a.png: green, not red (-16)") and "%" not in found.text[-1][-1]
    assert (tmp_path / "m.mistakes.csv").read_text().startswith("file,true,predicted,value,value of true")


def test_without_true_classes_nothing_is_judged(network, album):
    results = run_images(Classify(top=2), album, PipelineConfig(network=network, input=InputConfig(recursive=True)))
    assert len(results) == 70 and not any("true" in result.metadata for result in results)
    known = PipelineConfig(network=network, input=InputConfig(recursive=True))
    results = run_images(Classify(top=2, classes="folder"), album, known)
    assert sum(result.metadata["correct"] for result in results) == 60


def test_the_task_travels(album):
    task = Classify(classes="folder").with_files()
    assert pickle.loads(pickle.dumps(task)).known_classes == task.known_classes
    assert Classify().summarize("net", 10, []) is None


def test_on_the_command_line(run_cnnviz, samples, tmp_path):
    for folder, name in {"tabby": "coffee", "espresso": "coffee", "n02124075": "chelsea"}.items():
        (tmp_path / "album" / folder).mkdir(parents=True)
        Image.open(samples / f"{name}.png").resize((192, 128)).save(tmp_path / "album" / folder / f"{name}.png")
    network = ("-m", "squeezenet1_1", "-s", "128")
    run = run_cnnviz("classify", "album", "-r", *network, "--classes", "folder", "--json", "-k", "1", "-o", "m.png")
    *lines, last = map(json.loads, run.stdout.splitlines())
    assert [line["true"]["label"] for line in lines] == ["espresso", "Egyptian cat", "tabby"]
    assert [line["correct"] for line in lines] == [True, True, False]
    assert (last["input"], last["output"], last["companions"]) == ("album", "m.png", ["m.csv", "m.mistakes.csv"])
    assert last["summary"]["correct"] == 2
    shown = run_cnnviz("info", "--command", "m.png").stdout
    assert shown.startswith("cnnviz classify album --model squeezenet1_1 --seed 0 --classes folder --recursive")
    refused = run_cnnviz("classify", "album", "-r", *network, "--classes", "folder", "-o", "m.png")
    assert (refused.exit_code, refused.stdout) == (2, "") and "'m.png' and 2 more exist already" in refused.stderr
    (tmp_path / "album" / "tabby").rename(tmp_path / "album" / "taby_cat")
    unknown = run_cnnviz("classify", "album", "-r", *network, "--classes", "folder")
    assert (unknown.exit_code, unknown.stdout) == (2, "")
    assert "'taby_cat' names no class of this network; the nearest are tabby (tabby cat)" in unknown.stderr
    idle = run_cnnviz("classify", "album", "-r", *network, "-o", "n.png")
    assert "-o" in idle.stderr and "without --classes" in idle.stderr and idle.exit_code == 0
    to_stdout = run_cnnviz("classify", "album", "-r", *network, "--classes", "folder", "-o", "-")
    assert to_stdout.exit_code == 2 and "writes several files" in to_stdout.stderr


def test_a_table_as_csv_readers_take_it():
    header = "file,true,predicted,probability,probability of true,rank of true"
    task = Classify(classes="folder")
    record = {
        "true": {"index": 1, "label": 'a "b", c', "probability": 0.25},
        "predictions": [{"index": 0, "label": "d", "probability": 0.75}],
        "rank": 2,
    }
    tables = task.summarize("net", 2, [("x\udcff.png", record)]).sidecars
    assert next(csv.reader(io.StringIO(tables[MISTAKES].decode(errors="replace")))) == header.split(",")
    assert list(csv.reader(io.StringIO(tables[MATRIX].decode())))[1] == ['a "b", c', "1", "0"]
