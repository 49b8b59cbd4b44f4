"""Files are written whole or not at all, never over another unasked, and always carry their recipe."""

from __future__ import annotations

import json
import os
import stat
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnnviz import __version__
from cnnviz.errors import ImageError, UsageError
from cnnviz.imaging.encoding import FORMATS, encode
from cnnviz.imaging.image_io import read_pil_image, write_image
from cnnviz.imaging.recipe import read_recipe

RECIPE = {
    "command": "saliency",
    "seed": 7,
    "model": "réseau—σ×",
    "options": {"size": [224, 224], "crop": None},
}


@pytest.fixture
def photo() -> Image.Image:
    y, x = np.mgrid[0:48, 0:64]
    return Image.fromarray(np.stack([x * 4, y * 5, 255 - x * 2 - y], axis=-1).astype(np.uint8))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("suffix", [*(name for name in FORMATS if name != ".pdf"), ".PNG", ".Jpg"])
def test_every_format_keeps_picture_and_recipe(tmp_path: Path, photo: Image.Image, suffix: str):
    path = write_image(photo, tmp_path / f"out{suffix}", RECIPE)
    assert read_recipe(path) == RECIPE
    assert read_recipe(path.read_bytes()) == RECIPE
    error = np.abs(np.asarray(read_pil_image(path)).astype(int) - np.asarray(photo))
    assert error.mean() <= (0 if suffix.lower() in {".png", ".tif", ".tiff"} else 8)
    assert names(tmp_path) == [path.name]
    with Image.open(path) as picture:
        assert picture.format == FORMATS[suffix.lower()]


@pytest.mark.parametrize("format", ["png", "jpg", "webp", "tiff", "gif"])
def test_the_same_input_gives_the_same_bytes(photo: Image.Image, format: str):
    shuffled = dict(reversed(RECIPE.items()))
    assert encode(photo, format, RECIPE) == encode(photo.copy(), format, shuffled)
    assert json.dumps(RECIPE["seed"]).encode() in encode(photo, format, RECIPE)
    with pytest.raises(ImageError, match="carries no cnnviz recipe"):
        read_recipe(encode(photo, format))


def test_the_program_is_named(photo: Image.Image):
    with Image.open(BytesIO(encode(photo, "png", RECIPE))) as picture:
        assert picture.info["Software"] == f"cnnviz {__version__}"
    with Image.open(BytesIO(encode(photo, "jpg", RECIPE))) as picture:
        assert picture.getexif()[0x0131] == f"cnnviz {__version__}"


def test_what_others_wrote_is_no_recipe(tmp_path: Path, photo: Image.Image):
    exif = Image.Exif()
    exif[0x010E] = '{"taken": "at the sea"}'
    photo.save(tmp_path / "sea.jpg", exif=exif)
    with pytest.raises(ImageError, match=r"'.*sea\.jpg' carries no cnnviz recipe"):
        read_recipe(tmp_path / "sea.jpg")
    with pytest.raises(ImageError, match="does not exist"):
        read_recipe(tmp_path / "none.png")


def test_recipes_json_cannot_say_are_refused(photo: Image.Image):
    for recipe in ({"path": Path()}, {"loss": float("nan")}):
        with pytest.raises(UsageError, match="JSON"):
            encode(photo, "png", recipe)
    with pytest.raises(UsageError, match="write a PNG"):
        encode(photo, "jpg", {"list": ["x" * 70_000]})
    assert read_recipe(encode(photo, "png", {"list": "x" * 70_000})) == {"list": "x" * 70_000}


def test_no_metadata_of_the_photo_slips_through(photo: Image.Image):
    photo.info.update(exif=b"Exif\0\0secret", icc_profile=b"secret", comment=b"secret", xmp=b"secret")
    for format in ("png", "jpg", "webp", "tiff", "gif"):
        assert b"secret" not in encode(photo, format)


def test_pixels_and_transparency(tmp_path: Path, photo: Image.Image):
    path = write_image(np.full((3, 4, 5), 0.5, np.float32), tmp_path / "grey.png")
    assert read_pil_image(path).getpixel((0, 0)) == (128, 128, 128)
    clear = photo.convert("RGBA")
    for format, mode in (("png", "RGBA"), ("jpg", "RGB")):
        with Image.open(BytesIO(encode(clear, format))) as picture:
            assert picture.mode == mode


def test_jpeg_keeps_fine_colour():
    red = np.zeros((16, 16, 3), np.uint8)
    red[:, ::2, 0] = 255
    error = np.abs(np.asarray(read_pil_image(encode(Image.fromarray(red), "jpg"))).astype(int) - red)
    assert error.mean() < 4


@pytest.mark.parametrize("format", ["gif", "webp"])
def test_frames_move(tmp_path: Path, format: str):
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "lime", "blue")]
    path = write_image(frames, tmp_path / f"move.{format}", RECIPE, duration=120)
    with Image.open(path) as moving:
        assert moving.n_frames == 3
        moving.load()
        assert moving.info["duration"] == 120
    assert read_recipe(path) == RECIPE
    with pytest.raises(UsageError, match="one image"):
        write_image(frames, tmp_path / "move.png")
    with pytest.raises(UsageError, match="at least one frame"):
        write_image([], tmp_path / "none.gif")


