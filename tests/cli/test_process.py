"""What only a process of its own can show: what is imported, pipes that close, and being interrupted."""

from __future__ import annotations

import json
import os
import pstats
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

HEAVY = ("torch", "torchvision", "matplotlib", "captum", "cv2", "sklearn", "numpy")

REPORT_IMPORTS = """
import sys
from cnnviz.cli.app import app
sys.argv = ["cnnviz", *{arguments!r}]
try:
    app()
except SystemExit as stop:
    code = stop.code
print([m for m in {heavy!r} if m in sys.modules], code, file=sys.__stderr__)
"""


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        (["--version"], 0),
        (["saliency", "--help"], 0),
        (["saliency", "--sighs", "3"], 2),
        (["models"], 0),
    ],
)
def test_help_version_and_usage_errors_import_nothing_heavy(arguments, code):
    script = REPORT_IMPORTS.format(arguments=arguments, heavy=HEAVY)
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=240, check=True)
    assert run.stderr.splitlines()[-1] == f"[] {code}"


def test_import_cnnviz_does_not_import_torch():
    script = "import sys, cnnviz; dir(cnnviz); cnnviz.__version__; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], timeout=240, check=True)


def test_embedded_network_imports_nothing_heavy_beside_torch(cnnviz_command, samples, tmp_path):
    script = (
        "import sys\nfrom cnnviz.cli.app import app\n"
        f"sys.argv = ['cnnviz', 'saliency', {str(samples / 'chelsea.png')!r}, '-m', 'squeezenet1_1']\n"
        "try:\n    app()\nexcept SystemExit as stop:\n    assert not stop.code\n"
        "heavy = {'torchvision', 'captum', 'cv2', 'sklearn', 'torch._dynamo', 'torch.utils.flop_counter', 'triton'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, timeout=240, check=True)


def test_module_and_script_are_the_same_program(cnnviz_command):
    by_script = subprocess.run([*cnnviz_command, "--version"], capture_output=True, text=True, check=True)
    by_module = subprocess.run(
        [sys.executable, "-m", "cnnviz", "--version"], capture_output=True, text=True, check=True
    )
    assert by_script.stdout == by_module.stdout == "cnnviz 0.1.0\n"


def test_names_outside_the_consoles_code_page_are_written(cnnviz_command, samples, tmp_path):
    """As on Windows, where a pipe's encoding is a code page of 256 characters."""
    shutil.copy(samples / "rocket.jpg", tmp_path / "日本σ.jpg")
    run = subprocess.run(
        [*cnnviz_command, "saliency", "日本σ.jpg", "-m", "squeezenet1_1", "--size", "64"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": "cp1252"},
        capture_output=True,
        check=False,
        timeout=240,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.decode("utf-8").strip() == "日本σ.saliency.png"


@pytest.mark.needs("posix")
def test_a_shell_pipeline(cnnviz_command, samples, tmp_path):
    shutil.copy(samples / "rocket.jpg", tmp_path)
    line = (
        f"cat rocket.jpg | {cnnviz_command[0]} saliency - -o - -m squeezenet1_1 > out.png && "
        f"find . -name '*.jpg' | {cnnviz_command[0]} saliency --files-from - --json -m squeezenet1_1"
    )
    run = subprocess.run(["sh", "-c", line], cwd=tmp_path, capture_output=True, text=True, timeout=240, check=True)
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads(run.stdout)["output"] == "rocket.saliency.png"


@pytest.mark.needs("posix")
def test_a_reader_that_goes_away_is_no_traceback(cnnviz_command):
    """As in ``cnnviz models | head -1``."""
    process = subprocess.Popen([*cnnviz_command, "models"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    complaint = process.stderr.read()
    assert process.wait(timeout=240) == 141
    assert complaint == b""


@pytest.mark.needs("posix")
@pytest.mark.parametrize(
    ("how", "code", "word"),
    [
        ([signal.SIGINT], 130, "Interrupted"),
        ([signal.SIGTERM], 143, "Terminated"),
        ([getattr(signal, "SIGHUP", 1)], 129, "Hung up"),
        ([signal.SIGINT, signal.SIGINT, signal.SIGTERM], 130, "Interrupted"),
    ],
)
def test_interrupting_keeps_what_was_finished(cnnviz_command, samples, tmp_path, how, code, word):
    for i in range(200):
        shutil.copy(samples / "rocket.jpg", tmp_path / f"{i:03}.jpg")
    if how[0] != signal.SIGINT:  # which nohup ignores and hands on
        signal.signal(how[0], signal.SIG_DFL)
    process = subprocess.Popen(
        [*cnnviz_command, "saliency", ".", "-m", "squeezenet1_1", "-o", "out/"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    first = process.stdout.readline().strip()
    for one in how:
        process.send_signal(one)
        time.sleep(0.01)
    rest, complaint = process.communicate(timeout=240)
    assert process.returncode == code
    assert f"{word}; what was finished is kept." in complaint
    assert "Traceback" not in complaint
    told = {first, *rest.split()}
    there = {f"out/{path.name}" for path in (tmp_path / "out").iterdir()}
    assert told <= there
    assert len(there) < 200
    assert not [name for name in there if not name.endswith(".png")]


@pytest.mark.needs("posix")
def test_a_full_disk_leaves_no_scrap(cnnviz_command, samples, tmp_path):
    """A limit on the size of files stands in for the disk."""
    line = f"ulimit -f 8; {cnnviz_command[0]} saliency {samples / 'rocket.jpg'} -m squeezenet1_1"
    run = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False)
    assert run.returncode == 1
    assert "cannot be written" in run.stderr
    assert list(tmp_path.iterdir()) == []


IMPORT_STOPPED = """
import os, signal, sys

class Stopper:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.{signal})

sys.meta_path.insert(0, Stopper())
# Work that is not done before the signal, which waits until the module is loaded.
sys.argv = "cnnviz saliency photo.jpg -m squeezenet1_1 -s 64 --method smoothgrad --samples 2000".split()
from cnnviz.cli import main
main()
"""


@pytest.mark.needs("posix")
@pytest.mark.parametrize(
    ("module", "how", "code"),
    [
        ("typer", "SIGINT", 130),
        ("cnnviz.cli.app", "SIGTERM", 143),
        ("torch", "SIGINT", 130),
        ("torch.nn.functional", "SIGTERM", 143),
        ("cnnviz.attribution.gradients", "SIGINT", 130),
    ],
)
def test_a_signal_while_modules_are_loaded_is_no_traceback(samples, tmp_path, module, how, code):
    shutil.copy(samples / "rocket.jpg", tmp_path / "photo.jpg")
    script = IMPORT_STOPPED.format(module=module, signal=how)
    run = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False
    )
    assert run.returncode == code, run.stderr
    assert run.stdout == ""
    assert run.stderr.startswith("error: ") and len(run.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]


@pytest.mark.needs("posix")
def test_signals_that_are_ignored_stay_ignored():
    """As under ``nohup``, and for the jobs a shell runs in the background."""
    script = (
        "import os, signal\nfrom cnnviz.cli.process import install_signal_handlers\n"
        "for one in (signal.SIGINT, signal.SIGHUP):\n    signal.signal(one, signal.SIG_IGN)\n"
        "install_signal_handlers()\n"
        "assert all(signal.getsignal(one) == signal.SIG_IGN for one in (signal.SIGINT, signal.SIGHUP))\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=240, check=False)
    assert (run.returncode, run.stderr) == (143, "error: Terminated.\n")


EXIT = """
import atexit, sys
from cnnviz.cli import process
atexit.register(print, "exit handlers have run")
{before}
process.exit_process(3)
"""


@pytest.mark.parametrize(
    ("before", "printed"),
    [
        ("", ""),
        ("sys.settrace(lambda *arguments: None)", "exit handlers have run"),
        ("sys.setprofile(lambda *arguments: None)", "exit handlers have run"),
        ("sys.modules['ray'] = sys", "exit handlers have run"),
    ],
    ids=["alone", "debugger", "profiler", "cluster"],
)
def test_the_process_ends_at_once_unless_something_is_left_to_do_at_exit(before, printed):
    script = EXIT.format(before=before)
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=240, check=False)
    assert (run.returncode, run.stdout.strip(), run.stderr) == (3, printed, "")


def test_a_profiler_sees_the_run(tmp_path):
    run = [sys.executable, "-m", "cProfile", "-o", "run.prof", "-m", "cnnviz", "--version"]
    subprocess.run(run, cwd=tmp_path, check=True, timeout=240)
    assert "main" in {function for _, _, function in pstats.Stats(str(tmp_path / "run.prof")).stats}


PICTURE = "saliency photo.jpg -m squeezenet1_1 -s 64"


@pytest.mark.needs("posix")
@pytest.mark.parametrize(
    ("line", "code", "printed"),
    [
        (f"{PICTURE} >&-", 0, ""),
        (f"{PICTURE} <&- >&- 2>&-", 0, ""),
        (f"{PICTURE} 2>&-", 0, "photo.saliency.png\n"),
        (f"{PICTURE} -o - >&-", 1, "error: Standard output is closed, so there is nowhere to print to.\n"),
        (f"{PICTURE} --json >&-", 1, "error: Standard output is closed, so there is nowhere to print to.\n"),
        ("models >&-", 1, "error: Standard output is closed, so there is nowhere to print to.\n"),
        ("models 2>&- >&-", 1, ""),
        ("saliency gone.jpg -m squeezenet1_1 2>&-", 1, ""),
        ("saliency - -m squeezenet1_1 <&-", 1, "error: <stdin> is empty (zero bytes).\n"),
        ("saliency --files-from - <&-", 2, "error: The list of images in '-' is empty.\n"),
        ("models > /dev/full", 1, "error: Standard output cannot be written: No space left on device.\n"),
        ("--version > /dev/full", 1, "error: Standard output cannot be written: No space left on device.\n"),
    ],
)
def test_standard_streams_that_are_closed_or_full(cnnviz_command, samples, tmp_path, line, code, printed):
    if "/dev/full" in line and not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    shutil.copy(samples / "rocket.jpg", tmp_path / "photo.jpg")
    run = subprocess.run(
        ["sh", "-c", f"{cnnviz_command[0]} {line}"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert (run.returncode, run.stdout) == (code, printed)
    made = {path.name for path in tmp_path.iterdir()} - {"photo.jpg"}
    # The picture is written whole, and nothing that was printed has gone into it.
    assert made == ({"photo.saliency.png"} if "photo.jpg" in line and "-o" not in line else set())
    for name in made:
        Image.open(tmp_path / name).load()
