"""What all tests share: no network, an empty weights cache, one thread a process, and the embedded network."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

# Before torch is imported anywhere: xdist's workers share the processors among themselves.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # where two threads are wanted, none spins while others need the processor
os.environ["CNNVIZ_OFFLINE"] = "1"
os.environ["CNNVIZ_FAST_CONV"] = "0"  # whatever this machine gains by them
os.environ["NO_COLOR"] = "1"
os.environ["TERM"] = "dumb"
os.environ["COLUMNS"] = "120"

# A shell's background jobs ignore SIGINT and hand that on; tests interrupt themselves and their children.
signal.signal(signal.SIGINT, signal.default_int_handler)

SAMPLES = Path(__file__).parents[1] / "sample_images"
PACKAGES = ("lightning_fabric", "onnx", "openTSNE", "pyarrow", "umap")
"""Of `[test-all]`: tests that need one are skipped where it is not installed."""


def lacking(what: str) -> str | None:
    """Why a test that needs ``what``, a package or a feature of the machine, cannot run here; None if it can."""
    if what in PACKAGES:
        return None if find_spec(what) else f"{what} is not installed: pip install '.[test-all]'"
    import torch

    from cnnviz.runtime import private_torch

    onednn = private_torch.has_onednn()
    reasons = {
        "onednn": None if onednn else "this PyTorch is without oneDNN",
        "packing": None if onednn and private_torch.can_pack_weights() else "this PyTorch cannot pack weights",
        "avx2": None if torch.backends.cpu.get_cpu_capability() != "DEFAULT" else "oneDNN below AVX2 sums as it likes",
        "traced_buffers": None if _takes_traced_buffers() else "this PyTorch takes no traced tensor for a buffer",
        "posix": None if os.name == "posix" else "signals, pipes, devices and permissions as POSIX has them",
        "bash": None if os.name == "posix" and shutil.which("bash") else "the lines are for bash",
    }
    return reasons[what]


def _takes_traced_buffers() -> bool:
    """Whether torch.fx follows modules that assign a buffer in their forward pass; PyTorch 2.6 refuses."""
    import torch

    class Counter(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("count", torch.zeros(()))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.count = self.count + x.sum()
            return x

    try:
        torch.fx.symbolic_trace(Counter())
    except TypeError:
        return False
    return True


def pytest_runtest_setup(item: pytest.Item) -> None:
    """``@pytest.mark.needs("posix")`` skips a test where that is missing."""
    for mark in item.iter_markers("needs"):
        for reason in map(lacking, mark.args):
            if reason:
                pytest.skip(reason)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that use a browser are marked so, and those marked browser, packaging or ray are slow by nature."""
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.browser)
        if any(item.get_closest_marker(name) for name in ("browser", "packaging", "ray")):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True, scope="session")
def empty_weights_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Tests neither see nor touch the weights of whoever runs them."""
    home = tmp_path_factory.mktemp("torch_home")
    os.environ["TORCH_HOME"] = str(home)
    yield home


@pytest.fixture(autouse=True, scope="session")
def feature_store_apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Tests keep features in a folder of their own."""
    home = tmp_path_factory.mktemp("feature_store")
    os.environ["CNNVIZ_STORE"] = str(home)
    yield home


@pytest.fixture(scope="session")
def squeezenet():
    """The embedded, ImageNet-trained network."""
    import cnnviz

    return cnnviz.load_network("squeezenet1_1", device="cpu")


@pytest.fixture(scope="session")
def classifier() -> Callable[..., str]:
    """The command line of a tiny program that classifies: ``classifier("{frames}", counter, 3, "fail")``."""
    script = Path(__file__).parent / "data" / "mean_color.py"

    def command(frames: str, counter: Path | str = "", first_bad: int = 0, mode: str = "good") -> str:
        return shlex.join([sys.executable, "-I", "-S", str(script), frames, str(counter), str(first_bad), mode])

    return command


@pytest.fixture(scope="session")
def samples() -> Path:
    """The folder of sample photos."""
    return SAMPLES


