"""Networks of one's own at the prompt: several outputs, regression, many labels, and what speaks against a class."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cnnviz

FILE = '''
import torch
from torch import nn


class Small(nn.Module):
    """A small network whose features ``heads`` make its outputs of."""

    def __init__(self, **heads):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.Conv2d(8, 8, 3, stride=2), nn.ReLU())
        self.heads = nn.ModuleDict({name: nn.Linear(8, size) for name, size in heads.items()})

    def forward(self, x):
        pooled = self.body(x).mean((2, 3))
        found = {name: 5 * head(pooled) for name, head in self.heads.items()}
        return found if len(found) > 1 else next(iter(found.values()))


def two():
    return Small(color=3, shape=4)


def age():
    return Small(years=1), {"activation": "none", "labels": ["age"]}


def places():
    return Small(places=3), {"activation": "none", "labels": ["x", "y", "z"]}


def tags():
    return Small(tags=4), {"activation": "sigmoid", "labels": ["sky", "sea", "dog", "cat"]}
'''


@pytest.fixture
def own(samples: Path, tmp_path: Path) -> None:
    """The networks in own.py, and a small photo."""
    (tmp_path / "own.py").write_text(FILE)
    Image.open(samples / "chelsea.png").resize((96, 64)).save(tmp_path / "cat.png")


def run(run_cnnviz, line: str, code: int = 0):
    result = run_cnnviz(*shlex.split(line))
    assert result.exit_code == code, result.stderr
    return result


def of(build: str) -> str:
    return f"-m own.py:{build} --trust -s 64"


@pytest.mark.usefixtures("own")
def test_of_several_outputs_the_one_chosen_is_explained(run_cnnviz):
    network = cnnviz.load_network("own.py:two", trust=True, output="shape")
    pixels = cnnviz.read_image("cat.png", size=64)
    expected = cnnviz.saliency(network, pixels, 3)[0, 0].numpy()
    for chosen in ("shape", "1"):
        run(run_cnnviz, f"saliency cat.png {of('two')} --logits {chosen} --target 3 --view raw -o {chosen}.png")
        written = np.asarray(Image.open(f"{chosen}.png"), dtype=float)
        np.testing.assert_allclose(written, expected / expected.max() * 255, atol=0.51)
    found = json.loads(run(run_cnnviz, f"classify cat.png {of('two')} --logits color --json").stdout)
    assert len(found["predictions"]) == 3
    assert found["parameters"]["logits"] == "color"


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize("command", ["classify", "saliency", "occlusion", "layers"])
def test_without_a_choice_the_outputs_are_listed(run_cnnviz, command):
    said = run(run_cnnviz, f"{command} {'' if command == 'layers' else 'cat.png'} {of('two')}", 3).stderr
    assert "own.py:two has 2 outputs, 'color' (1, 3) and 'shape' (1, 4): say which" in said
    assert "--logits NAME" in said
    said = run(run_cnnviz, f"classify cat.png {of('two')} --logits size", 2).stderr
    assert "no output 'size' of own.py:two: it gives a dict of 'color' (1, 3) and 'shape' (1, 4)" in said


def test_what_speaks_against_a_class(run_cnnviz, samples, tmp_path):
    options = f"{samples / 'chelsea.png'} -m squeezenet1_1 -s 64 --stride 16"
    found = {}
    for target in ("lynx", "-lynx", "-287"):
        printed = run(
            run_cnnviz, f"occlusion {options} --target={target} --json -o {target.strip('-2')}a.png -f"
        ).stdout
        found[target] = json.loads(printed)
    drops = {target: np.array(record["drops"]) for target, record in found.items()}
    np.testing.assert_allclose(drops["-lynx"], -drops["lynx"], atol=2e-6)
    assert found["-lynx"]["target"] == {**found["lynx"]["target"], "against": True} == found["-287"]["target"]
    run(run_cnnviz, f"occlusion {options} -t -lynx -o {{target}}.png")
    again = run(run_cnnviz, "info --command 'against_lynx.png'").stdout
    assert "--target=-287" in again
    run(run_cnnviz, again.strip().removeprefix("cnnviz "))
    one, other = (np.asarray(Image.open(tmp_path / name)) for name in ("against_lynx.png", "against_lynx.again.png"))
    np.testing.assert_array_equal(one, other)


@pytest.mark.usefixtures("own")
def test_a_regression_shows_its_values_as_they_are(run_cnnviz):
    value = float(cnnviz.load_network("own.py:age", trust=True)(cnnviz.read_image("cat.png", size=64)))
    assert run(run_cnnviz, f"classify cat.png {of('age')}").stdout == f"cat.png\n  {value:.5g}  0  age\n"
    record = json.loads(run(run_cnnviz, f"saliency cat.png {of('age')} --json").stdout)
    assert record["target"] == record["predicted"] == {"index": 0, "label": "age", "value": round(value, 6)}
    record = json.loads(run(run_cnnviz, f"occlusion cat.png {of('age')} --stride 32 --json --check").stdout)
    assert record["score"] == pytest.approx(value, abs=1e-5)
    assert record["check"]["deletion"][0] == pytest.approx(value, abs=1e-4)
    (rated,) = json.loads(
        run(run_cnnviz, f"visualize --target 0 {of('age').replace('-s', '--size')} --steps 2 --json").stdout
    )["pictures"]
    assert set(rated) == {"index", "label", "value"}
    run(run_cnnviz, f"report cat.png {of('age')} --methods saliency --layer body.0 -o page.html")
    page = Path("page.html").read_text(encoding="utf-8")
    assert f"gives <strong>age</strong>, {value:.3g}." in page
    assert "%" not in page.partition('class="verdict"')[2].partition("</section>")[0]
    assert "How it is fooled" not in page
    for line in ("fool cat.png", "universal cat.png -o out.png", "report cat.png --fool-into age"):
        assert "gives values, not probabilities of classes" in run(run_cnnviz, f"{line} {of('age')}", 2).stderr


@pytest.mark.usefixtures("own")
def test_several_values_are_listed_by_size_and_each_can_be_explained(run_cnnviz):
    found = cnnviz.load_network("own.py:places", trust=True)(cnnviz.read_image("cat.png", size=64))[0]
    order = found.argsort(descending=True).tolist()
    lines = run(run_cnnviz, f"classify cat.png {of('places')}").stdout.splitlines()[1:]
    assert [line.split() for line in lines] == [[f"{found[i]:.5g}", str(i), "xyz"[i]] for i in order]
    record = json.loads(run(run_cnnviz, f"compare cat.png {of('places')} --target=-z --methods saliency --json").stdout)
    assert record["networks"][0]["target"] == {
        "index": 2, "label": "z", "value": pytest.approx(float(found[2]), abs=1e-5), "against": True,
    }  # fmt: skip


@pytest.mark.usefixtures("own")
def test_each_of_many_labels_has_its_own_probability(run_cnnviz):
    chances = cnnviz.load_network("own.py:tags", trust=True)(cnnviz.read_image("cat.png", size=64))[0].sigmoid()
    given = json.loads(run(run_cnnviz, f"classify cat.png {of('tags')} --json").stdout)["predictions"]
    assert {each["label"]: each["probability"] for each in given} == {
        label: pytest.approx(chance, abs=1e-5)
        for label, chance in zip(("sky", "sea", "dog", "cat"), chances.tolist(), strict=True)
    }
    softmax = json.loads(run(run_cnnviz, f"classify cat.png {of('tags')} --activation softmax --json").stdout)
    assert sum(each["probability"] for each in softmax["predictions"]) == pytest.approx(1, abs=1e-5)
    assert [each["label"] for each in softmax["predictions"]] == [each["label"] for each in given]
    record = json.loads(
        run(run_cnnviz, f"fool cat.png {of('tags')} -e 16 --target sky --raw --small -o out.png --json").stdout
    )
    assert {record["before"]["label"], record["after"]["label"]} <= {"sky", "not sky"}
