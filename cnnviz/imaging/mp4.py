"""The comment of an MP4 video: how ffmpeg writes it, and how it is read without ffmpeg.

An MP4 file is boxes in boxes, each its length, its kind in four letters, and its content (ISO/IEC 14496-12). The
comment lies in moov > udta > meta > ilst > ©cmt > data, as iTunes has it and ffmpeg writes it.
"""

from __future__ import annotations

import os
import struct
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

_COMMENT = (b"moov", b"udta", b"meta", b"ilst", b"\xa9cmt", b"data")
_PREFACE = {b"meta": 4, b"data": 8}
"""Bytes before the content: meta's version and flags, data's kind and language."""
_LONGEST = 1 << 20


def comment_arguments(comment: str) -> list[str]:
    """The arguments of ffmpeg that store ``comment`` in a video, and let it play while it still loads."""
    return ["-metadata", f"comment={comment}", "-movflags", "+faststart"]


def is_mp4(source: str | Path | bytes) -> bool:
    """Whether a file, or its bytes, begins as an MP4 does."""
    if not isinstance(source, bytes) and not os.path.isfile(source):  # noqa: PTH113 (a pipe would be waited for)
        return False
    with _reading(source) as video:
        return video.read(12)[4:8] == b"ftyp"


def read_comment(source: str | Path | bytes) -> str:
    """The comment of a video, given by its path or bytes; an empty string if it has none or is damaged."""
    with _reading(source) as video:
        end = video.seek(0, os.SEEK_END)
        start = 0
        for kind in _COMMENT:
            found = _find(video, kind, start, end)
            if found is None:
                return ""
            start, end = found
        video.seek(start)
        return video.read(min(end - start, _LONGEST)).decode("utf-8", "replace")


def _find(video: BinaryIO, wanted: bytes, start: int, end: int) -> tuple[int, int] | None:
    """Start and end of the content of the first box of a kind between two offsets; None if there is none."""
    while start + 8 <= end:
        video.seek(start)
        length, kind = struct.unpack(">I4s", video.read(8))
        head = 8
        if length == 1:  # a long box: its length follows in eight bytes
            long = video.read(8)
            if len(long) < 8:
                return None
            length, head = struct.unpack(">Q", long)[0], 16
        elif length == 0:  # the last box, to the end of the file
            length = end - start
        if length < head or start + length > end:
            return None
        if kind == wanted:
            return start + head + _PREFACE.get(kind, 0), start + length
        start += length
    return None


def _reading(source: str | Path | bytes) -> BinaryIO:
    return BytesIO(source) if isinstance(source, bytes) else Path(source).open("rb")
