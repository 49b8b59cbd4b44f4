"""Text in figures: every character can be drawn, and every line fits."""

from __future__ import annotations

import pytest
from PIL import Image, ImageDraw

from cnnviz.figures.grid import panel
from cnnviz.figures.text import Typeface, write

LONG = "a caption far too long for any tile, that goes on and on until nobody could wish to read any more of it"


@pytest.mark.parametrize("text", ["é × σ — … ß ł", "日本", "кот", "a\tb\nc", "\u200b\x07", "🐈", "e\u0301", ""])
def test_no_empty_boxes_are_drawn(text: str, monkeypatch: pytest.MonkeyPatch):
    for face in (Typeface.default(), Typeface(None)):
        assert not face.missing(face.to_supported(text))
    monkeypatch.setattr(Typeface, "default", classmethod(lambda cls: cls(None)))
    panel([Image.new("RGB", (99, 99))], [text], text)


def test_accents_and_greek_are_drawn_as_they_are_and_spelled_out_by_pillows_own_typeface():
    face, text = Typeface.default(), "é × σ — кот ≥"
    assert face.missing("é") or face.to_supported(text) == text
    assert Typeface(None).to_supported("é × σ — ß → 日") == "e x sigma - ss -> ?"


@pytest.mark.parametrize("lines", [1, 2, 3])
@pytest.mark.parametrize("text", [LONG, "Unbreakable" * 20, "short", "two words", "  "])
def test_text_fits_its_width(text: str, lines: int):
    face = Typeface.default()
    fitted = face.fit(text, 16, 120, lines)
    assert len(fitted) <= lines
    assert all(face.font(16).getlength(line) <= 120 for line in fitted)
    whole = "".join(fitted).replace(" ", "") == text.replace(" ", "")
    assert whole or fitted[-1].endswith("...")


@pytest.mark.parametrize("anchor", ["la", "ma", "mm", "rm"])
@pytest.mark.parametrize("at", [(150, 20), (150.5, 20), (-3.25, 18.75)])
def test_a_line_is_written_as_pillow_writes_it(anchor: str, at: tuple[float, float]):
    font = Typeface.default().font(17)
    expected = Image.new("RGB", (300, 40), "#e0f0ff")
    found = expected.copy()
    ImageDraw.Draw(expected).text(at, "Ágy, jög {σ}", "#444444", font, anchor)
    for _ in range(2):  # drawn, and from memory
        sheet = found.copy()
        write(sheet, at, "Ágy, jög {σ}", "#444444", font, anchor)
        assert sheet.tobytes() == expected.tobytes()