def test_nothing_is_overwritten_unasked(tmp_path: Path, photo: Image.Image):
    path = tmp_path / "out.png"
    path.write_bytes(b"precious")
    with pytest.raises(ImageError, match="exists already"):
        write_image(photo, path)
    assert path.read_bytes() == b"precious"
    write_image(photo, path, force=True)
    assert read_pil_image(path).size == photo.size
    link = tmp_path / "link.png"
    link.symlink_to(tmp_path / "gone.png")
    with pytest.raises(ImageError, match="exists already"):
        write_image(photo, link)


def test_force_replaces_a_link_not_what_it_points_to(tmp_path: Path, photo: Image.Image):
    (tmp_path / "original.png").write_bytes(b"precious")
    (tmp_path / "link.png").symlink_to(tmp_path / "original.png")
    write_image(photo, tmp_path / "link.png", force=True)
    assert (tmp_path / "original.png").read_bytes() == b"precious"
    assert not (tmp_path / "link.png").is_symlink()


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_appears_meanwhile_wins(
    tmp_path: Path, photo: Image.Image, monkeypatch: pytest.MonkeyPatch, links: bool
):
    path = tmp_path / "out.png"

    def late(source, target):
        path.write_bytes(b"somebody else's")
        raise FileExistsError(17, "File exists") if links else PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", late)
    with pytest.raises(ImageError, match="exists already"):
        write_image(photo, path)
    assert path.read_bytes() == b"somebody else's"
    assert names(tmp_path) == ["out.png"]


def test_file_systems_without_hard_links_work_too(tmp_path: Path, photo: Image.Image, monkeypatch: pytest.MonkeyPatch):
    def refuse(*args):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", refuse)
    assert read_pil_image(write_image(photo, tmp_path / "out.png")).size == photo.size
    assert names(tmp_path) == ["out.png"]

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(ImageError, match="not supported"):
        write_image(photo, tmp_path / "other.png")
    assert names(tmp_path) == ["out.png"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(), MemoryError()])
@pytest.mark.parametrize("force", [True, False])
def test_a_failed_writing_leaves_no_scrap(
    tmp_path: Path, photo: Image.Image, monkeypatch: pytest.MonkeyPatch, error: BaseException, force: bool
):
    def fail(*args):
        raise error

    monkeypatch.setattr(Path, "replace", fail)
    monkeypatch.setattr(os, "link", fail)
    with pytest.raises(ImageError if isinstance(error, OSError) else type(error)) as caught:
        write_image(photo, tmp_path / "out.png", force=force)
    if isinstance(error, OSError):
        assert "cannot be written: no space left" in str(caught.value)
    assert names(tmp_path) == []


@pytest.mark.skipif(os.name == "nt", reason="permissions are POSIX's")
def test_permissions_are_those_of_any_new_file(tmp_path: Path, photo: Image.Image):
    old = os.umask(0o027)
    try:
        path = write_image(photo, tmp_path / "out.png")
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_targets_that_cannot_be(tmp_path: Path, photo: Image.Image):
    (tmp_path / "folder.png").mkdir()
    for path, message in (
        (tmp_path / "folder.png", "is a folder"),
        (tmp_path / "no" / "out.png", "there is no folder .*make it first"),
        (tmp_path / ("long" * 100 + ".png"), "cannot be written: file name too long"),
        (f"{tmp_path}/a\0b.png", "cannot be the name"),
    ):
        for force in (False, True):
            with pytest.raises(ImageError, match=message):
                write_image(photo, path, force=force)
    assert names(tmp_path) == ["folder.png"]


def test_a_device_is_never_replaced(photo: Image.Image):
    with pytest.raises(ImageError, match="device"):
        write_image(photo, os.devnull, force=True, format="png")


@pytest.mark.parametrize("name", ["out.bmp", "out", "out.", "out.svg", ".png"])
def test_unknown_extensions_list_what_there_is(tmp_path: Path, photo: Image.Image, name: str):
    with pytest.raises(UsageError, match=r"\.png, \.jpg, \.webp, \.tif, \.gif"):
        write_image(photo, tmp_path / name)
    assert names(tmp_path) == []
    assert read_pil_image(write_image(photo, tmp_path / name, format="png")).size == photo.size


def test_senseless_settings(photo: Image.Image):
    for quality in (0, 101):
        with pytest.raises(UsageError, match="quality"):
            encode(photo, "jpg", quality=quality)
    with pytest.raises(UsageError, match="cannot be written"):
        encode(photo, "bmp")
    with pytest.raises(ImageError, match="70000 × 1 pixels cannot be written as JPEG"):
        encode(Image.new("L", (70_000, 1)), "jpg")
