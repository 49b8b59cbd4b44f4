"""The Typer application and the console script's entry point."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from cnnviz import __version__
from cnnviz.cli import (
    adversarial,
    attribution,
    comparison,
    console,
    dream,
    faststyle,
    features,
    folders,
    inspection,
    invert,
    models,
    occlusion,
    report,
    style,
    texture,
    topics,
    universal,
    visualize,
)
from cnnviz.cli.hints import message_with_hint
from cnnviz.cli.process import INTERRUPTED, PIPE_CLOSED, silence_stdout
from cnnviz.errors import CnnvizError

app = typer.Typer(
    name="cnnviz",
    help="See what a convolutional network has learned, which pixels matter to it, how it is fooled, "
    "and what its features can paint.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        console.result(f"cnnviz {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Options before the command."""


attribution.register(app)
occlusion.register(app)
comparison.register(app)
adversarial.register(app)
universal.register(app)
features.register(app)
folders.register(app)
visualize.register(app)
dream.register(app)
invert.register(app)
style.register(app)
faststyle.register(app)
texture.register(app)
inspection.register(app)
models.register(app)
report.register(app)
topics.register(app)


def run() -> int:
    """Exit code of running the command line."""
    _heed_named_shell(sys.argv[1:])
    try:
        app()
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 1
    except KeyboardInterrupt as stop:
        return getattr(stop, "exit_code", INTERRUPTED)
    except BrokenPipeError:
        silence_stdout()
        return PIPE_CLOSED
    except CnnvizError as error:
        console.error(message_with_hint(error))
        return error.exit_code
    except OSError as error:  # help that cannot be printed
        console.error(f"Standard output cannot be written: {error.strerror or error}.")
        silence_stdout()
        return 1
    return 0


def _heed_named_shell(arguments: Sequence[str]) -> None:
    """Let ``--install-completion zsh`` mean zsh.

    Typer asks the processes above which shell they are, and passes over the name, be it another's or none found, as
    while a container is built. It takes the name where it is told not to ask.
    """
    if arguments[:1] in (["--install-completion"], ["--show-completion"]) and len(arguments) > 1:
        os.environ["_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION"] = "1"
