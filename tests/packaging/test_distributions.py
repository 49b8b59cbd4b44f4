"""What is published: the wheel holds the package whole, the sdist all that it is built and tested from, no more."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import cnnviz

pytestmark = pytest.mark.packaging
ROOT = Path(__file__).parents[2]
KINDS = {".py", ".pyi", ".typed", ".html", ".css", ".js", ".json", ".txt", ".safetensors", ".jpg"}
"""Of files a package is made of; a new kind is added here on purpose."""
SOURCES = {"cnnviz", "tests", "docs", "tools", "benchmarks", "sample_images"}
FILES = {"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "NOTICE", "pyproject.toml", "mkdocs.yml"}
MADE = {"PKG-INFO", ".gitignore"}  # hatchling's own


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both distributions; the wheel is built from the sdist, as installers do."""
    place = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(place), str(ROOT)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return place


@pytest.fixture(scope="module")
def wheel(built: Path) -> zipfile.ZipFile:
    (path,) = built.glob("*.whl")
    assert path.name == f"cnnviz-{cnnviz.__version__}-py3-none-any.whl"
    return zipfile.ZipFile(path)


def package_files() -> set[str]:
    """The package as it stands in the working tree."""
    files = (path.relative_to(ROOT) for path in (ROOT / "cnnviz").rglob("*") if path.is_file())
    return {str(path.as_posix()) for path in files if "__pycache__" not in path.parts}


def test_the_wheel_is_the_package_and_nothing_else(wheel):
    names = set(wheel.namelist())
    info = f"cnnviz-{cnnviz.__version__}.dist-info"
    assert {name for name in names if not name.startswith(f"{info}/")} == package_files()
    assert {Path(name).suffix for name in package_files()} <= KINDS
    assert {f"{info}/licenses/LICENSE", f"{info}/licenses/NOTICE"} <= names


def test_what_must_work_offline_is_in_the_wheel(wheel):
    figures = ("network/bundled/squeezenet1_1.safetensors", "style/bundled/styles.safetensors")
    for name in (*figures, *(f"network/bundled/imagenet_{name}.txt" for name in ("classes", "synsets")), "py.typed"):
        assert wheel.read(f"cnnviz/{name}") == (ROOT / "cnnviz" / name).read_bytes()
    assert sum(file.compress_size for file in wheel.infolist()) < 20_000_000


def test_the_metadata_say_what_is_installed(wheel):
    info = f"cnnviz-{cnnviz.__version__}.dist-info"
    assert "cnnviz = cnnviz.cli:main" in wheel.read(f"{info}/entry_points.txt").decode()
    metadata = Parser().parsestr(wheel.read(f"{info}/METADATA").decode())
    assert metadata["Version"] == cnnviz.__version__
    assert metadata["License-Expression"] == "MIT"
    assert "# cnnviz" in metadata.get_payload()
    needed = {line.split(">")[0] for line in metadata.get_all("Requires-Dist") if "extra ==" not in line}
    assert {"torch", "typer", "jinja2", "pillow"} <= needed


def test_the_sdist_holds_what_it_is_built_and_tested_from(built):
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    tops = {name.partition("/")[0] for name in names}
    assert tops == SOURCES | {name for name in FILES if (ROOT / name).exists()} | MADE
    assert not [name for name in names if "__pycache__" in name or name.endswith((".pyc", ".tmp"))]
    assert package_files() <= set(names)
    assert {"tests/conftest.py", "sample_images/chelsea.png"} <= set(names)
