"""The application: what it prints where no command is named, and the panels of its help."""

from __future__ import annotations

import re

from cnnviz.cli.commands import COLLECT, COMMANDS, EXPLAIN, FOOL, INSPECT, PAINT, TOOLS


def test_without_a_command_the_help_is_printed_and_nothing_is_wrong(run_cnnviz):
    for words in ((), ("fast-style",)):
        alone, helped = run_cnnviz(*words), run_cnnviz(*words, "--help")
        assert (alone.exit_code, alone.stdout) == (0, helped.stdout)
        assert "Usage:" in alone.stdout


def test_an_unknown_command_is_a_usage_error(run_cnnviz):
    assert run_cnnviz("nonsense").exit_code == 2
    assert run_cnnviz("models", "nonsense").exit_code == 2


def test_the_help_lists_every_command_in_a_panel(run_cnnviz):
    text = run_cnnviz("--help").stdout
    panels = re.findall(r"^╭─ (.*?) ─", text, re.MULTILINE)
    used = dict.fromkeys(COMMANDS.values())
    assert [panel for panel in panels if panel in used] == [
        panel for panel in (EXPLAIN, INSPECT, FOOL, PAINT, COLLECT, TOOLS) if panel in used
    ]
    for name in COMMANDS:
        assert re.search(rf"^│ {name.partition(' ')[0]} ", text, re.MULTILINE), name
