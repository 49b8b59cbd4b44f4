"""A function becomes a command: its groups spread into options, its context, its exit codes."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import typer
from typer.testing import CliRunner

from cnnviz.cli.command import add_command, with_exit_codes
from cnnviz.cli.context import CommandContext
from cnnviz.cli.options import RunOptions
from cnnviz.errors import ModelError, UsageError
from cnnviz.settings import setting


@dataclass(frozen=True)
class Nap:
    hours: int = setting(8, "How long.", min=1, max=24)
    snores: bool = setting(True, "Audibly.")
    depth: float = setting(0.5, "How deep.", min=0, max=1, advanced=True)


@pytest.fixture
def served():
    """The context and task of each call of ``sleep``, a command, and what calls it."""
    calls = []

    def sleep(context: CommandContext, run: RunOptions, task: Nap) -> None:
        """Sleep.

        Examples:
            sleep --hours 3
        """
        calls.append((context, run, task))
        context.unused("depth", why="in short naps")
        if task.hours == 13:
            raise ModelError("There is no bed.")

    app = typer.Typer()
    app.callback()(lambda: None)
    add_command(app, "sleep", sleep)
    return calls, lambda *words: CliRunner().invoke(app, ["sleep", *words])


def test_options_fill_the_task_and_the_groups(served):
    calls, call = served
    assert call("--hours", "3", "--no-snores", "--seed", "5").exit_code == 0
    (context, run, task), *others = calls
    assert (task, run.seed, others) == (Nap(3, snores=False), 5, [])
    assert context.command == "sleep"
    assert context.provenance().parameters == {"hours": 3, "snores": False}


def test_each_call_has_a_context_of_its_own(served):
    calls, call = served
    call("--hours", "3", "--quiet")
    call("--depth", "1")
    (first, *_), (second, *_) = calls
    assert first is not second and first.reporter is not second.reporter
    assert first.provenance().parameters == {"hours": 3}
    assert second.provenance().parameters == {"depth": 1}
    assert (first.reporter.quiet, second.reporter.quiet) == (True, False)


def test_typed_options_without_effect_are_named(served):
    _, call = served
    assert call("--depth", "1").output == "note: --depth has no effect in short naps.\n"
    assert call("--depth", "1", "--quiet").output == call("--hours", "3").output == ""


def test_errors_are_a_sentence_and_an_exit_code(served):
    _, call = served
    failed = call("--hours", "13")
    assert (failed.exit_code, failed.output) == (ModelError("").exit_code, "error: There is no bed.\n")
    assert "between 1 and 24" in " ".join(call("--hours", "25").output.split())
    assert "Traceback" in call("--hours", "13", "--debug").output


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (UsageError("Name an image."), 2, "error: Name an image."),
        (ZeroDivisionError("by zero"), 1, "error: Internal error: ZeroDivisionError: by zero"),
        (KeyboardInterrupt(), 130, "error: Interrupted; what was finished is kept."),
    ],
)
def test_what_ends_a_command_early(error, code, said, capsys):
    def action() -> None:
        raise error

    with pytest.raises(typer.Exit) as stop:
        with_exit_codes(action)
    assert stop.value.exit_code == code
    assert capsys.readouterr().err.startswith(said)


def test_help_has_panels_and_examples(served):
    _, call = served
    shown = call("--help").output
    assert shown.index("--hours") < shown.index("Advanced") < shown.index("--depth") < shown.index("Run")
    assert "sleep --hours 3" in shown
