"""The Typer application and the console script's entry point."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from cnnviz import __version__
from cnnviz.cli import console
from cnnviz.cli.groups import CommandGroup, print_help_if_alone
from cnnviz.cli.hints import message_with_hint
from cnnviz.cli.process import INTERRUPTED, PIPE_CLOSED, ignore_pillow_warnings, silence_stdout
from cnnviz.errors import CnnvizError, UsageError

app = typer.Typer(
    name="cnnviz",
    cls=CommandGroup,
    help="See what a convolutional network has learned, which pixels matter to it, how it is fooled, "
    "and what its features can paint.",
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        console.result(f"cnnviz {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Options before the command."""
    ignore_pillow_warnings()
    print_help_if_alone(context)


def run() -> int:
    """Run the command line; returns its exit code."""
    try:
        install_or_show_completion(sys.argv[1:])
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


def install_or_show_completion(arguments: Sequence[str]) -> None:
    """Serve ``--install-completion SHELL`` and ``--show-completion SHELL``, and exit; return for all other arguments.

    Typer's own options ignore the name of the shell and detect the one they run in, which need not be the one named,
    and cannot be detected while a container is built.
    """
    if len(arguments) != 2 or arguments[0] not in ("--install-completion", "--show-completion"):
        return
    from typer import completion

    option, shell = arguments
    if shell not in _SHELLS:
        raise UsageError(f"There is no completion for '{shell}'; name one of {', '.join(_SHELLS)}.")
    if option == "--show-completion":
        script = completion.get_completion_script(prog_name="cnnviz", complete_var=_COMPLETE_VAR, shell=shell)
        console.result(script)
    else:
        _, path = completion.install(shell=shell, prog_name="cnnviz", complete_var=_COMPLETE_VAR)
        console.result(f"{shell} completion installed in {path}")
        console.result("Completion will take effect once you restart the terminal")
    raise SystemExit(0)


_COMPLETE_VAR = "_CNNVIZ_COMPLETE"
_SHELLS = ("bash", "zsh", "fish", "powershell", "pwsh")  # that Typer completes in
