"""A command as it was called: what was typed, what recipes record of it, and which options have no effect.

A command's function gets it as a parameter of the type ``CommandContext``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cnnviz.cli.console import ConsoleReporter
from cnnviz.errors import listed
from cnnviz.pipeline.recipe import NOT_IN_PARAMETERS, Provenance, portable


@dataclass
class CommandContext:
    """A command as it was called: its name, every option's value and default, and the reporter that prints for it.

    Values are by parameter; ``option_names`` has the option of each, with underscores for dashes; ``typed`` are the
    parameters whose values stand on the command line, not in the environment.
    """

    command: str
    values: Mapping[str, Any]
    defaults: Mapping[str, Any]
    option_names: Mapping[str, str]
    typed: set[str]
    reporter: ConsoleReporter

    def __post_init__(self) -> None:
        self.reporter.on_unused = self.unused

    def parameters(self) -> dict[str, Any]:
        """The options that shape the result and differ from their defaults, by the name they are typed by (dashes
        as underscores), as JSON can hold them."""
        return {
            self.option_names.get(name, name): portable(value)
            for name, value in self.values.items()
            if name not in NOT_IN_PARAMETERS and value != self.defaults.get(name)
        }

    def provenance(self) -> Provenance:
        """What recipes tell of the command."""
        return Provenance(self.command, self.parameters())

    def unused(self, *names: str, when: bool = True, why: str) -> None:
        """Warn of options, by their parameters, that were typed and have no effect; ``why`` ends the sentence.

        ``unused("samples", "sigma", when=method != "smoothgrad", why="without --method smoothgrad")``. Options that the
        environment sets are left out: they are not meant for one command. Each note is made once.
        """
        typed = [self._spelled(name) for name in names if name in self.typed] if when else []
        self.typed.difference_update(names if typed else ())
        if typed:
            verb = "has" if len(typed) == 1 else "have"
            self.reporter.warn(f"{listed(typed)} {verb} no effect {why}.")

    def _spelled(self, name: str) -> str:
        """The option as it is typed: ``--no-seamless`` where that is what was chosen."""
        option = self.option_names[name].replace("_", "-")
        is_switched_off = self.defaults[name] is not False and self.values[name] is False
        return f"--no-{option}" if is_switched_off else f"--{option}"
