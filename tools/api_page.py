"""docs/api.md from the source: signature, docstring and settings of every public name.

Nothing is imported but the parser of Python, so that it takes a second.
"""

from __future__ import annotations

import ast
import functools
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "network": "Networks",
    "imaging": "Images",
    "attribution": "Which pixels matter",
    "figures": "Maps over photos",
    "report": "Figures and pages",
    "features": "Layers and features",
    "adversarial": "Fooling a network",
    "synthesis": "Images made by optimization",
    "style": "Style transfer",
    "pipeline": "Many images",
    "errors": "Errors",
}
_WIDTH = 110
_INTRODUCTION = """
All names are importable from `cnnviz` itself: `from cnnviz import saliency`. Images are tensors of pixels (N, 3, H, W),
RGB in [0, 1], float32. Examples run in a checkout, with the built-in network.
"""


@dataclass(frozen=True)
class Definition:
    """A class, function or documented type alias, and the module it is in."""

    name: str
    module: str
    node: ast.ClassDef | ast.FunctionDef | ast.Assign
    doc: str

    @property
    def summary(self) -> str:
        """The first paragraph of the docstring, on one line."""
        return _code(" ".join(self.doc.partition("\n\n")[0].split()))


@functools.cache
def _tree(module: str) -> ast.Module:
    path = ROOT.joinpath(*module.split("."))
    file = path.with_suffix(".py") if path.with_suffix(".py").exists() else path / "__init__.py"
    return ast.parse(file.read_text(encoding="utf-8"))


def find(module: str, name: str) -> Definition | None:
    """The definition that ``name`` stands for in a module of cnnviz, its own or imported; None for others."""
    body = _tree(module).body
    for node, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return Definition(name, module, node, ast.get_docstring(node) or "")
        if isinstance(node, ast.Assign) and [getattr(target, "id", None) for target in node.targets] == [name]:
            is_documented = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            return Definition(name, module, node, str(after.value.value)) if is_documented else None  # type: ignore[union-attr]
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("cnnviz"):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return find(node.module or "", alias.name)
    return None


def public() -> dict[str, list[Definition]]:
    """The definitions of all public names, by package."""
    stub = ast.parse((ROOT / "cnnviz/__init__.pyi").read_text(encoding="utf-8"))
    imports = [
        (node.module, alias.name) for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names
    ]
    found: dict[str, list[Definition]] = {package: [] for package in PACKAGES}
    for module, name in imports:
        definition = find(f"cnnviz.{module}", name)
        assert definition is not None, f"{name} is not defined in cnnviz.{module}"
        found.setdefault((module or "").split(".")[0], []).append(definition)
    return {package: definitions for package, definitions in found.items() if definitions}


def signature(definition: Definition) -> str:
    """How it is called, on one line or, where that is too long, with a parameter a line."""
    node = definition.node
    if isinstance(node, ast.ClassDef):
        made = next((each for each in _methods(node) if each.name == "__init__"), None)
        return _call(node.name, _parameters(made.args) if made else list(_fields(node)), "")
    assert isinstance(node, ast.FunctionDef)
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return _call(node.name, _parameters(node.args), returns)


def _call(name: str, parameters: list[str], returns: str) -> str:
    line = f"{name}({', '.join(parameters)}){returns}"
    if len(line) <= _WIDTH:
        return line
    return "\n".join([f"{name}(", *(f"    {each}," for each in parameters), f"){returns}"]).replace("*,,", "*,")


def _parameters(arguments: ast.arguments) -> list[str]:
    """Parameters with types and defaults, as in the source, without ``self``."""
    positional = [argument for argument in (*arguments.posonlyargs, *arguments.args) if argument.arg != "self"]
    missing = len(positional) - len(arguments.defaults)
    defaults: list[ast.expr | None] = [None] * max(missing, 0)
    texts = [_parameter(*pair) for pair in zip(positional, [*defaults, *arguments.defaults], strict=True)]
    if arguments.kwonlyargs:
        star = f"*{_parameter(arguments.vararg, None)}" if arguments.vararg else "*"
        texts += [star, *(_parameter(*pair) for pair in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True))]
    elif arguments.vararg:
        texts.append(f"*{_parameter(arguments.vararg, None)}")
    return [*texts, f"**{_parameter(arguments.kwarg, None)}"] if arguments.kwarg else texts


