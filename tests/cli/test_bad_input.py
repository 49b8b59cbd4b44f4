"""Mistakes: one clear sentence, the right exit code, no traceback, and nothing half-written."""

from __future__ import annotations

import os
import re
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from cnnviz.cli.reference import Command, commands
from cnnviz.network import catalogue
from cnnviz.pipeline.parsing import real, whole

NET = ("-m", "squeezenet1_1")


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds hardly any pixels."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


@pytest.fixture
def kit(tmp_path: Path, samples: Path) -> Path:
    """A folder of things that go wrong."""
    whole = (samples / "rocket.jpg").read_bytes()
    png = (samples / "chelsea.png").read_bytes()
    files = {
        "empty.png": b"",
        "text.png": b"these are words",
        "html.jpg": b"<!doctype html><title>404</title>",
        "cut.jpg": whole[:9000],
        "cut.png": png[: len(png) // 3],
        "header.png": png[:40],
        "bomb.png": png_header(60_000, 60_000),
        "flat.png": png_header(0, 10),
        "zeros.png": bytes(5000),
        "vector.svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        "page.pdf": b"%PDF-1.4\n",
        "weights.pth": b"no weights",
        "labels.txt": b"one\ntwo\n",
        "list.txt": b"\n\n",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop.png").symlink_to("loop.png")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.png")
    Image.new("RGB", (64, 64), "orange").save(tmp_path / "ok.png")
    Image.new("RGB", (9, 9), "orange").save(tmp_path / "tiny.png")
    return tmp_path


BAD_PICTURES = [
    ("missing.png", "does not exist"),
    ("empty.png", "empty"),
    ("text.png", "not an image"),
    ("html.jpg", "is a web page, not an image"),
    ("cut.jpg", "cut.jpg"),
    ("cut.png", "cut.png"),
    ("header.png", "header.png"),
    ("bomb.png", "--max-pixels"),
    ("flat.png", "flat.png"),
    ("zeros.png", "not an image"),
    ("vector.svg", "vector.svg"),
    ("page.pdf", "page.pdf"),
    ("loop.png", "loop.png"),
    pytest.param("pipe.png", "pipe.png", marks=pytest.mark.needs("posix")),
    ("weights.pth", "not an image"),
    ("x" * 300 + ".png", "xxx"),
]


@pytest.mark.parametrize(("name", "message"), BAD_PICTURES)
def test_bad_pictures(run_cnnviz, kit, name, message):
    before = sorted(path.name for path in kit.iterdir())
    result = run_cnnviz("saliency", name, *NET)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert "Traceback" not in result.stderr and "Internal error" not in result.stderr
    assert sorted(path.name for path in kit.iterdir()) == before


BAD_STDIN = [(b"", "empty"), (b"words", "not an image"), (png_header(60_000, 60_000), "--max-pixels")]


@pytest.mark.parametrize(("data", "message"), BAD_STDIN)
def test_bad_standard_input(run_cnnviz, data, message):
    result = run_cnnviz("saliency", "-", "-o", "-", *NET, stdin=data)
    assert result.exit_code == 1
    assert result.stdout_bytes == b""
    assert "<stdin>" in result.stderr
    assert message in result.stderr


BAD_ARGUMENTS = [
    ((), 2, "No image was given"),
    (("folder",), 2, "no images in the folder"),
    (("*.nothing",), 2, "Nothing matches"),
    (("--files-from", "list.txt"), 2, "is empty"),
    (("--files-from", "none.txt"), 2, "cannot be read"),
    (("--files-from", "folder"), 2, "is a folder"),
    (("-", "--files-from", "-"), 2, "cannot be both"),
    (("ok.png", "--target", "zebu"), 2, "no class called 'zebu'"),
    (("ok.png", "--target", "1000"), 2, "0 to 999"),
    (("ok.png", "--target", "cat"), 2, "fits 7 classes"),
    (("ok.png", "--view", "3d"), 2, "3d"),
    (("ok.png", "--colormap", "infernal"), 2, "inferno"),
    (("ok.png", "--percentile", "0"), 2, "percentile"),
    (("ok.png", "--blur", "-1"), 2, "blur"),
    (("ok.png", "--size", "0"), 2, "size"),
    (("ok.png", "--size", "big"), 2, "size"),
    (("ok.png", "--size", "10"), 1, "too small for squeezenet1_1"),
    (("ok.png", "--size", "90000"), 4, "--size"),
    (("ok.png", "--device", "gpu"), 2, "no device 'gpu'"),
    (("ok.png", "--device", "cuda:99"), 2, "not here"),
    (("ok.png", "--precision", "int8"), 2, "no precision 'int8'"),
    (("ok.png", "--background", "greenish"), 2, "no color 'greenish'"),
    (("ok.png", "--mean", "a,b"), 2, "The mean takes numbers"),
    (("ok.png", "--std", "1,1"), 2, "3 finite numbers"),
    (("ok.png", "--input-range", "255"), 2, "two numbers, as in 0..255"),
    (("ok.png", "--input-range", "1..0"), 2, "from a number to a larger one"),
    (("ok.png", "--activation", "tanh"), 2, "auto, softmax, sigmoid, none"),
    (("ok.png", "--logits", "boxes"), 2, "no output 'boxes' of squeezenet1_1: it gives a single tensor"),
    (("ok.png", "--labels", "none.txt"), 2, "cannot be read"),
    (("ok.png", "--labels", "labels.txt"), 2, "2 classes, but the network has 1000"),
    (("ok.png", "--nonsense"), 2, "--nonsense"),
    (("ok.png", "-o", "out.bmp"), 2, "extension '.bmp'"),
    (("ok.png", "-o", "out"), 2, "no extension"),
    (("ok.png", "-o", "{colour}.png"), 2, "no field '{colour}'"),
    (("ok.png", "-o", "{stem.png"), 2, "unmatched brace"),
    (("ok.png", "-o", "ok.png"), 2, "is an input"),
    (("ok.png", "-o", "text.png"), 2, "exists already"),
    (("ok.png", "-o", "text.png/deep/"), 1, "cannot be made"),
    (("ok.png", "tiny.png", "-o", "-"), 2, "takes one image"),
    (("ok.png", "tiny.png", "-o", "one.png"), 2, "would both be written"),
    (("ok.png", "-m", "resnet51"), 2, "resnet50"),
    (("ok.png", "-m", "vgg19"), 3, "models fetch vgg19"),
    (("ok.png", "-m", "lenet5"), 3, "no published weights"),
    (("ok.png", "-m", "resnet18", "-w", "weights.pth"), 3, "not a weights file"),
    (("ok.png", "-m", "resnet18", "-w", "none.pth"), 3, "does not exist"),
    (("ok.png", "-m", "resnet18", "-w", "V7"), 2, "IMAGENET1K_V1"),
    (("ok.png", "-m", "auto", "-w", "weights.pth"), 3, "not a weights file"),
]


@pytest.mark.parametrize(("arguments", "code", "message"), BAD_ARGUMENTS)
def test_bad_arguments(run_cnnviz, kit, arguments, code, message):
    before = sorted(path.name for path in kit.iterdir())
    net = () if "-m" in arguments else NET
    result = run_cnnviz("saliency", *arguments, *net)
    assert result.exit_code == code, result.stderr
    assert result.stdout == ""
    assert message in " ".join(result.stderr.replace("│", " ").split())
    assert "Traceback" not in result.stderr
    assert sorted(path.name for path in kit.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("layers", "-m", "resnet51"), 2, "resnet50"),
        (("info", "ok.png"), 1, "recipe"),
        (("info", "missing.png"), 1, "does not exist"),
        (("info", "folder"), 1, "folder"),
        (("models", "fetch", "vgg99"), 2, "vgg"),
        (("models", "fetch", "vgg19", "--offline"), 3, "switched off"),
        (("models", "path", "lenet5"), 3, "no published weights"),
        (("models", "path", "vgg16", "-w", "V9"), 2, "IMAGENET1K_FEATURES"),
        (("salience", "ok.png"), 2, "salience"),
        (("classify", "text.png", "-m", "squeezenet1_1"), 1, "not an image"),
    ],
)
def test_mistakes_in_other_commands(run_cnnviz, kit, arguments, code, message):
    result = run_cnnviz(*arguments)
    assert result.exit_code == code
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_truncated_weights_in_the_cache(run_cnnviz, kit, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(kit / "torch"))
    path = catalogue.entry("vgg16").default.path
    path.parent.mkdir(parents=True)
    path.write_bytes(b"PK\x03\x04 and then the line went dead")
    result = run_cnnviz("saliency", "ok.png", "-m", "vgg16")
    assert result.exit_code == 3
    assert "vgg16-397923af.pth is truncated or corrupt" in result.stderr
    assert "models fetch vgg16 --force" in result.stderr


