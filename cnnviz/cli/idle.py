"""Options without effect beside others: each is named in a note, none is ignored in silence."""

from __future__ import annotations

from cnnviz.cli import console
from cnnviz.cli.command import current
from cnnviz.errors import listed


def idle(*names: str, when: bool = True, why: str) -> None:
    """Say in a note which of the options of the parameters ``names`` were typed and have no effect; ``why`` ends it.

    ``idle("samples", "sigma", when=method != "smoothgrad", why="without --method smoothgrad")``. Options that the
    environment sets for good are not spoken of: nobody means them for one command. Each note is made once.
    """
    typed = [_spelled(name) for name in names if name in current.typed] if when else []
    current.typed.difference_update(names if typed else ())
    if typed:
        verb = "has" if len(typed) == 1 else "have"
        console.warn(f"{listed(typed)} {verb} no effect {why}.")


def _spelled(name: str) -> str:
    """The option as it is typed: ``--no-carry`` where that is what was chosen."""
    option = current.option_names[name].replace("_", "-")
    return f"--no-{option}" if name in current.switched_off else f"--{option}"
