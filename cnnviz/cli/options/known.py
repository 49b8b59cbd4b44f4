"""The options that each command takes, by the names recipes know them by."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from cnnviz.cli.options.renamed import modern_option, modern_value

_names: dict[str, frozenset[str]] = {}
_loaders: list[Callable[[str], object]] = []


def load_with(load: Callable[[str], object]) -> None:
    """Call ``load`` with the name of a command whose options are not known yet: it is to register them."""
    _loaders.append(load)


def register(command: str, options: Iterable[str]) -> None:
    """Enter a command's options, dashes as underscores."""
    _names[command] = frozenset(options)


class KnownOptions:
    """The options of the command line, for ``cnnviz.pipeline.command_line``."""

    def takes(self, command: str, option: str) -> bool:
        """Whether the command has the option; unknown commands, of other versions, have every option but ``output``."""
        if command not in _names:
            for load in _loaders:
                load(command)
        return option in _names[command] if command in _names else option not in ("output", "resume")

    def modern(self, command: str, option: str, value: Any) -> tuple[str, Any]:
        """Today's name and value for an option in a recipe of any age."""
        name = modern_option(command, option)
        return name, modern_value(name, value)


KNOWN_OPTIONS = KnownOptions()