def test_debug_shows_the_traceback(run_cnnviz, kit):
    result = run_cnnviz("saliency", "ok.png", *NET, "-t", "zebu", "--debug")
    assert result.exit_code == 2
    assert "Traceback" in result.stderr


def test_a_picture_for_which_memory_ends_is_one_of_several(run_cnnviz, samples, monkeypatch):
    from cnnviz.imaging import pixels

    whole = pixels.to_pixels

    def short(photo, *arguments, **options):
        if photo.width > photo.height * 1.4:
            raise MemoryError
        return whole(photo, *arguments, **options)

    monkeypatch.setattr(pixels, "to_pixels", short)
    large, other = samples / "chelsea.png", samples / "starry.jpg"
    result = run_cnnviz("classify", large, other, "-m", "squeezenet1_1", "--size", 64)
    assert result.exit_code == 4
    assert f"{large} is too large for this machine's memory." in result.stderr
    assert "starry.jpg" in result.stdout


def numbers(command: Command) -> list[str]:
    """The command's options that are numbers: shown as ``N``, ``X`` or a range."""
    return [p.names[0] for p in command.parameters if re.fullmatch(r"N|X|[\d.-]*\d\.\.[\d.]*|\.\.\d[\d.]*", p.value)]


COMMANDS = [command for command in commands() if numbers(command)]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_number_is_plain_digits(run_cnnviz, command):
    """Python's own int and float take 1_000, and digits of every script."""
    for option in numbers(command):
        result = run_cnnviz(*command.name.split(), f"{option}=1_000")
        said = " ".join(result.stderr.replace("│", " ").split())
        assert result.exit_code == 2, option
        assert "'1_000' is not a" in said and option in said


