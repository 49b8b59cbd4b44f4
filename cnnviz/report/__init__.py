"""One self-contained page about pictures and what a network makes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnviz._lazy import lazy_names

_HOME_OF = {
    "Chapter": "cnnviz.report.chapter",
    "Figure": "cnnviz.report.figures",
    "Page": "cnnviz.report.page",
    "Plan": "cnnviz.report.chapter",
    "Study": "cnnviz.report.figures",
    "picture_chapter": "cnnviz.report.chapter",
    "report_page": "cnnviz.report.page",
}

__all__ = list(_HOME_OF)

if TYPE_CHECKING:
    from cnnviz.report.chapter import Chapter as Chapter
    from cnnviz.report.chapter import Plan as Plan
    from cnnviz.report.chapter import picture_chapter as picture_chapter
    from cnnviz.report.figures import Figure as Figure
    from cnnviz.report.figures import Study as Study
    from cnnviz.report.page import Page as Page
    from cnnviz.report.page import report_page as report_page

__getattr__, __dir__ = lazy_names(__name__, _HOME_OF)
