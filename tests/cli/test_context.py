"""A command as it was called: what recipes record, and which options have no effect."""

from __future__ import annotations

import pytest

from cnnviz.cli.console import ConsoleReporter
from cnnviz.cli.context import CommandContext


@pytest.fixture
def context() -> CommandContext:
    return CommandContext(
        command="sleep",
        values={"hours": 9, "long_nap": False, "seed": 3, "dreams": None},
        defaults={"hours": 8, "long_nap": True, "seed": 0, "dreams": None},
        option_names={"hours": "hours", "long_nap": "nap", "seed": "seed", "dreams": "dreams"},
        typed={"hours", "long_nap"},
        reporter=ConsoleReporter(),
    )


def test_recipes_record_what_differs_from_the_defaults(context):
    provenance = context.provenance()
    assert provenance.command == "sleep"
    assert provenance.parameters == {"hours": 9, "nap": False}


def test_typed_options_without_effect_are_named_once(context, capsys):
    context.unused("hours", "long_nap", "dreams", why="while awake")
    context.unused("hours", why="while awake")
    context.unused("hours", when=False, why="never")
    assert capsys.readouterr().err == "note: --hours and --no-nap have no effect while awake.\n"


def test_the_pipeline_names_them_through_the_reporter(context, capsys):
    context.reporter.unused("hours", why="while awake")
    assert capsys.readouterr().err == "note: --hours has no effect while awake.\n"
