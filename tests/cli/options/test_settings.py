"""Options from settings dataclasses, and settings from the values of options."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated

import pytest
import typer

from cnnviz.cli.options.settings import build, parameters_of
from cnnviz.errors import UsageError
from cnnviz.settings import setting


@dataclass(frozen=True)
class Inner:
    rate: float = setting(0.5, "A rate.", min=0, max=1)
    hidden: int = setting(3, "No option.", is_option=False)


@dataclass(frozen=True)
class Outer:
    color: str = setting("gray", "A color.", choices=("gray", "white"))
    layers: Sequence[str] | None = setting(None, "Layers.", names=("--layer", "-l"))
    weights: str | Sequence[float] | None = setting(None, "Weights.", choices=("falling",))
    names: tuple[str, ...] | None = setting(None, "Names.")
    fits: bool = setting(True, "Whether it fits.")
    plain: Annotated[int, typer.Option("--plain", help="An option by its type.")] = 1
    inner: Inner = field(default=Inner(rate=0.25))
    seed: int = 0


PARAMETERS = {parameter.name: parameter for parameter in parameters_of(Outer)}


def info(name: str) -> typer.models.OptionInfo:
    return PARAMETERS[name].annotation.__metadata__[0]


def test_settings_are_options():
    assert list(PARAMETERS) == ["color", "layers", "weights", "names", "fits", "plain", "rate"]


def test_options_are_named_after_their_fields_unless_named_otherwise():
    assert info("color").default == "--color"
    assert (info("layers").default, info("layers").param_decls) == ("--layer", ("-l",))
    assert info("fits").default == "--fits/--no-fits"


def test_defaults_are_those_of_the_instance():
    assert PARAMETERS["rate"].default == 0.25
    assert PARAMETERS["color"].default == "gray"


def test_settings_are_built_from_values():
    color = PARAMETERS["color"].annotation.__origin__
    assert issubclass(color, Enum)
    values = {
        "color": color("white"),
        "layers": ["conv1,conv2", "conv3"],
        "weights": "1,2.5",
        "names": ["a,b"],
        "fits": False,
        "plain": 2,
        "rate": 0.75,
        "other": "stays",
    }
    made = build(Outer, values)
    assert made == Outer(
        "white", ("conv1", "conv2", "conv3"), (1.0, 2.5), ("a,b",), fits=False, plain=2, inner=Inner(0.75)
    )
    assert values == {"other": "stays"}


def test_lists_of_numbers_may_be_a_word():
    assert build(Outer, {"weights": "falling"}).weights == "falling"
    with pytest.raises(UsageError, match="--weights"):
        build(Outer, {"weights": "1,heavy"})
