"""The styles that a fast style paints with, as typed: ``mosaic``, ``starry:0.7,ink:0.3``, ``my_painting.jpg``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cnnviz.errors import UsageError, shortened
from cnnviz.pipeline.parsing import real
from cnnviz.runtime.paths import as_file_name, is_file
from cnnviz.style.catalogue import ANY, DEFAULT_STYLE, MODELS, model_of, unknown_style

AUTO = "auto"
"""The model that has the style, of those that come with cnnviz."""


@dataclass(frozen=True)
class StyleChoice:
    """A style and its weight: the name of one that a model has, or, if ``is_image``, an image's file."""

    name: str
    weight: float = 1.0
    is_image: bool = False

    @property
    def label(self) -> str:
        """What results call it: its name, or its file's."""
        return Path(self.name).name if self.is_image else self.name

    @property
    def title(self) -> str:
        """What ``{style}`` is in the names of outputs."""
        return as_file_name(Path(self.name).stem if self.is_image else self.name)

    @property
    def typed(self) -> str:
        """What is typed for it."""
        return self.name if self.weight == 1 else f"{self.name}:{self.weight:g}"


def parse_styles(texts: Sequence[str] | str) -> list[StyleChoice]:
    """The styles that some texts name, each a list separated by commas or a file whose name has some.

    Raises:
        UsageError: a text cannot be read, a style is named twice, or no weight is positive.
    """
    texts = [texts] if isinstance(texts, str) else texts
    parts = [part for text in texts for part in ([text] if is_file(text) else text.split(","))]
    found = [_parsed(part.strip()) for part in parts]
    if len({choice.name for choice in found}) < len(found) or not found:
        raise _unreadable(",".join(texts))
    if sum(choice.weight for choice in found) <= 0:
        raise UsageError("The weights of styles are all zero; one of them must be positive.")
    return found


def _parsed(text: str) -> StyleChoice:
    name, colon, weight = text.rpartition(":")
    value = real(weight) if colon and not is_file(text) else None
    if value is None and (not colon or is_file(text) or (_names_image(text) and not _names_image(name))):
        name, value = text, 1.0
    if not name or value is None or value < 0:
        raise _unreadable(text)
    return StyleChoice(name, value, _names_image(name))


def _names_image(name: str) -> bool:
    from cnnviz.imaging.file_types import UNREADABLE_SUFFIXES
    from cnnviz.imaging.image_io import SUFFIXES

    return "/" in name or "\\" in name or Path(name).suffix.lower() in SUFFIXES | UNREADABLE_SUFFIXES


def _unreadable(text: str) -> UsageError:
    return UsageError(f"'{shortened(text)}' names no style, nor styles with weights.", remedy="style_weights")


def default_choice(known: Sequence[str] | None) -> StyleChoice:
    """The style where none is named, of a model's: the one that suits most photos, or else the first."""
    if known is not None and not known:
        raise UsageError("The model for any image needs one as the style.", remedy="name_style")
    return StyleChoice(DEFAULT_STYLE if known is None or DEFAULT_STYLE in known else known[0])


def model_with(choice: StyleChoice, model: str, known: Sequence[str] | None) -> str:
    """The model that paints in a style, where ``model`` (with the styles ``known``, None for ``auto``) is wanted.

    Raises:
        UsageError: it has no such style; the message has the nearest names.
    """
    if choice.is_image:
        if model not in (AUTO, ANY):
            raise UsageError(
                f"'{choice.label}' is an image, and the style model has styles of its own.", remedy="any_style"
            )
        return ANY
    if known is None:
        return model_of(choice.name)
    if choice.name not in known:
        raise unknown_style(choice.name, known or [name for one in MODELS.values() for name in one.styles])
    return model
