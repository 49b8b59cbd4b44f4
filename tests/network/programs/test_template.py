"""The command line of a program: split as a shell does, with one kind of place for images."""

from __future__ import annotations

from pathlib import Path

import pytest

from cnnviz.errors import UsageError
from cnnviz.network.programs.template import CommandTemplate


@pytest.mark.parametrize(
    ("text", "passing", "filled"),
    [
        ("run {}", "file", ["run", "/x"]),
        ("run --in={} {}", "file", ["run", "--in=/x", "/x"]),
        ("run '{frames}/' -", "folder", ["run", "/x/", "-"]),
        ("ssh phone 'classify -'", None, None),
        ("run - | sh; $HOME `id` *", "stdin", ["run", "-", "|", "sh;", "$HOME", "`id`", "*"]),
        ("'my program' -", "stdin", ["my program", "-"]),
    ],
)
def test_words_are_split_and_nothing_else_is_done(text, passing, filled):
    if passing is None:
        with pytest.raises(UsageError, match="no place for images"):
            CommandTemplate.parse(text)
        return
    template = CommandTemplate.parse(text)
    assert template.passing == passing
    assert template.filled(Path("/x")) == filled


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no place"),
        ("run", "no place"),
        ("-", "no place"),
        ("run 'oh", "cannot be split: no closing quotation"),
        ("run {} {frames}", "both"),
    ],
)
def test_other_command_lines_are_refused(text, said):
    with pytest.raises(UsageError, match=said):
        CommandTemplate.parse(text)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("my_classifier {}", "my_classifier"),
        ("/opt/bin/my.classifier {}", "my.classifier"),
        ("python3 -u tools/cats.py {} --labels x.txt", "cats"),
        ("ssh phone classify {}", "ssh"),
    ],
)
def test_a_network_is_named_after_the_program_or_script(text, name):
    assert CommandTemplate.parse(text).name == name
