"""``cnnviz help``, the commands' own help, and completion in the shell."""

from __future__ import annotations

import os
import re
import subprocess

import pytest

from cnnviz.cli.commands.help import topics
from cnnviz.cli.reference import commands

COMMANDS = list(commands())


def test_every_topic_is_listed_and_printed(run_cnnviz):
    listed = run_cnnviz("help").stdout
    assert {"inputs", "outputs", "layers", "weights", "pipelines"} <= set(topics())
    for name, path in topics().items():
        assert f"  {name} " in listed
        text = path.read_text(encoding="utf-8")
        assert text.startswith(f"{name.upper()}: ")
        assert max(map(len, text.splitlines())) <= 80
        assert run_cnnviz("help", name).stdout.strip() == text.strip()


def test_help_of_a_command_is_its_own_help(run_cnnviz):
    assert run_cnnviz("help", "gradcam").stdout == run_cnnviz("gradcam", "--help").stdout
    assert run_cnnviz("help", "models", "fetch").stdout == run_cnnviz("models", "fetch", "--help").stdout
    wrong = run_cnnviz("help", "gradcan")
    assert wrong.exit_code == 2
    assert "did you mean gradcam?" in wrong.stderr


def test_the_environment_is_told_from_the_options(run_cnnviz, samples):
    told = run_cnnviz("help", "environment").stdout
    assert {p.variable for c in COMMANDS for p in c.parameters if p.variable} == {
        word for word in told.split() if word.startswith("CNNVIZ_")
    }
    assert "CNNVIZ_SEED" in told and "--seed" in told


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_explains_itself(command):
    """A sentence, an example that calls it, and a word on each option."""
    assert command.summary.endswith(".")
    assert any(f"cnnviz {command.name}" in example for example in command.examples)
    for parameter in command.parameters:
        assert parameter.help.endswith((".", ")")), parameter


def complete(command: list[str], words: str) -> list[str]:
    """What bash is told when the tab key is pressed after ``words``."""
    index = len(words.split()) - (0 if words.endswith(" ") else 1)
    environment = {**os.environ, "_CNNVIZ_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(index)}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=True)
    return run.stdout.split()


@pytest.mark.needs("posix")
def test_the_shell_completes_commands_options_and_networks(cnnviz_command):
    assert complete(cnnviz_command, "cnnviz sal") == ["saliency"]
    assert complete(cnnviz_command, "cnnviz saliency --perc") == ["--percentile"]
    assert complete(cnnviz_command, "cnnviz saliency --method sm") == ["smoothgrad"]
    assert complete(cnnviz_command, "cnnviz saliency --model vgg16") == ["vgg16", "vgg16_bn"]


@pytest.mark.needs("posix")
@pytest.mark.parametrize(
    ("shell", "startup", "folder", "said"),
    [
        ("bash", ".bashrc", ".bash_completions", "_CNNVIZ_COMPLETE=complete_bash"),
        ("zsh", ".zshrc", ".zfunc", "_CNNVIZ_COMPLETE=complete_zsh"),
    ],
)
def test_completion_is_installed_for_the_shell_that_is_asked_for(
    cnnviz_command, tmp_path, shell, startup, folder, said
):
    environment = {**os.environ, "HOME": str(tmp_path)}
    run = [*cnnviz_command, "--install-completion", shell]
    made = subprocess.run(run, env=environment, capture_output=True, text=True, timeout=240, check=True)
    (script,) = (tmp_path / folder).iterdir()
    assert str(script) in made.stdout
    assert folder in (tmp_path / startup).read_text()
    assert said in script.read_text()


@pytest.mark.needs("posix")
def test_completion_is_shown_for_a_named_shell_and_refused_for_an_unknown_one(cnnviz_command):
    shown = subprocess.run([*cnnviz_command, "--show-completion", "zsh"], capture_output=True, text=True, check=True)
    assert shown.stdout.startswith("#compdef cnnviz")
    run = [*cnnviz_command, "--install-completion", "csh"]
    refused = subprocess.run(run, capture_output=True, text=True, check=False)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "no completion for 'csh'; name one of bash" in refused.stderr


@pytest.mark.parametrize("command", ["style", "texture", "dream", "visualize"])
def test_rare_options_come_after_the_usual_ones_and_before_the_shared(run_cnnviz, command):
    panels = re.findall(r"╭─ ([A-Z][a-z ]+) ─", run_cnnviz(command, "--help").output)
    own = panels.index("Advanced")
    assert panels[own - 1 : own + 2] == ["Options", "Advanced", "Network"]


def test_style_shows_at_most_twelve_options_before_the_panels(run_cnnviz):
    shown = run_cnnviz("style", "--help").output
    usual = shown[: shown.index("─ Advanced ─")]
    assert len(re.findall(r"│ --", usual)) <= 12
    assert re.findall(r"─ ([A-Z]\w+)[\w ]* ─", shown[len(usual) - 10 :])[:5] == [
        *("Advanced", "Network", "Input", "Output", "Run"),
    ]