@pytest.mark.parametrize("word", ["nan", "inf", "1e400", "0x10", "\N{FULLWIDTH DIGIT ONE}6", "9" * 5000, "--", "1,5"])
def test_a_number_that_is_none_is_one_sentence(run_cnnviz, word):
    result = run_cnnviz("saliency", f"--percentile={word}")
    said = " ".join(result.stderr.replace("│", " ").split())
    assert result.exit_code == 2
    assert "is not a number, as 2, 0.5 or 1e-3" in said or "is not between" in said
    assert len(said) < 600


def test_numbers_spelled_in_plain_digits():
    assert [whole(text) for text in ("16", "+16", "-0", " 7 ", "007")] == [16, 16, 0, 7, 7]
    assert [real(text) for text in ("1e-3", ".5", "5.", "-2", "3E2")] == [0.001, 0.5, 5.0, -2.0, 300.0]
    assert [whole(text) for text in ("1e3", "1.0", "1_0", "", "\N{ARABIC-INDIC DIGIT ONE}", "9" * 20)] == [None] * 6
    assert [real(text) for text in ("nan", "-inf", "1e309", "1_0.5", "0x1p3", "1 2", "")] == [None] * 7


FAR_NUMBERS = [
    ("saliency ok.png --size 99999999999", 2, "between 1 and 1000000"),
    ("saliency ok.png --size 1000000", 4, "would fit"),
    ("style ok.png ok.png --size 1000000 -o x.png", 4, "would fit"),
    ("saliency ok.png --seed -1", 2, "between 0 and 4294967295"),
    ("saliency ok.png --seed 18446744073709551616", 2, "is not"),
    ("saliency ok.png --blur 1e30", 2, "between 0 and 10000"),
    ("saliency ok.png --mean nan,0,0", 2, "The mean takes numbers"),
    ("saliency ok.png --std 1_0,1,1", 2, "The standard deviation takes numbers"),
    ("saliency ok.png --target --5", 2, "no class called '--5'"),
    ("saliency ok.png --target -nothing", 2, "no class called 'nothing'"),
    ("fool ok.png --target -flamingo", 2, "what speaks against 'flamingo'"),
    ("fool ok.png --label=-flamingo", 2, "what speaks against 'flamingo'"),
    ("visualize --target -flamingo", 2, "what speaks against 'flamingo'"),
    ("saliency ok.png --shard 1/\N{FULLWIDTH DIGIT TWO}", 2, "For example: --shard 1/4"),
    ("embed-index folder --batch 9223372036854775807", 2, "between 1 and 1000000000"),
    ("dream ok.png --octaves 99999999999", 2, "between 1 and 64"),
    ("dream ok.png --zoom 99999999999 -o x.gif", 2, "between 0 and 100000"),
    ("universal folder --crops 99999999999", 2, "between 0 and 10000"),
    ("activations ok.png --layer fire2 --channel 0-99999999999", 2, "more channels"),
    ("activations ok.png --layer fire2 --channel 1_0", 2, "Channels are numbers"),
    ("texture ok.png --size 1e3", 2, "--size takes a side"),
    ("texture ok.png --size 9999999x9999999", 2, "--size takes a side"),
    ("texture ok.png --tile 1_0", 2, "Tiles are auto"),
    ("fool ok.png --epsilon nan", 2, "--epsilon takes"),
    ("fool ok.png --epsilon 1e300/1e-300", 2, "finite"),
    ("fool ok.png --epsilon 8/0", 2, "--epsilon takes"),
    ("style ok.png ok.png:nan", 2, "no weight for the style 'ok.png'"),
    ("style ok.png ok.png:-1", 2, "must not be negative"),
    ("style ok.png ok.png --sweep steps=nan", 2, "sweep takes numbers"),
    ("fast-style apply ok.png --style mosaic:1_0", 2, "names no style"),
    ("layers --size 1e3", 2, "is not a whole number"),
]


