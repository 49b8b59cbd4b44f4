"""Names, files and places that are not what they should be: one sentence, found before any work, nothing hangs."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from cnnviz.cli.options import ImageOptions, OutputOptions
from cnnviz.errors import UsageError
from cnnviz.pipeline import outputs
from cnnviz.pipeline.inputs import expand
from cnnviz.runtime import paths

NET = ("-m", "squeezenet1_1", "-s", "64")
LONG = "x" * 300
MISSING = ("-m", "vgg19")  # whose weights are not here: what is told came before any work

posix = pytest.mark.skipif(os.name == "nt", reason="names of bytes, pipes and devices are POSIX's")


@pytest.fixture
def photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (64, 64), "orange").save("ok.png")
    return Path("ok.png")


def there() -> list[str]:
    return sorted(path.name for path in Path().iterdir())


def fails(run_cnnviz, code, message, *line):
    before = there()
    result = run_cnnviz(*line)
    assert result.exit_code == code, result.stderr
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1 and "Internal error" not in result.stderr
    assert result.stdout == ""
    assert there() == before


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        (f"saliency {LONG}.png", 1, "ile name too long"),
        (f"saliency {LONG}/a.png", 1, "ile name too long"),
        (f"saliency ok.png -o {LONG}.png", 2, "too long for a file"),
        (f"saliency ok.png -o {LONG}/", 1, "ile name too long"),
        (f"saliency ok.png --check -o {'x' * 248}.png", 2, "too long for a file"),
        (f"dream ok.png -o {'x' * 249}.png", 2, "too long for a file"),
        (f"saliency --files-from {LONG}", 2, "ile name too long"),
        (f"saliency ok.png --labels {LONG}", 2, "ile name too long"),
        (f"neighbors ok.png {LONG}", 2, "there is no"),
        (f"embed {LONG}", 2, "too long for a file"),
        (f"style ok.png {LONG}.png", 1, "ile name too long"),
        (f"universal ok.png --apply {LONG}.safetensors", 3, "does not exist"),
        (f"fast-style apply ok.png --style-model {LONG}.safetensors", 3, "ile name too long"),
        (f"info {LONG}.png", 1, "ile name too long"),
    ],
)
def test_names_too_long_for_the_file_system(run_cnnviz, photo, line, code, message):
    result = run_cnnviz(*line.split(), *(() if line.startswith(("info", "fast-style")) else ("-m", "squeezenet1_1")))
    assert result.exit_code == code, result.stderr
    assert message in result.stderr
    assert "Internal error" not in result.stderr and "Traceback" not in result.stderr
    assert there() == ["ok.png"]


def test_the_longest_names_there_are_can_be_written(run_cnnviz, photo):
    """What is written first, under a name of its own, must fit too."""
    name = "y" * 251 + ".png"
    assert run_cnnviz("saliency", "ok.png", *NET, "-o", name).exit_code == 0
    assert there() == ["ok.png", name]


def test_a_class_with_a_long_name_makes_a_name_that_fits(run_cnnviz, photo):
    Path("labels.txt").write_text("\n".join(f"{i} " + "ä" * 400 for i in range(1000)), encoding="utf-8")
    result = run_cnnviz("saliency", "ok.png", *NET, "--labels", "labels.txt", "-o", "{stem}-{target}.png", "-t", "7")
    assert result.exit_code == 0, result.stderr
    (made,) = (path for path in there() if path.startswith("ok-7"))
    assert made.endswith("ä.png") and 253 <= len(os.fsencode(made)) <= 255


@posix
@pytest.mark.parametrize("place", ["pipe", "/dev/zero", "/dev/urandom", "/dev/null", "folder"])
def test_pipes_devices_and_folders_where_a_file_is_due(run_cnnviz, photo, place):
    os.mkfifo("pipe")
    Path("folder").mkdir()
    kind = "folder" if place == "folder" else "pipe or device"
    fails(run_cnnviz, 2, f"is a {kind}", "saliency", "--files-from", place, *MISSING)
    fails(run_cnnviz, 2, f"is a {kind}", "saliency", "ok.png", *NET, "--labels", place)
    fails(run_cnnviz, 1, kind, "info", place)
    fails(run_cnnviz, 3, "not a file", "saliency", "ok.png", *NET, "-w", f"{place}")
    fails(run_cnnviz, 1, kind, "style", "ok.png", place, *MISSING)
    fails(run_cnnviz, 1, kind, "style", "ok.png", "ok.png", "--mask", place, *MISSING)
    fails(run_cnnviz, 3, "not a file", "fast-style", "apply", "ok.png", "--style-model", place)
    if place != "folder":
        fails(run_cnnviz, 1, kind, "saliency", place, *NET, "-o", "x.png")


@posix
def test_pipes_that_the_shell_opens_are_read(cnnviz_command, photo):
    line = (
        f"{cnnviz_command[0]} classify <(cat ok.png) --files-from <(echo ok.png) --labels <(seq 1 1000) "
        "-m squeezenet1_1 -k 1 --json"
    )
    run = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=120, check=True)
    first, second = (json.loads(told) for told in run.stdout.splitlines())
    assert first["predictions"] == second["predictions"]
    assert second["input"] == "ok.png"


@posix
@pytest.mark.parametrize("line", ["saliency - -m squeezenet1_1", "saliency --files-from - -m squeezenet1_1"])
def test_what_never_ends_is_not_read_to_its_end(run_cnnviz, photo, monkeypatch, line):
    monkeypatch.setattr("cnnviz.pipeline.inputs._LARGEST_LIST", 1 << 20)
    monkeypatch.setattr("cnnviz.pipeline.inputs._LARGEST_IMAGE", 1 << 20)
    result = run_cnnviz(*line.split(), stdin=b"x" * (2 << 20))
    assert result.exit_code == (2 if "list" in result.stderr else 1)
    assert "is larger than 1 MiB" in result.stderr and len(result.stderr.splitlines()) == 1
    with Path("/dev/zero").open("rb") as endless, pytest.raises(paths.UnreadableFileError):
        paths.read_stream(endless, 1 << 20)


NAMES = ["a.png", "b c.png", "größe.png"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\0"])
def test_lists_of_every_encoding_name_what_they_list(tmp_path, encoding, end):
    """Every other byte of UTF-16 is a zero, and was taken for the end of a name."""
    text = end.join(NAMES) + end
    mark = "\ufeff".encode(encoding) if encoding in ("utf-16-le", "utf-16-be") and end == "\0" else b""
    place = tmp_path / "list.txt"
    place.write_bytes(mark + text.encode(encoding))
    found = expand(ImageOptions(files_from=str(place)))
    assert [str(source.path) for source in found] == NAMES


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfea\0.\0p", "begins as text in utf-16"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0.\0", "control characters"),
        (b"a" * 40_000, "40,000 bytes"),
        (b"\xef\xbb\xbf\r\n \n", "is empty"),
    ],
)
def test_what_is_no_list_is_refused(tmp_path, content, message):
    place = tmp_path / "list.txt"
    place.write_bytes(content)
    with pytest.raises(UsageError, match=message):
        expand(ImageOptions(files_from=str(place)))


def test_labels_in_utf_16(run_cnnviz, photo):
    Path("labels.txt").write_text("\r\n".join(f"größe {i}" for i in range(1000)), encoding="utf-16")
    line = ("classify", "ok.png", "-m", "squeezenet1_1", "--labels", "labels.txt", "-k", "1", "--json")
    told = json.loads(run_cnnviz(*line).stdout)["predictions"][0]
    assert told["label"] == f"größe {told['index']}"


@pytest.mark.slow
@posix
def test_names_that_are_no_text_come_out_as_they_are(cnnviz_command, photo):
    name = b"caf\xe9.png"
    Path(os.fsdecode(name)).write_bytes(photo.read_bytes())
    line = [*cnnviz_command, "saliency", name, *NET]
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    plain = subprocess.run([*line, "-f"], env=environment, capture_output=True, timeout=120, check=True)
    assert plain.stdout == b"caf\xe9.saliency.png\n"
    told = subprocess.run([*line, "-f", "--json"], env=environment, capture_output=True, timeout=120, check=True)
    assert os.fsencode(json.loads(told.stdout.decode("utf-8"))["output"]) == b"caf\xe9.saliency.png"
    lost = subprocess.run(
        [*line[:2], b"\xff.png", *NET], env=environment, capture_output=True, timeout=120, check=False
    )
    assert lost.returncode == 1 and b"does not exist" in lost.stderr and len(lost.stderr.splitlines()) == 1
    recipe = subprocess.run([*line[:1], "info", plain.stdout.strip()], capture_output=True, timeout=120, check=True)
    assert json.loads(recipe.stdout)["inputs"] == [os.fsdecode(name)]


@posix
@pytest.mark.parametrize("line", ["embed odd --method pca", "embed odd --method pca --classes folder", "report odd"])
def test_pages_about_pictures_whose_names_are_no_text(run_cnnviz, photo, line):
    folder = Path("odd") / os.fsdecode(b"f\xff")
    folder.mkdir(parents=True)
    for name in (b"caf\xe9.png", b"line\nfeed.png", b"\xff.png"):
        Image.new("RGB", (40, 40), "red").save(folder / os.fsdecode(name))
    more = ("--methods", "gradcam", "--layer", "fire2") if line.startswith("report") else ()
    result = run_cnnviz(*line.split(), "-r", *more, *NET, "-o", f"page{'.html' if more else '.png'}")
    assert result.exit_code == 0, result.stderr
    Path("page.html").read_bytes().decode("utf-8")


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("ok.png/deep/x.png", "is not a folder"),
        ("taken.png/", "is not a folder"),
        ("locked/x.png", "permission denied"),
        ("locked/new/", "permission denied"),
    ],
)
@pytest.mark.parametrize("command", ["saliency ok.png", "dream ok.png", "embed ok.png", "visualize --class 3"])
def test_places_that_take_no_file_are_found_before_the_work(run_cnnviz, photo, monkeypatch, command, output, message):
    Path("locked").mkdir()
    Path("taken.png").write_bytes(b"")
    allowed = Path.open

    def guarded(self, *arguments, **more):  # tests may run as root, whom no permission stops
        if self.parent.name == "locked":
            raise PermissionError(13, "Permission denied", str(self))
        return allowed(self, *arguments, **more)

    monkeypatch.setattr(Path, "open", guarded)
    fails(run_cnnviz, 1, message, *command.split(), *MISSING, "-o", output)


def test_what_is_in_the_way_is_found_before_the_work(run_cnnviz, photo):
    Path("folder.png").mkdir()
    Path("folder.saliency.png").mkdir()
    Path("folder").mkdir()
    Image.new("RGB", (9, 9)).save("folder/folder.png")
    fails(run_cnnviz, 1, "is a folder", "saliency", "folder/folder.png", *MISSING, "--force")


def test_folders_that_may_not_be_looked_into(run_cnnviz, photo, monkeypatch):
    Path("deep/locked").mkdir(parents=True)
    Image.new("RGB", (64, 64)).save("deep/a.png")
    real = os.scandir

    def guarded(path):
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", guarded)
    fails(run_cnnviz, 2, "cannot be looked into: Permission denied", "saliency", "deep/locked", *MISSING)
    result = run_cnnviz("saliency", "deep", "-r", *NET)
    assert result.exit_code == 0
    assert "locked' cannot be looked into" in result.stderr


def test_probing_leaves_nothing(photo):
    sources = expand(ImageOptions(images=["ok.png"]))
    outputs.plan(sources, OutputOptions(output="new/deep/"), "saliency", "net")
    assert there() == ["ok.png"]