def _parameter(argument: ast.arg, default: ast.expr | None) -> str:
    kind = f": {ast.unparse(argument.annotation)}" if argument.annotation else ""
    return argument.arg + kind + (f" = {ast.unparse(default)}" if default else "")


def _fields(node: ast.ClassDef) -> Iterator[str]:
    """The fields of a dataclass as parameters; a default made by a factory is written as its call."""
    for part in node.body:
        if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
            text = f"{part.target.id}: {ast.unparse(part.annotation)}"
            yield text + (f" = {_default(part.value)}" if part.value else "")


def _default(value: ast.expr) -> str:
    """The default of a dataclass field, out of ``field(...)`` or ``setting(...)``."""
    if isinstance(value, ast.Call) and getattr(value.func, "id", "") in ("field", "setting"):
        for keyword in value.keywords:
            if keyword.arg == "default_factory":
                factory = keyword.value
                return ast.unparse(factory.body) if isinstance(factory, ast.Lambda) else f"{ast.unparse(factory)}()"
            if keyword.arg == "default":
                return ast.unparse(keyword.value)
        return ast.unparse(value.args[0])
    return ast.unparse(value)


def _methods(node: ast.ClassDef) -> Iterator[ast.FunctionDef]:
    yield from (part for part in node.body if isinstance(part, ast.FunctionDef))


def _with_parents(definition: Definition) -> Iterator[Definition]:
    """A definition, then the classes of cnnviz that it inherits from."""
    yield definition
    for base in getattr(definition.node, "bases", ()):
        parent = find(definition.module, ast.unparse(base))
        if parent is not None:
            yield from _with_parents(parent)


def _all_methods(definition: Definition) -> list[ast.FunctionDef]:
    """The methods of a class, then those that it inherits."""
    found: dict[str, ast.FunctionDef] = {}
    for each in _with_parents(definition):
        if isinstance(each.node, ast.ClassDef):
            for method in _methods(each.node):
                found.setdefault(method.name, method)
    return list(found.values())


def _public_members(definition: Definition) -> Iterator[str]:
    """A line for each public method and property."""
    for method in _all_methods(definition):
        name, doc = method.name, ast.get_docstring(method) or ""
        if (name.startswith("_") and name != "__call__") or not doc or name == "forward":
            continue
        decorators = {ast.unparse(each) for each in method.decorator_list}
        is_property = bool(decorators & {"property", "cached_property"})
        returns = f" -> {ast.unparse(method.returns)}" if method.returns else ""
        call = name if is_property else f"{name}({', '.join(_parameters(method.args))})"
        call = call.replace("__call__", "network") + returns
        yield f"- `{call}`: {_code(' '.join(doc.partition(chr(10) * 2)[0].split()))}"


def _code(text: str) -> str:
    """Docstring text as Markdown."""
    return text.replace("``", "`")


_SECTION = re.compile(r"^(Args|Attributes|Returns|Raises|Example):$", re.M)


def _body(doc: str) -> Iterator[str]:
    """A docstring as Markdown: its paragraphs, one list of arguments, result and errors, and its example as code."""
    head, *rest = _SECTION.split(doc)
    yield from (_code(head.strip()), "")
    sections = {title: textwrap.dedent(text).strip() for title, text in zip(rest[::2], rest[1::2], strict=True)}
    items = [*_items(sections.get("Args", "")), *_items(sections.get("Attributes", ""))]
    if "Returns" in sections:
        items.append(f"- Returns: {_code(' '.join(sections['Returns'].split()))}")
    items += _items(sections.get("Raises", ""), "Raises ")
    yield from (*items, "") if items else ()
    if "Example" in sections:
        yield from ("```python", sections["Example"], "```", "")


