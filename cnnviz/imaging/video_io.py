"""Videos: frames encoded as MP4, and videos changed frame by frame, through the ffmpeg of the ``video`` extra."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cnnviz.errors import ImageError, UsageError
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
        from imageio_ffmpeg import write_frames
    except ImportError as error:
        raise UsageError("MP4 films need ffmpeg: pip install 'cnnviz[video]'; or write a .gif or .webp.") from error
    arrays = [np.asarray(frame if hasattr(frame, "mode") else to_pil_image(frame)) for frame in frames]
    height, width = (side - side % 2 for side in arrays[0].shape[:2])
    comment = to_comment(recipe) if recipe is not None else ""
    with tempfile.TemporaryDirectory(prefix="cnnviz-") as folder:
        path = Path(folder) / "video.mp4"
        try:
            writer = write_frames(
                str(path),
                (width, height),
                fps=1000 / duration,
                quality=quality / 10,
                macro_block_size=2,
                output_params=comment_arguments(comment),
                ffmpeg_log_level="error",
            )
            writer.send(None)
            for array in arrays:
                writer.send(np.ascontiguousarray(array[:height, :width, :3]))
            writer.close()
            return path.read_bytes()
        except OSError as error:
            raise ImageError(f"ffmpeg could not write the film: {error}.") from error


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
    scrap = target.with_name(f".cnnviz-{secrets.token_hex(6)}{target.suffix}")
    try:
        with closing(ffmpeg.read_frames(str(path), pix_fmt="rgb24")) as frames:
            metadata = next(frames)
            audio = {"audio_path": str(path), "audio_codec": "copy"} if metadata.get("audio_codec") else {}
            settings = {
                "fps": metadata["fps"],
                "quality": quality / 10,
                "output_params": comment_arguments(to_comment(recipe)),
                **audio,
            }
            count = _write_frames(ffmpeg, scrap, _transformed(frames, metadata["size"], transform), settings)
        scrap.replace(target)
    except (OSError, StopIteration) as error:
        raise ImageError(f"The video {display_name(path)} cannot be painted: it is damaged, or no video.") from error
    finally:
        scrap.unlink(missing_ok=True)
    return count


def require_ffmpeg() -> Any:
    """The module ``imageio_ffmpeg``; UsageError with the remedy where it is not installed."""
    try:
        import imageio_ffmpeg
    except ImportError as error:
        raise UsageError("Videos need ffmpeg: pip install 'cnnviz[video]'.") from error
    return imageio_ffmpeg


def _transformed(frames: Iterator[bytes], size: tuple[int, int], transform: FrameTransform) -> Iterator[Image.Image]:
    for frame in frames:
        image = transform(Image.frombytes("RGB", size, frame))
        yield image.convert("RGB").crop((0, 0, image.width // 2 * 2, image.height // 2 * 2))


def _write_frames(ffmpeg: Any, target: Path, images: Iterator[Image.Image], settings: dict[str, Any]) -> int:
    count, writer = 0, None
    for image in images:
        if writer is None:
            writer = ffmpeg.write_frames(
                str(target), image.size, macro_block_size=2, ffmpeg_log_level="error", **settings
            )
            writer.send(None)
        writer.send(np.ascontiguousarray(image))
        count += 1
    if writer is None:
        raise OSError("no frames")
    writer.close()
    return count
