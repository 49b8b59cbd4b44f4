"""What every command has in common: shared option groups, one way to fail, one way to stop.

``add_command`` registers a function with Typer. Parameters whose type is an option group of ``cnnviz.cli.options`` or a
task of ``cnnviz.tasks`` are spread into single options on the command line and put together again before the function
is called.
"""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import is_dataclass
from typing import Any

import typer

from cnnviz.cli import console
from cnnviz.cli.console import ConsoleReporter
from cnnviz.cli.context import CommandContext
from cnnviz.cli.hints import message_with_hint
from cnnviz.cli.options.declaring import ADVANCED
from cnnviz.cli.options.known import register as register_options
from cnnviz.cli.options.metavar import with_metavar
from cnnviz.cli.options.numeric import checked
from cnnviz.cli.options.renamed import command_class, note_old_spellings
from cnnviz.cli.options.settings import build, parameters_of
from cnnviz.cli.process import INTERRUPTED, PIPE_CLOSED, signals, silence_stdout
from cnnviz.errors import CnnvizError, IncompleteError


def add_command(app: typer.Typer, name: str, function: Callable, *, panel: str = "", group: str = "") -> None:
    """Register ``function`` as command ``name`` of ``app``, in a panel of the help.

    Its docstring is the help; the lines after ``Examples:`` in it are command lines, shown at the end. ``group`` is the
    name ``app`` itself has on the command line, for recipes.
    """
    docstring = inspect.cleandoc(function.__doc__ or "")
    full_name = f"{group} {name}".strip()
    register = app.command(
        name,
        cls=command_class(full_name),
        help=help_of(docstring),
        epilog=_epilog(docstring),
        rich_help_panel=panel or None,
    )
    register(_spread(function, full_name))


_EXAMPLES = "Examples:\n"


def help_of(docstring: str) -> str:
    """A command's help from its docstring, each paragraph on one line, for help to break where it ends."""
    about = docstring.partition(_EXAMPLES)[0]
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in about.strip().split("\n\n"))


def _epilog(docstring: str) -> str | None:
    lines = [line.strip() for line in docstring.partition(_EXAMPLES)[2].strip().splitlines()]
    return "Examples:\n\n" + "\n\n".join(lines) if lines else None


def _spread(function: Callable, name: str) -> Callable:
    """``function`` with its option groups replaced by their fields, and errors turned into exit codes."""
    parameters: list[inspect.Parameter] = []
    groups: dict[str, type] = {}
    context_names: dict[type, str] = {}
    # Not get_type_hints: before Python 3.11 it wraps a type whose default is None in Optional, Annotated and all.
    for parameter in inspect.signature(function, eval_str=True).parameters.values():
        kind = parameter.annotation
        if kind in (CommandContext, typer.Context):
            context_names[kind] = parameter.name
        elif isinstance(kind, type) and is_dataclass(kind):
            groups[parameter.name] = kind
            parameters += parameters_of(kind)
        else:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=checked(kind)))
    parameters = sorted(map(with_metavar, parameters), key=_panel_order)

    defaults = {parameter.name: parameter.default for parameter in parameters}
    option_names = {parameter.name: _option_name(parameter) for parameter in parameters}

    def serve(click_context: typer.Context, values: dict[str, Any]) -> None:
        sources = {key: click_context.get_parameter_source(key) for key in values}
        typed = {key for key, source in sources.items() if source and source.name == "COMMANDLINE"}
        if values.get("exec") is not None:  # a program typed here goes before a network of the environment
            values |= {key: defaults[key] for key in ("model", "weights") if key not in typed}
        reporter = ConsoleReporter(**{key: values.get(key, False) for key in ("quiet", "verbose", "json")})
        note_old_spellings(click_context, reporter)
        context = CommandContext(name, dict(values), defaults, option_names, typed, reporter)
        filled = {key: build(kind, values) for key, kind in groups.items()}
        contexts = {CommandContext: context, typer.Context: click_context}
        with console.prints_on_stderr() if context.values.get("trust") else nullcontext():
            function(**filled, **values, **{key: contexts[kind] for kind, key in context_names.items()})

    def call(context: typer.Context, **values: Any) -> None:
        with_exit_codes(lambda: serve(context, values), debug=values.get("debug", False))

    register_options(name, (option for p in parameters for option in _option_names(p)))
    call.__name__ = function.__name__
    call.__doc__ = function.__doc__
    context = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
    call.__signature__ = inspect.Signature([context, *parameters])  # type: ignore[attr-defined]
    call.__annotations__ = {p.name: p.annotation for p in (context, *parameters)}
    return call


def _panel_order(parameter: inspect.Parameter) -> int:
    """Where an option's panel stands in the help, which lists panels as they come: usual, advanced, shared options."""
    panels = [getattr(info, "rich_help_panel", None) for info in getattr(parameter.annotation, "__metadata__", ())]
    return 1 if ADVANCED in panels else 2 if any(panels) else 0


def _option_name(parameter: inspect.Parameter) -> str:
    """The first long name an option is declared with; the parameter's own for arguments."""
    return _option_names(parameter)[0]


def _option_names(parameter: inspect.Parameter) -> list[str]:
    """The long names that an option is declared with; the parameter's own for arguments."""
    # In Annotated, typer.Option takes the first name for its default.
    infos = getattr(parameter.annotation, "__metadata__", ())
    declared = [name for info in infos for name in (info.default, *(info.param_decls or ()))]
    long = [name for name in declared if isinstance(name, str) and name.startswith("--")]
    names = [name.partition("/")[0].removeprefix("--").replace("-", "_") for name in long]
    return names or [parameter.name]


def with_exit_codes(action: Callable[[], Any], *, debug: bool = False) -> None:
    """Run ``action``; whatever ends it early becomes one sentence on stderr and the right exit code."""
    try:
        with signals.raising():
            action()
    except typer.Exit:
        raise
    except IncompleteError as error:  # what failed was reported
        raise typer.Exit(error.exit_code) from None
    except CnnvizError as error:
        _fail(message_with_hint(error), error.exit_code, debug)
    except KeyboardInterrupt as stop:
        word, code = getattr(stop, "word", "Interrupted"), getattr(stop, "exit_code", INTERRUPTED)
        _fail(f"{word}; what was finished is kept.", code, debug)
    except BrokenPipeError:
        silence_stdout()
        raise typer.Exit(PIPE_CLOSED) from None
    except Exception as error:  # a bug: say so in a line, and how to see more
        _fail(f"Internal error: {type(error).__name__}: {error} (--debug shows where).", 1, debug)


def _fail(message: str, code: int, debug: bool) -> None:
    if debug:
        traceback.print_exc()
    console.error(message)
    raise typer.Exit(code)
