"""Videos: frames encoded as MP4, and videos changed frame by frame, through the ffmpeg of the ``video`` extra."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cnnviz.errors import ImageError, UsageError
from cnnviz.imaging.atomic_file import atomic_path
from cnnviz.imaging.image_reading import display_name
from cnnviz.imaging.mp4 import comment_arguments
from cnnviz.imaging.pixels import to_pil_image
from cnnviz.imaging.recipe import to_comment

MP4 = ".mp4"
"""The extension of videos that are written."""

VIDEO_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi"})
"""The extensions, in lower case, of videos that are read."""

FrameTransform = Callable[[Image.Image], Image.Image]


def encode_video(
    frames: Sequence[Any], recipe: dict[str, Any] | None = None, *, duration: int = 80, quality: int = 95
) -> bytes:
    """Frames as the bytes of an H.264 MP4 video.

    Args:
        frames: PIL images, or pixels as ``to_pil_image`` takes them, all of one size. An odd last row or column is
            dropped, since H.264 halves the resolution of color.
        recipe: Stored as the video's comment; None stores none.
        duration: Milliseconds per frame.
        quality: 1 to 100.

    Raises UsageError if the ``video`` extra is not installed, ImageError if ffmpeg fails.
    """
    try:
        import imageio_ffmpeg
    except ImportError as error:
        raise UsageError("MP4 videos need ffmpeg: pip install 'cnnviz[video]'; or write a .gif or .webp.") from error
    settings = _settings(1000 / duration, quality, recipe)
    arrays = (np.asarray(frame if hasattr(frame, "mode") else to_pil_image(frame))[..., :3] for frame in frames)
    with tempfile.TemporaryDirectory(prefix="cnnviz-") as folder:
        path = Path(folder) / "video.mp4"
        try:
            _write_frames(imageio_ffmpeg, path, arrays, settings)
            return path.read_bytes()
        except OSError as error:
            raise ImageError(f"ffmpeg could not write the video: {error}.") from error


def transform_video(
    path: Path, target: Path, transform: FrameTransform, recipe: dict[str, Any], *, quality: int = 90
) -> int:
    """Write the video ``path`` to ``target`` with every frame transformed; returns the number of frames.

    The output is H.264 with the input's first audio stream, its recipe as the comment. One frame is in memory at a
    time, and ``target`` appears when it is complete. An odd last row or column is dropped, since H.264 halves the
    resolution of color; a variable frame rate becomes constant.

    Args:
        path: The video to read.
        target: Where to write, ``.mp4``.
        transform: From a frame (``RGB``) to a PIL image; all of one size.
        recipe: Stored as the video's comment.
        quality: 1 to 100.

    Raises UsageError if the ``video`` extra is not installed, ImageError if the video cannot be read or written.
    """
    ffmpeg = require_ffmpeg()
    if not os.path.isfile(path):  # noqa: PTH113 (Path.is_file raises where a name is too long)
        raise ImageError(f"There is no file {display_name(path)}.")
    try:
        with (
            atomic_path(target, suffix=target.suffix) as temporary,
            closing(ffmpeg.read_frames(str(path), pix_fmt="rgb24")) as frames,
        ):
            metadata = next(frames)
            audio = {"audio_path": str(path), "audio_codec": "copy"} if metadata.get("audio_codec") else {}
            settings = _settings(metadata["fps"], quality, recipe) | audio
            images = (transform(Image.frombytes("RGB", metadata["size"], frame)) for frame in frames)
            return _write_frames(ffmpeg, temporary, (np.asarray(image.convert("RGB")) for image in images), settings)
    except (OSError, StopIteration) as error:
        raise ImageError(f"The video {display_name(path)} cannot be painted: it is damaged, or no video.") from error


def require_ffmpeg() -> Any:
    """The module ``imageio_ffmpeg``; UsageError with the remedy where it is not installed."""
    try:
        import imageio_ffmpeg
    except ImportError as error:
        raise UsageError("Videos need ffmpeg: pip install 'cnnviz[video]'.") from error
    return imageio_ffmpeg


def _settings(fps: float, quality: int, recipe: dict[str, Any] | None) -> dict[str, Any]:
    comment = to_comment(recipe) if recipe is not None else ""
    return {"fps": fps, "quality": quality / 10, "output_params": comment_arguments(comment)}


def _write_frames(ffmpeg: Any, target: Path, frames: Iterator[NDArray[np.uint8]], settings: dict[str, Any]) -> int:
    """Write frames (H, W, 3), cut to even sides, and return their number; OSError if there are none."""
    count, writer = 0, None
    for frame in frames:
        height, width = frame.shape[0] // 2 * 2, frame.shape[1] // 2 * 2
        if writer is None:
            writer = ffmpeg.write_frames(
                str(target), (width, height), macro_block_size=2, ffmpeg_log_level="error", **settings
            )
            writer.send(None)
        writer.send(np.ascontiguousarray(frame[:height, :width]))
        count += 1
    if writer is None:
        raise OSError("no frames")
    writer.close()
    return count
