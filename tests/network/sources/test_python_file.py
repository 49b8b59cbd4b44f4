"""``my_net.py:build(width=2)``: what may be built, with which arguments, and what is said where that fails."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest
import torch

import cnnviz
from cnnviz.errors import ModelError, UsageError

PIXELS = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def load(model: str, **more):
    return cnnviz.load_network(model, device="cpu", trust=True, **more)


def test_nothing_runs_without_trust(write, tmp_path):
    model = write("open('marker', 'w')\n")
    with pytest.raises(UsageError, match="was not opened") as error:
        cnnviz.load_network(f"{model}:Tiny")
    assert error.value.remedy == "trust"
    assert not (tmp_path / "marker").exists()
    load(f"{model}:Tiny")
    assert (tmp_path / "marker").exists()


def test_a_module_a_pair_and_a_network_are_taken(write):
    model = write(
        """
import cnnviz
LABELS = list("abcde")
def module(): return Tiny()
def pair(): return Tiny(), {"mean": (0.5,) * 3, "std": (0.25,) * 3, "size": 48, "labels": LABELS, "activation": "none"}
def network(): return cnnviz.Network(Tiny(), input_range=(0, 255), size=40, labels=LABELS, activation="sigmoid")
made = Tiny()
"""
    )
    plain = load(f"{model}:module")
    assert plain.name == "my_net.py:module"
    assert plain.spec.assumed == ("size", "mean", "std", "input_range")
    assert plain.label(0) == "class 0"
    pair = load(f"{model}:pair")
    assert (pair.spec.mean, pair.spec.size, pair.label(0), pair.activation) == ((0.5,) * 3, 48, "a", "none")
    assert pair.spec.assumed == ()
    network = load(f"{model}:network")
    assert (network.spec.input_range, network.spec.size, network.activation) == ((0, 255), 40, "sigmoid")
    assert network.spec.assumed == ()
    assert load(f"{model}:made").classes == 5


def test_the_users_word_goes_before_what_comes_with_the_module(write):
    model = write("def build(): return Tiny(), {'mean': (0.5,) * 3, 'std': (0.25,) * 3, 'labels': list('abcde')}\n")
    network = load(model, mean=(0.1, 0.2, 0.3), size=32, labels=list("vwxyz"))
    assert (network.spec.mean, network.spec.std, network.spec.size) == ((0.1, 0.2, 0.3), (0.25,) * 3, 32)
    assert network.label(0) == "v"


def test_a_file_alone_means_build_or_its_only_module_class(write):
    assert load(write(), size=32).classes == 5
    assert load(write("def build(): return Tiny(width=7)\n"), size=32).module.conv.out_channels == 7
    two = write("class Other(Tiny): pass\ndef make(): return Tiny()\n")
    with pytest.raises(UsageError, match=r"it has Tiny, Other and make: name one, as my_net\.py:Other"):
        load(two)
    with pytest.raises(UsageError, match="it has none to name"):
        load(write(start="x = 1\n"))
    with pytest.raises(UsageError, match="nothing called 'bild'; it has Tiny"):
        load(write() + ":bild")


def test_arguments_are_plain_values(write):
    model = write("def build(width=2, name='', more=()): return Tiny(width * len(more))\n")
    assert load(f"{model}:build(3, more=[1, (2, -1.5), None])").module.conv.out_channels == 9


@pytest.mark.parametrize(
    "call",
    [
        *(
            "build(open('marker', 'w'))",
            "build(width=__import__('os'))",
            "build(*[1])",
            "build(**{})",
            "os.system('x')",
        ),
        *("build(", "build;build", "build(width=1)(2)", "(lambda: 0)()", "build(" + "(" * 500, "1"),
    ],
)
def test_any_other_expression_is_refused_and_not_run(write, tmp_path, call):
    model = write("def build(width=2): return Tiny(width)\n")
    with pytest.raises(UsageError, match="no function with plain values"):
        load(f"{model}:{call}")
    assert not (tmp_path / "marker").exists()


def test_arguments_that_do_not_fit_are_named(write):
    model = write("def build(width=2): return Tiny(width)\n")
    with pytest.raises(UsageError, match=r"does not fit build\(width=2\): got an unexpected keyword argument 'widht'"):
        load(f"{model}:build(widht=3)")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("def build():\n    raise ValueError('no such width')\n", "line 15 of 'my_net.py': ValueError: no such width."),
        ("import neighbor\ndef build(): return neighbor.fail()\n", "line 2 of 'neighbor.py': KeyError: 'x'."),
        ("def build(:\n", "line 14 of 'my_net.py': SyntaxError"),
        ("import sys\nsys.exit('bye')\n", "line 15 of 'my_net.py': SystemExit: bye."),
        ("import no_such_package\n", "line 14 of 'my_net.py': ModuleNotFoundError: No module named 'no_such_package'."),
    ],
)
def test_errors_in_the_file_name_file_and_line(write, code, said):
    write(start="def fail():\n    return {}['x']\n", name="neighbor.py")
    with pytest.raises(ModelError) as error:
        load(f"{write(code)}:build")
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_module_that_fails_on_the_assumed_size_asks_for_it(write):
    model = write("def flat(): return nn.Sequential(nn.Flatten(), nn.Linear(3072, 5))\n")
    with pytest.raises(ModelError, match="It was given an image of 224×224 pixels") as error:
        load(f"{model}:flat")
    assert error.value.remedy == "own_size"
    assert load(f"{model}:flat", size=32).predict(PIXELS, 1)


def test_a_forward_pass_that_takes_no_images_is_named_with_its_line(write):
    model = write(
        "class Masked(nn.Module):\n    def forward(self, x, mask):\n        return x\n\n"
        "class Empty(nn.Module):\n    pass\n"
    )
    line = Path(str(model)).read_text().splitlines().index("    def forward(self, x, mask):") + 1
    with pytest.raises(
        ModelError, match=rf"forward\(self, x, mask\) \(line {line} of .* not take them as one argument"
    ):
        load(f"{model}:Masked")
    with pytest.raises(ModelError, match=rf"Empty \(line {line + 3} of .* has no method forward"):
        load(f"{model}:Empty")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("None", "gives nothing, not a torch.nn.Module"),
        ("[Tiny()]", "gives a list"),
        ("(Tiny(), 3)", "gives a pair of a Tiny and a int"),
        ("(Tiny(), {'meen': 1})", "gives meen with its module; there are mean, std"),
    ],
)
def test_other_results_are_described(write, given, said):
    with pytest.raises(ModelError) as error:
        load(write(f"def build(): return {given}\n"))
    assert said in str(error.value)


def test_neighbors_are_found_and_the_process_is_as_it_was(write, capsys):
    write(start="WIDTH = 6\n", name="neighboring.py")
    model = write(
        "import random\ndef build():\n    import neighboring\n    print('hello')\n"
        "    torch.set_default_dtype(torch.float64)\n    random.seed(1)\n    return Tiny(neighboring.WIDTH).float()\n"
    )
    path, state = list(sys.path), torch.get_rng_state()
    network = load(model)
    assert network.module.conv.out_channels == 6
    assert (sys.path, torch.get_default_dtype()) == (path, torch.float32)
    assert torch.equal(torch.get_rng_state(), state)
    assert "hello" not in capsys.readouterr().out
    assert not Path("__pycache__").exists()


def test_random_weights_follow_the_seed_and_the_hash_follows_the_weights(write):
    model = write("def build(): return Tiny()\n")
    first, again, other = load(model), load(model), load(model, seed=1)
    assert first.weights.sha256 == again.weights.sha256 != other.weights.sha256
    assert first.weights.code_sha256 == other.weights.code_sha256
    assert first.weights.label == "custom"


def test_a_neighbor_is_found_when_forward_imports_it_and_by_its_own_folder_only(write, tmp_path):
    code = (
        "class Late(Tiny):\n    def forward(self, x):\n        if x.mean() > 9: return x\n"
        "        from lately import twice\n        return twice(super().forward(x))\n"
    )
    for folder, factor in ((".", 2), ("other", 3)):
        (tmp_path / folder).mkdir(exist_ok=True)
        write(start=f"def twice(x): return {factor} * x\n", name=f"{folder}/lately.py")
        network = load(write(code, name=f"{folder}/my_net.py") + ":Late", seed=1)
        plain = load(f"{folder}/my_net.py:Tiny", seed=1)
        torch.testing.assert_close(network(PIXELS), factor * plain(PIXELS))
        assert cnnviz.saliency(network, PIXELS, 0).any()
    sys.modules.pop("lately", None)
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("lately")
    assert not list(tmp_path.rglob("__pycache__"))


def test_a_changed_file_and_its_neighbors_are_read_again(write, tmp_path):
    (tmp_path / "other").mkdir()
    for folder, width in ((".", 2), (".", 31), ("other", 4)):
        write(start=f"WIDTH = {width}\n", name=f"{folder}/sizes.py")
        model = write("from sizes import WIDTH\ndef build(): return Tiny(WIDTH)\n", name=f"{folder}/my_net.py")
        assert load(model).module.conv.out_channels == width


def test_a_neighbor_that_imports_the_file_gets_the_same_module(write):
    write(start="def check(kind):\n    from my_net import Tiny\n    assert kind is Tiny\n", name="checks.py")
    load(write("def build():\n    import checks\n    checks.check(Tiny)\n    return Tiny()\n"))


def test_a_file_named_as_a_known_module_does_not_replace_it(write):
    import json

    model = write("def build(): return Tiny()\n", name="json.py")
    load(model)
    assert sys.modules["json"] is json


def test_weights_of_a_file_go_into_the_module(write, tmp_path):
    model = write("def build(width=4): return Tiny(width)\n")
    state = load(model, seed=3).module.state_dict()
    torch.save({"state_dict": {f"module.{name}": value for name, value in state.items()}}, tmp_path / "mine.pth")
    network = load(model, weights="mine.pth")
    assert torch.equal(network(PIXELS), load(model, seed=3)(PIXELS))
    assert network.weights.label == "mine.pth"
    with pytest.raises(ModelError, match=r"has other shapes for 3 tensors \(conv.weight: 4×3×3×3 instead of 5×3×3×3"):
        load(f"{model}:build(5)", weights="mine.pth")
    with pytest.raises(UsageError, match="brings its own weights"):
        load(model, weights="random")


def test_a_thousand_classes_are_assumed_to_be_imagenets(write):
    model = write("def build(): return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 1000))\n")
    network = load(model)
    assert network.label(282) == "tiger cat"
    assert "labels" in network.spec.assumed
