"""What the paintings share: grids, noise, ramps of colour, light on relief. Pictures are float, RGB in 0..1."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

SUPERSAMPLING = 2  # marks are drawn at this many times the size, then averaged
SUBPIXEL_BITS = 4  # of OpenCV's fixed-point coordinates


def unit_grid(size: int) -> tuple[Array, Array]:
    """x and y of the pixel centres of the unit square."""
    steps = (np.arange(size) + 0.5) / size
    x, y = np.meshgrid(steps, steps)
    return x, y


def smooth_noise(rng: np.random.Generator, size: int, cells: int) -> Array:
    """Noise in about −1..1 whose blots are 1/cells of the picture."""
    coarse = rng.uniform(-1, 1, (cells + 3, cells + 3)).astype(np.float32)
    return cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)


def ramp(colours: str, at: Array) -> Array:
    """RGB in 0..1 at the given places of a row of hexadecimal colours evenly spaced over 0..1."""
    stops = np.array([list(bytes.fromhex(colour)) for colour in colours.split()]) / 255
    where = np.linspace(0, 1, len(stops))
    return np.stack([np.interp(at, where, channel) for channel in stops.T], axis=-1)


def mix(first: Array, second: Array, amount: Array) -> Array:
    """``first`` where amount is 0, ``second`` where it is 1."""
    return first + (second - first) * np.clip(amount, 0, 1)[..., None]


def smoothstep(low: float, high: float, value: Array) -> Array:
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def look_up(field: Array, points: Array) -> Array:
    """The field's values at points (…, xy) of the unit square; outside, the nearest border pixel's."""
    size = field.shape[0]
    index = np.clip((points * size).astype(int), 0, size - 1)
    return field[index[..., 1], index[..., 0]]


def to_fixed(points: Array) -> Array:
    """Pixel coordinates as OpenCV's drawing functions take them with ``shift=SUBPIXEL_BITS``."""
    return np.round(points * (1 << SUBPIXEL_BITS)).astype(np.int32)


def light_relief(height: Array, strength: float) -> Array:
    """Brightness, around 0, of a surface lit from the upper left."""
    slope_x = cv2.Sobel(height, cv2.CV_32F, 1, 0, ksize=3)
    slope_y = cv2.Sobel(height, cv2.CV_32F, 0, 1, ksize=3)
    return np.tanh(strength * (slope_x + slope_y))


def shrink(picture: Array, size: int) -> Array:
    return cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)


def to_bytes(picture: Array) -> Array:
    return np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8)


def jittered_grid(rng: np.random.Generator, spacing: float) -> Array:
    """Points over the unit square and a little beyond, one per cell, in random order."""
    ticks = np.arange(-0.02, 1.02, spacing)
    points = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)
    return rng.permutation(points + rng.uniform(0, spacing, points.shape))


def normals(path: Array) -> Array:
    """Unit vectors across a path (points, xy)."""
    along = np.gradient(path, axis=0)
    across = np.stack([-along[:, 1], along[:, 0]], axis=-1)
    return across / (np.linalg.norm(across, axis=-1, keepdims=True) + 1e-9)
