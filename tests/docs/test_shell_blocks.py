"""Every shell block of the README and the docs does what it says, run with the embedded network at small sizes.

The blocks of a section are run one after another in a folder of the section's own; a ``make`` block is its Makefile,
and a ``python`` block whose first line is ``# NAME.py`` that file.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SETTING_UP = ("venv", "pip install", "mkdocs", "git clone")
"""Blocks that set cnnviz up change what runs the tests; CI runs those of the README by themselves."""
PACKAGES = {"timm": "timm", ".onnx": "onnxruntime"}
"""What a section needs in whose blocks the word stands."""
TOOLS = ("jq", "make", "parallel", "xargs", "ffmpeg")


@dataclass(frozen=True)
class Section:
    """A section of a page, and its blocks as (language, text)."""

    page: str
    title: str
    blocks: tuple[tuple[str, str], ...]

    @property
    def tools(self) -> list[str]:
        """The programs it calls beside cnnviz."""
        text = " ".join(text for language, text in self.blocks if language == "sh")
        return [tool for tool in TOOLS if re.search(rf"(?:^|[|&]\s*|\n){tool}\b", text)]


def sections(page: Path) -> Iterator[Section]:
    """Those that have a shell block."""
    for part in re.split(r"^(?=## )", page.read_text(encoding="utf-8"), flags=re.M):
        blocks = re.findall(r"^```(sh|make|python(?=\n# \w+\.py\n))\n(.*?)^```$", part, re.M | re.S)
        kept = tuple((kind, text) for kind, text in blocks if not any(word in text for word in SETTING_UP))
        if any(kind == "sh" for kind, _ in kept):
            yield Section(page.name, part.splitlines()[0].strip("# "), kept)


FILES: dict[str, Callable[[str], str]] = {
    "make": lambda text: "Makefile",
    "python": lambda text: text.partition("\n")[0].removeprefix("# "),
}
"""By the language of a block the name of the file that it is."""

SECTIONS = [section for page in PAGES for section in sections(page)]
HERE = [s for s in SECTIONS if all(shutil.which(tool) or tool == "ffmpeg" for tool in s.tools)]
"""Those whose tools are on this machine; CI has all. ffmpeg comes with imageio-ffmpeg."""


@pytest.fixture
def with_film(playground: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The playground with ``clip.mp4`` in it, and ffmpeg where programs are found."""
    import os

    import imageio_ffmpeg

    programs = playground / "programs"
    programs.mkdir()
    (programs / "ffmpeg").symlink_to(imageio_ffmpeg.get_ffmpeg_exe())
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    film = "ffmpeg -loglevel error -loop 1 -i photo.jpg -t 0.5 -r 4 -vf crop=128:96 -pix_fmt yuv420p clip.mp4"
    subprocess.run(film.split(), check=True, timeout=240)
    return playground


def shrunk(text: str) -> str:
    """The block at a small size: large pictures and long optimisations are for readers."""
    return re.sub(r"--steps \d+", "--steps 2", re.sub(r"--size \d+", "--size 64", text))


@pytest.mark.slow
@pytest.mark.parametrize("section", HERE, ids=lambda section: f"{section.page}: {section.title}")
def test_the_blocks_of_a_section_run(section, request, monkeypatch):
    for word, package in PACKAGES.items():
        if any(word in text for _, text in section.blocks):
            pytest.importorskip(package)
    folder = request.getfixturevalue("with_film" if "ffmpeg" in section.tools else "playground")
    if section.page == "your-network.md":
        monkeypatch.delenv("CNNVIZ_MODEL")
    for kind, text in section.blocks:
        if kind in FILES:
            (folder / FILES[kind](text)).write_text(text)
            continue
        script = ["bash", "-euo", "pipefail", "-c", shrunk(text)]
        run = subprocess.run(script, capture_output=True, timeout=250, check=False)
        assert run.returncode == 0, f"{text}\n{run.stdout.decode()[-800:]}\n{run.stderr.decode()[-800:]}"


def test_the_cookbook_has_its_recipes():
    cookbook = [section for section in SECTIONS if section.page == "pipelines.md"]
    assert {tool for section in cookbook for tool in section.tools} >= set(TOOLS) - {"xargs"}
    assert {"find", "jq", "xargs", "parallel", "make", "ffmpeg"} <= {section.title for section in cookbook}
