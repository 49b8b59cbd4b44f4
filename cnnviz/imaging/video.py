"""Frames into the bytes of an MP4 file, through the ffmpeg that the ``video`` extra brings along."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnnviz.errors import ImageError, UsageError
from cnnviz.imaging.mp4 import comment_arguments
from cnnviz.imaging.pixels import to_photo
from cnnviz.imaging.recipe import as_comment

VIDEO = ".mp4"


def encode_video(
    frames: Sequence[Any], recipe: dict[str, Any] | None = None, *, duration: int = 80, quality: int = 95
) -> bytes:
    """An H.264 film that every player and browser shows.

    Args:
        frames: photos, or pixels as ``to_photo`` takes them, all of one size; an odd last row or column is dropped,
            since the format halves the colour's resolution.
        recipe: what made the film, kept as its comment.
        duration: how long each frame is seen, in milliseconds.
        quality: 1 to 100.

    Raises UsageError if the extra is not installed, ImageError if ffmpeg fails.
    """
    try:
        from imageio_ffmpeg import write_frames
    except ImportError as error:
        raise UsageError("MP4 films need ffmpeg: pip install 'cnnviz[video]'; or write a .gif or .webp.") from error
    arrays = [np.asarray(frame if hasattr(frame, "mode") else to_photo(frame)) for frame in frames]
    height, width = (side - side % 2 for side in arrays[0].shape[:2])
    comment = as_comment(recipe) if recipe is not None else ""
    with tempfile.TemporaryDirectory(prefix="cnnviz-") as folder:
        place = Path(folder) / "film.mp4"
        try:
            writer = write_frames(
                str(place),
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
            return place.read_bytes()
        except OSError as error:
            raise ImageError(f"ffmpeg could not write the film: {error}.") from error
