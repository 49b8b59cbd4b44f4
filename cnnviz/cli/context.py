"""The command that is being run: its options as typed, its parameters for recipes, and the options without effect."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from cnnviz.cli import console
from cnnviz.errors import listed
from cnnviz.pipeline.recipe import NOT_IN_PARAMETERS, Provenance, portable


@dataclass
class CommandContext:
    """The command as it was called: its name, every option's value, and those that were not left at their default.

    ``typed`` are the parameters whose values stand on the command line, not in the environment, ``switched_off`` those
    of them that turn off what is on by default.
    """

    command: str = ""
    values: dict[str, Any] = field(default_factory=dict)
    defaults: dict[str, Any] = field(default_factory=dict)
    option_names: dict[str, str] = field(default_factory=dict)
    typed: set[str] = field(default_factory=set)
    switched_off: set[str] = field(default_factory=set)

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
        environment sets for good are not spoken of: nobody means them for one command. Each note is made once.
        """
        typed = [self._spelled(name) for name in names if name in self.typed] if when else []
        self.typed.difference_update(names if typed else ())
        if typed:
            verb = "has" if len(typed) == 1 else "have"
            console.warn(f"{listed(typed)} {verb} no effect {why}.")

    def _spelled(self, name: str) -> str:
        """The option as it is typed: ``--no-seamless`` where that is what was chosen."""
        option = self.option_names[name].replace("_", "-")
        return f"--no-{option}" if name in self.switched_off else f"--{option}"


current = CommandContext()
"""The invocation being served; a process serves one."""
