"""Write the reference pages of the docs from the program itself: docs/commands.md and docs/api.md.

``python tools/make_reference.py`` writes them; with ``--check`` it only says whether they are up to date (exit 1 if
not), as a test and CI do.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from api_page import api_page

from cnnviz.attribution.registry import METHODS
from cnnviz.cli.reference import Command, Parameter, commands

DOCS = Path(__file__).parents[1] / "docs"
_SHARED_BY = 3
"""An option of a panel that at least this many commands have is listed once, for all of them."""
_HINT = "<!-- Written by tools/make_reference.py from the program: change it there. -->"
_ATTRIBUTION = DOCS / "attribution.md"
_TABLE_BEGIN = "<!-- Table written by tools/make_reference.py from cnnviz/attribution/registry.py. -->"
_TABLE_END = "<!-- End of the table. -->"


def command_page() -> str:
    """Every command with its options; those that many share are listed once, at the end."""
    found = list(commands())
    counts = Counter(parameter for command in found for parameter in command.parameters)
    shared = [p for p, count in counts.items() if p.is_option and p.panel and count >= _SHARED_BY]
    lines = [_HINT, "# Commands", "", "`cnnviz COMMAND --help` shows the same in the terminal.", ""]
    for command in found:
        lines += _command(command, shared)
    lines += ["## Shared options", "", "The same for all commands that list them.", ""]
    for panel in dict.fromkeys(parameter.panel for parameter in shared):
        lines += [f"### {panel}", "", *_table([p for p in shared if p.panel == panel]), ""]
    return "\n".join(lines).rstrip() + "\n"


def _command(command: Command, shared: Sequence[Parameter]) -> Iterator[str]:
    yield from (f"## {command.name}", "", _escaped(command.summary), "", "```text", command.usage, "```", "")
    own = [p for p in command.parameters if p not in shared]
    if own:
        yield from (*_table(own), "")
    others = [p.names[0] for p in command.parameters if p in shared]
    if others:
        yield from ("Shared: " + " ".join(f"`{name}`" for name in others) + ".", "")
    yield from ("```text", *command.examples, "```", "")


def _table(parameters: Sequence[Parameter]) -> Iterator[str]:
    yield from ("| option | default | meaning |", "|---|---|---|")
    for p in parameters:
        value = f" {p.value}" if p.value and p.is_option else ""
        names = ", ".join(p.names) + value if p.is_option else p.value
        meaning = _escaped(p.help) + (f" `{p.variable}`" if p.variable else "")
        yield f"| {_code(names)} | {_code(p.default) if p.default else ''} | {meaning} |"


def _code(text: str) -> str:
    """As code in a table, where renderers disagree on how a bar is escaped."""
    if "|" not in text:
        return f"`{text}`"
    return "<code>" + text.replace("<", "&lt;").replace("|", "&#124;") + "</code>"


def _escaped(text: str) -> str:
    """Text for Markdown: no star or bar of a help text is markup, and nothing looks like HTML."""
    for sign in "\\*_|[]":
        text = text.replace(sign, f"\\{sign}")
    return text.replace("<", "&lt;")


def method_table() -> str:
    """The registry of attribution methods as a table."""
    lines = ["| command | asks | when not to believe it | cost | formula | paper |", "|---|---|---|---|---|---|"]
    for method in METHODS.values():
        chosen = [
            f"--{name}" if value is True else f"--{name} {value}" for name, value in method.command_options.items()
        ]
        command = f"`{' '.join([method.command, *chosen])}`"
        words = (command, method.question, method.caveat, method.cost, method.formula, method.paper)
        cells = (text.replace("|", r"\|") for text in words)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def attribution_page() -> str:
    """docs/attribution.md, its table written from the registry."""
    text = _ATTRIBUTION.read_text(encoding="utf-8")
    before, _, rest = text.partition(_TABLE_BEGIN)
    _, _, after = rest.partition(_TABLE_END)
    return f"{before}{_TABLE_BEGIN}\n\n{method_table()}\n\n{_TABLE_END}{after}"


PAGES = {"attribution.md": attribution_page, "commands.md": command_page, "api.md": lambda: api_page(_HINT)}


def stale() -> list[str]:
    """The pages that are not what the program says now."""
    return [name for name, make in PAGES.items() if not _is_current(DOCS / name, make())]


def _is_current(path: Path, text: str) -> bool:
    return path.exists() and path.read_text(encoding="utf-8") == text


def main() -> int:
    """Write the pages, or check them; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a page is stale")
    wanted = parser.parse_args()
    old = stale()
    if wanted.check:
        if old:
            print(f"Stale: {', '.join(old)}. Run: python tools/make_reference.py", file=sys.stderr)
        return int(bool(old))
    for name in old:
        (DOCS / name).write_text(PAGES[name](), encoding="utf-8")
        print(DOCS / name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
