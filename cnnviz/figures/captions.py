"""Texts of figures, pages and messages: numbers, and the title of an explanation."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cnnviz.attribution.targets import Explanation


def percent(probability: float) -> str:
    """A probability in [0, 1] as text: ``96 %``, ``0.3 %``, never a rounded ``100 %`` or ``0 %``."""
    if 0.005 <= probability < 0.995:
        return f"{probability:.0%}".replace("%", " %")
    if probability >= 0.995:
        return f"{min(probability, 0.99999):.3%}".replace("%", " %")
    return f"{probability:.1%}".replace("%", " %") if probability >= 0.0005 else "< 0.05 %"


def three_digits(value: float) -> str:
    """A number with three significant digits, without powers of ten where possible: 1790, 16.9, 0.0042."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def score_text(score: float, is_probability: bool = True) -> str:
    """A class's score as text: a probability in percent, any other value as a number."""
    return percent(score) if is_probability else three_digits(score)


def score_column(score: float, is_probability: bool = True) -> str:
    """A class's score as text for a column: always one place after the point, or five digits."""
    return f"{score:6.1%}" if is_probability else f"{score:.5g}"


def explanation_title(model: str, explanation: Explanation, true: str | None = None) -> str:
    """One line above a figure: the network's name, the class explained, and the class predicted if it is another.

    ``true`` is the class that the image is truly of, where that is known.
    """
    title = _explanation_title(model, explanation)
    return title if true is None else f"{title}; true class {true}"


def _explanation_title(model: str, explanation: Explanation) -> str:
    target, predicted, is_probability = explanation.target, explanation.predicted, explanation.is_probability
    of_class = is_probability and explanation.function is None
    subject = f"{explanation.name} {score_text(target.score, of_class)}"
    if explanation.versus is not None:
        label, score = explanation.versus.label, explanation.versus.score
        subject = f"{target.label} {score_text(target.score, of_class)} versus {label} {score_text(score, of_class)}"
    title = f"{model}: {subject}"
    if target.index == predicted.index:
        return title
    says = "it says" if is_probability else "the largest is"
    return f"{title} ({says} {predicted.label} {score_text(predicted.score, is_probability)})"