@pytest.mark.parametrize(("line", "code", "message"), FAR_NUMBERS)
def test_numbers_beyond_all_sense(run_cnnviz, kit, line, code, message):
    net = () if line.startswith("fast-style") else NET
    result = run_cnnviz(*line.split(), *net)
    assert result.exit_code == code, result.stderr
    said = " ".join(result.stderr.replace("│", " ").split())
    assert message in said
    assert "Internal error" not in said and "Traceback" not in said


@pytest.mark.parametrize("size", [1, 2, 8, 16])
@pytest.mark.parametrize("command", ["style ok.png ok.png --steps 2", "texture ok.png --steps 2"])
def test_sizes_too_small_for_the_network(run_cnnviz, kit, command, size):
    result = run_cnnviz(*command.split(), "--size", size, "-o", "x.png", *NET)
    assert result.exit_code == 1
    assert f"An image of {size}×{size} pixels is too small for squeezenet1_1" in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", ["style ok.png ok.png", "texture ok.png"])
def test_more_scales_than_fit_are_left_out(run_cnnviz, kit, command):
    line = [*command.split(), "--steps", 4, "--size", 40, "--scales", 9, "-o", "x.png", *NET]
    assert run_cnnviz(*line).exit_code == 0


@pytest.mark.parametrize("option", ["--mask", "--style-mask"])
def test_masks_that_leave_nothing_are_refused_before_any_work(run_cnnviz, kit, option):
    Image.new("L", (9, 50)).save("black.png")
    Image.new("1", (9, 50), 1).save("white.png")
    line = ["style", "ok.png", "ok.png", "--size", 32, "--steps", 1, "-o", "x.png", option]
    result = run_cnnviz(*line, "black.png", "-m", "vgg19")  # whose weights are not here
    assert result.exit_code == 2
    assert result.stderr == "error: The mask 'black.png' is black all over: it leaves nothing to paint.\n"
    assert run_cnnviz(*line, "none.png", "-m", "vgg19").exit_code == 1
    assert run_cnnviz(*line, "white.png", *NET).exit_code == 0


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["gradcam", "photo.png", "-l", ""], "-l has an empty value"),
        (["gradcam", "photo.png", "--weights="], "--weights has an empty value"),
        (["embed", "photos", "--store", " "], "--store has an empty value"),
        (["classify", "-r", ""], "An empty text names no file"),
        (["classify", "--", ""], "An empty text names no file"),
    ],
)
def test_an_empty_value_is_an_error(run_cnnviz, tmp_path, line, message):
    run = run_cnnviz(*line)
    assert run.exit_code == 2 and message in run.stderr
    assert not list(tmp_path.iterdir())
