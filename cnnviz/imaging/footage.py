"""Videos changed frame by frame, their sound kept; through the ffmpeg that the ``video`` extra brings along."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cnnviz.errors import ImageError, UsageError
from cnnviz.imaging.mp4 import comment_arguments
from cnnviz.imaging.opening import shown
from cnnviz.imaging.recipe import as_comment

FOOTAGE = frozenset({".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi"})
"""The extensions, in lower case, that mark a video to read."""

Change = Callable[[Image.Image], Image.Image]


def change_video(path: Path, target: Path, change: Change, recipe: dict[str, Any], *, quality: int = 90) -> int:
    """Write to ``target`` the video in ``path`` with every frame changed, H.264 with its first sound; the frame count.

    Only one frame is in memory at a time, and ``target`` appears when it is whole. An odd last row or column is
    dropped, since the format halves the colour's resolution; the frame rate becomes even where it was not.

    Raises UsageError if the extra is not installed, ImageError if the video cannot be read or written.
    """
    reader = require_ffmpeg()
    if not os.path.isfile(path):  # noqa: PTH113 (Path.is_file raises where a name is too long)
        raise ImageError(f"There is no file {shown(path)}.")
    scrap = target.with_name(f".cnnviz-{secrets.token_hex(6)}{target.suffix}")
    try:
        with closing(reader.read_frames(str(path), pix_fmt="rgb24")) as frames:
            facts = next(frames)
            sound = {"audio_path": str(path), "audio_codec": "copy"} if facts.get("audio_codec") else {}
            settings = {
                "fps": facts["fps"],
                "quality": quality / 10,
                "output_params": comment_arguments(as_comment(recipe)),
                **sound,
            }
            count = _write(reader, scrap, _changed(frames, facts["size"], change), settings)
        scrap.replace(target)
    except (OSError, StopIteration) as error:
        raise ImageError(f"The video {shown(path)} cannot be painted: it is damaged, or no video.") from error
    finally:
        scrap.unlink(missing_ok=True)
    return count


def require_ffmpeg() -> Any:
    """The module that reads and writes; UsageError with the remedy where it is not installed."""
    try:
        import imageio_ffmpeg
    except ImportError as error:
        raise UsageError("Videos need ffmpeg: pip install 'cnnviz[video]'.") from error
    return imageio_ffmpeg


def _changed(frames: Iterator[bytes], size: tuple[int, int], change: Change) -> Iterator[Image.Image]:
    for frame in frames:
        photo = change(Image.frombytes("RGB", size, frame))
        yield photo.convert("RGB").crop((0, 0, photo.width // 2 * 2, photo.height // 2 * 2))


def _write(writing: Any, target: Path, photos: Iterator[Image.Image], settings: dict[str, Any]) -> int:
    count, writer = 0, None
    for photo in photos:
        if writer is None:
            writer = writing.write_frames(
                str(target), photo.size, macro_block_size=2, ffmpeg_log_level="error", **settings
            )
            writer.send(None)
        writer.send(np.ascontiguousarray(photo))
        count += 1
    if writer is None:
        raise OSError("no frames")
    writer.close()
    return count
