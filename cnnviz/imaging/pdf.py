"""PDF files of one page that is an image, stored without loss, for papers and slides."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image, PdfParser

_DPI = 150  # pixels per inch of the page
MAGIC = b"%PDF"
"""The first bytes of a PDF file."""


def encode_pdf(image: Image.Image, keywords: str | None, creator: str) -> bytes:
    """An image as a page of its size at 150 dpi; the same image and words give the same bytes."""
    from matplotlib.backends.backend_pdf import FigureCanvasPdf
    from matplotlib.figure import Figure

    width, height = image.size
    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI)
    FigureCanvasPdf(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.imshow(np.asarray(image.convert("RGB")), interpolation="none", aspect="auto")
    about: dict[str, Any] = {"Creator": creator, "CreationDate": None}
    if keywords is not None:
        about["Keywords"] = keywords
    buffer = BytesIO()
    figure.savefig(buffer, format="pdf", metadata=about)
    return buffer.getvalue()


def read_keywords(data: bytes) -> str:
    """The keywords of a PDF file, where cnnviz stores its recipe; empty where there are none."""
    try:
        info: dict[Any, Any] = dict(PdfParser.PdfParser(buf=data).info or {})
        words = info.get(b"Keywords")
        return words.decode("ascii", "replace") if isinstance(words, bytes) else ""
    except (PdfParser.PdfFormatError, ValueError, TypeError, KeyError, AttributeError, IndexError):
        return ""