@pytest.fixture(scope="session")
def chelsea():
    """A cat, (1, 3, 224, 336) pixels."""
    import cnnviz

    return cnnviz.read_image(SAMPLES / "chelsea.png", size=224)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator:
    """Chromium, without a window, for tests of pages; its console is kept. Asked for only where there is one."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome")
    switches = (
        "--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --disable-background-networking "
        "--disable-component-update --disable-sync --window-size=900,700"
    )
    for switch in [*switches.split(), f"--user-data-dir={tmp_path_factory.mktemp('profile')}"]:
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    yield driver
    driver.quit()


@pytest.fixture
def run_cnnviz(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable:
    """Runs the command line in this process, in an empty folder; gives exit code, stdout and stderr.

    ``run_cnnviz("saliency", "photo.png", stdin=b"...")``. Faster than a process of its own by the import of torch.
    """
    from typer.testing import CliRunner

    from cnnviz.cli.app import app

    monkeypatch.chdir(tmp_path)

    def run(*arguments: object, stdin: bytes | str | None = None):
        return CliRunner().invoke(app, [str(a) for a in arguments], input=stdin, catch_exceptions=False)

    return run


@pytest.fixture(scope="session")
def file_content() -> Callable[[str | Path], object]:
    """What a file holds: of an image the pixels of its frames and its texts, of anything else its bytes.

    Two PNG files of the same pixels need not be the same bytes: how ISA-L deflates is its own affair.
    """
    from PIL import Image, ImageSequence

    def content(path: str | Path) -> object:
        if Path(path).suffix not in (".png", ".gif", ".jpg", ".webp"):
            return Path(path).read_bytes()
        with Image.open(path) as image:
            frames = [(frame.mode, frame.size, frame.tobytes()) for frame in ImageSequence.Iterator(image)]
            return frames, getattr(image, "text", {}), image.info.get("comment"), image.info.get("exif")

    return content


@pytest.fixture
def playground(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with all that examples speak of, tiny: ``sample_images/``, ``photos/``, ``photo.jpg``, style pictures,
    ``val/`` with a folder for each class, and for the photos ``maps/`` and masks of objects in ``annotations/``.

    It is the working folder, and the environment makes every command small, offline and free to overwrite.
    """
    import numpy as np
    from PIL import Image

    def shrunk(name: str, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        photo = Image.open(SAMPLES / name).convert("RGB")
        photo.thumbnail((150, 150))
        photo.save(path)

    for path in SAMPLES.iterdir():
        if path.suffix != ".md":
            shrunk(path.name, tmp_path / "sample_images" / path.name)
    photos = {"chelsea.png": "photo.jpg", "coffee.png": "a.jpg", "rocket.jpg": "b.jpg", "mosaic.jpg": "monet.jpg"}
    styles = {name: name for name in ("starry.jpg", "mosaic.jpg", "ink.jpg")} | {"brick.png": "my_painting.jpg"}
    album = {"chelsea.png": "photos/cat.jpg", "coffee.png": "photos/cup.jpg", "rocket.jpg": "photos/trip/rocket.jpg"}
    val = {
        "chelsea.png": "val/Egyptian cat/cat.jpg",
        "coffee.png": "val/espresso/cup.jpg",
        "rocket.jpg": "val/657/a.jpg",
    }
    for names in (photos, styles, album, val):
        for name, place in names.items():
            shrunk(name, tmp_path / place)
    mask = Image.radial_gradient("L").point(lambda value: 255 * (value < 80))
    for folder in ("maps", "annotations"):
        (tmp_path / folder).mkdir()
    for place in map(Path, album.values()):
        np.save(tmp_path / "maps" / f"{place.stem}.npy", np.asarray(mask, dtype=np.float32))
        mask.save(tmp_path / "annotations" / f"{place.stem}.png")
    settings = {"MODEL": "squeezenet1_1", "SIZE": "64", "FORCE": "1", "STORE": str(tmp_path / "store")}
    for name, value in settings.items():
        monkeypatch.setenv(f"CNNVIZ_{name}", value)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def cnnviz_command() -> list[str]:
    """The installed command, for tests that need a process of its own: pipes, signals, imports."""
    script = Path(sys.executable).with_name("cnnviz")
    assert script.exists(), "cnnviz is not installed beside this Python: pip install '.[test]'"
    return [str(script)]
