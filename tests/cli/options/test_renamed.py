"""Old spellings of options work for one more release."""

from __future__ import annotations

import json

import pytest
import typer
from typer.testing import CliRunner

from cnnviz.cli.command import add_command
from cnnviz.cli.options import RunOptions
from cnnviz.cli.options.renamed import RENAMED, RENAMED_VALUES, modern, modern_option, modern_value


@pytest.fixture
def sleep(monkeypatch) -> None:
    """A command with an option that was renamed, and a value."""
    monkeypatch.setitem(RENAMED, "sleep", {"--length": "--hours"})
    monkeypatch.setitem(RENAMED_VALUES, "--blanket", {"grey": "gray"})


def test_words_get_their_new_spelling(sleep):
    words, found = modern("sleep", ["a.png", "--length", "3", "--blanket", "grey", "--length=4", "--blanket=grey"])
    assert words == ["a.png", "--hours", "3", "--blanket", "gray", "--hours=4", "--blanket=gray"]
    assert found == [("--length", "--hours")], "each is noted once"


def test_what_is_no_option_stays(sleep):
    assert modern("sleep", ["grey", "--", "--length", "grey"]) == (["grey", "--", "--length", "grey"], [])
    assert modern("wake", ["--length", "3"]) == (["--length", "3"], [])


def test_old_recipes_name_options_of_today(sleep):
    assert modern_option("sleep", "length") == "hours"
    assert modern_option("sleep", "other_thing") == "other_thing"
    assert modern_value("blanket", "grey") == "gray"
    assert modern_value("blanket", 3) == 3


def test_a_command_takes_them_with_a_note(sleep):
    taken = []

    def command(run: RunOptions, hours: int = 8) -> None:
        """Sleep."""
        taken.append(hours)

    app = typer.Typer()
    app.callback()(lambda: None)
    add_command(app, "sleep", command)
    run = CliRunner().invoke(app, ["sleep", "--length", "3"])
    assert run.exit_code == 0, run.output
    assert taken == [3]
    assert "note: --length is called --hours now" in run.output
    assert CliRunner().invoke(app, ["sleep", "--hours", "4"]).output == ""
    assert taken == [3, 4]

    for wrong in (["--length", "long"], ["--length"]):  # the errors name --hours
        run = CliRunner().invoke(app, ["sleep", *wrong])
        assert run.exit_code == 2 and run.stderr.count("note: --length is called --hours now") == 1, run.stderr
        assert "note" not in CliRunner().invoke(app, ["sleep", "-q", *wrong]).stderr


def test_a_removed_flag_is_taken_with_a_note_and_does_nothing(run_cnnviz, samples):
    options = ("occlusion", samples / "chelsea.png", "-m", "squeezenet1_1", "--size", 32, "--stride", 16, "--json")
    plain, old = run_cnnviz(*options, "-o", "a.png"), run_cnnviz(*options, "-o", "b.png", "--approximate")
    assert old.stderr.replace("\n", " ").count("--approximate has no effect any more: every position is computed.") == 1
    assert json.loads(old.stdout)["drops"] == json.loads(plain.stdout)["drops"]
    assert "approximate" not in json.loads(old.stdout)["parameters"]