def _items(text: str, prefix: str = "") -> Iterator[str]:
    """The entries of a section of a docstring, as a list."""
    for entry in re.split(r"\n(?=\S)", text) if text else ():
        names, _, meaning = " ".join(entry.split()).partition(": ")
        yield f"- {prefix}{', '.join(f'`{name}`' for name in names.split(', '))}: {_code(meaning)}"


def _settings(definition: Definition) -> Iterator[str]:
    """A table of the fields of the settings that a function takes."""
    for node in _annotations(definition.node):
        for name in dict.fromkeys(re.findall(r"\w+Settings", ast.unparse(node))):
            kind = find(definition.module, name)
            if kind is None or not isinstance(kind.node, ast.ClassDef):
                continue
            yield from (f"Fields of `{kind.module}.{name}`:", "", "| field | default | meaning |", "|---|---|---|")
            for part in kind.node.body:
                if isinstance(part, ast.AnnAssign) and isinstance(part.value, ast.Call) and len(part.value.args) > 1:
                    meaning = str(ast.literal_eval(part.value.args[1])).replace("|", r"\|")
                    yield f"| `{ast.unparse(part.target)}` | `{_default(part.value)}` | {meaning} |"
            yield ""


def _annotations(node: ast.AST) -> Iterator[ast.expr]:
    """The types in the signature of a function; in those of a class, its fields and its public methods."""
    if isinstance(node, ast.ClassDef):
        for part in node.body:
            if getattr(part, "name", "").startswith("_") and getattr(part, "name", "") != "__init__":
                continue
            yield from _annotations(part)
    if isinstance(node, ast.AnnAssign):
        yield node.annotation
    if isinstance(node, ast.FunctionDef):
        yield from (part.annotation for part in ast.walk(node.args) if isinstance(part, ast.arg) and part.annotation)
        yield from [node.returns] if node.returns else ()


def types(definitions: list[Definition]) -> list[Definition]:
    """The documented types of cnnviz that the signatures name, by name; those that are public themselves left out."""
    found = {}
    for definition in (each for public in definitions for each in _with_parents(public)):
        for annotation in _annotations(definition.node):
            for name in re.findall(r"\b[A-Z]\w+", ast.unparse(annotation)):
                kind = find(definition.module, name)
                if kind and kind.doc and not name.endswith("Settings"):
                    found[name] = kind
    known = {definition.name for definition in definitions}
    return [found[name] for name in sorted(found) if name not in known]


def _entry(definition: Definition) -> Iterator[str]:
    yield from (f"### {definition.name}", "", "```python", signature(definition), "```", "")
    yield from _body(definition.doc)
    if isinstance(definition.node, ast.ClassDef):
        members = list(_public_members(definition))
        yield from (*members, "") if members else ()
    yield from _settings(definition)


def api_page(hint: str) -> str:
    """The page: an index, then every public name by package, then the types in their signatures."""
    packages = public()
    lines = [hint, "# In Python", _INTRODUCTION]
    for package, definitions in packages.items():
        links = ", ".join(f"[`{each.name}`](#{each.name.lower()})" for each in definitions)
        lines.append(f"- {PACKAGES[package]}: {links}")
    lines.append("")
    for package, definitions in packages.items():
        lines += [f"## {PACKAGES[package]}", ""]
        for definition in definitions:
            lines += _entry(definition)
    lines += ["## Types", "", "What the signatures name, and where it is imported from.", ""]
    lines += ["| type | module | meaning |", "|---|---|---|"]
    for kind in types([each for definitions in packages.values() for each in definitions]):
        lines.append(f"| `{kind.name}` | `{kind.module}` | {kind.summary.replace('|', chr(92) + '|')} |")
    return "\n".join(lines).rstrip() + "\n"
