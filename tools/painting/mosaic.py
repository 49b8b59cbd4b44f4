"""A mosaic of sea, sun and fish: tesserae in rows along the outlines of shapes."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from painting.shared import (
    SUPERSAMPLING,
    Array,
    light_relief,
    look_up,
    mix,
    ramp,
    shrink,
    smoothstep,
    to_bytes,
    unit_grid,
)


class Patch(NamedTuple):
    """One shape of the design: where it is, its colours, and for every pixel which of them (0..1)."""

    mask: Array
    palette: str
    tone: Array
    tile: float


SUN = (0.585, 0.385)
SUN_RADIUS = 0.115
GROUT = "2b231f"

GOLDS = "b5541c e08a1e f4b72e f9dc6a fff3c0"
FLAMES = "8e1f1b c23a1e e2691f f29a35"
DUSK = "f7d98a f3a85a e2725b b5566e 5f6fa0 2f7fa3 1f9aa0 27657f 1e3f66"
HILL = "39482a 5d7a34 8ea545 c9b95c d98f4e"
SEAS = ("0d2c54 14507c 2083a3 5cc0bf", "0b3f5c 12707f 29a39a a2d8b4", "10264a 1d4586 3f7fc0 a5cfe0")
FOAM = "b9dcd8 e9f2e4 fffbee f3e3c3"
FISH = "7d1d2c c4342d ea6a34 f7b24c"
FIN = "5a1430 93264a d65a5a f0a080"
BORDER = "4a1f1a 8c3b24 c8743a"
BORDER_INNER = "efe2c2 d9b56a f7efd8"

TESSERA = 0.019


def sun_rays(x: Array, y: Array) -> Array:
    """How far each place is inside the sun's 18 flames: positive inside."""
    dx, dy = x - SUN[0], y - SUN[1]
    turn = np.arctan2(dy, dx) * 18 / (2 * np.pi) + 9 * np.hypot(dx, dy)
    tooth = np.abs(2 * (turn - np.floor(turn)) - 1)
    length = np.where(np.floor(turn) % 2 == 0, 0.16, 0.11)
    return 0.030 + length * (1 - tooth) + SUN_RADIUS - np.hypot(dx, dy)


def wave_top(x: Array, row: int) -> Array:
    """The crest of one row of waves: arcs that lean to the right."""
    turn = x * 3.0 + 0.47 * row
    lean = turn + 0.10 * np.sin(2 * np.pi * turn)
    arc = np.abs(np.sin(np.pi * lean))
    return 0.628 + 0.079 * row - 0.055 * arc


def hill_top(x: Array) -> Array:
    return 0.60 - 0.20 * np.exp(-(((x - 0.12) / 0.16) ** 2)) - 0.07 * np.exp(-(((x - 0.95) / 0.13) ** 2))


def fish_axes(x: Array, y: Array) -> tuple[Array, Array]:
    """Coordinates along the fish, −1 at the tail and 1 at the nose, and across it, bent like a leap."""
    dx, dy = (x - 0.33) / 0.155, (y - 0.715) / 0.155
    along, across = 0.93 * dx - 0.37 * dy, 0.37 * dx + 0.93 * dy
    return along, across - 0.10 * along**2 + 0.05


def mosaic_design(size: int) -> list[Patch]:
    """The shapes from back to front."""
    x, y = unit_grid(size)
    distance = np.hypot(x - SUN[0], y - SUN[1])
    swell = 0.035 * np.sin(9 * np.arctan2(y - SUN[1], x - SUN[0]) + 22 * distance)
    patches = [Patch(np.ones_like(x, bool), DUSK, (distance + swell - 0.16) / 0.62, TESSERA)]
    rays = sun_rays(x, y)
    patches.append(Patch(rays > 0, FLAMES, 0.05 + rays / 0.14, 0.78 * TESSERA))
    patches.append(Patch(distance < SUN_RADIUS, GOLDS, 1.05 - 0.85 * distance / SUN_RADIUS, 0.75 * TESSERA))
    hill = y - hill_top(x)
    patches.append(Patch(hill > 0, HILL, 0.5 - 0.5 * np.cos(52 * hill), 0.9 * TESSERA))
    for row in range(5):
        depth = y - wave_top(x, row)
        patches.append(Patch(depth > 0, FOAM, 0.5 + 0.5 * np.sin(40 * x), 0.55 * TESSERA))
        bands = 0.95 - depth / 0.085 + 0.12 * np.sin(30 * x + 4 * row)
        patches.append(Patch(depth > 0.022, SEAS[row % 3], bands, 0.85 * TESSERA))
        if row == 2:
            patches += fish(x, y)
    edge = np.minimum(np.minimum(x, 1 - x), np.minimum(y, 1 - y))
    patches.append(Patch(edge < 0.058, BORDER_INNER, 0.5 + 0.5 * np.sin(90 * (x + y)), 0.6 * TESSERA))
    patches.append(Patch(edge < 0.035, BORDER, 0.5 + 0.5 * np.sin(60 * (x - y)), 0.9 * TESSERA))
    return patches


def fish(x: Array, y: Array) -> list[Patch]:
    along, across = fish_axes(x, y)
    tail = (along < -0.72) & (along > -1.3) & (np.abs(across) < 0.08 - 0.62 * (along + 0.72))
    fin = (np.abs(along) < 0.5) & (across < 0) & (across > -0.62 + 0.5 * along**2 + 0.25 * along)
    body = np.abs(across) < 0.40 * np.sqrt(np.clip(1 - along**2, 0, 1)) * (1 + 0.25 * along)
    eye = np.hypot(along - 0.58, across + 0.08)
    return [
        Patch(tail | fin, FIN, 0.5 + 0.5 * np.sin(14 * along + 9 * across), 0.6 * TESSERA),
        Patch(body, FISH, 0.45 + 0.9 * across + 0.25 * np.sin(16 * along), 0.58 * TESSERA),
        Patch(eye < 0.13, FOAM, np.full_like(x, 0.7), 0.5 * TESSERA),
        Patch(eye < 0.055, BORDER, np.zeros_like(x), 0.5 * TESSERA),
    ]


def along_contour(rng: np.random.Generator, contour: Array, spacing: float) -> Array:
    """Points evenly spaced on a closed contour, from a random start."""
    points = contour[:, 0].astype(float)
    points = np.vstack([points, points[:1]])
    travelled = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    around = travelled[-1] + 1e-9
    count = max(1, round(around / spacing))
    at = (np.arange(count) + rng.uniform()) % count * around / count
    return np.stack([np.interp(at, travelled, axis) for axis in points.T], axis=-1)


def spread_out(points: Array, gap: float) -> Array:
    """The points, without those that lie too near to an earlier one."""
    kept: list[Array] = []
    for point in points:
        if not kept or np.hypot(*(np.array(kept) - point).T).min() > gap:
            kept.append(point)
    return np.array(kept)


def tile_centres(rng: np.random.Generator, region: Array, tile: float) -> Array:
    """Centres of tiles laid in rows that follow the region's outline, inwards from it."""
    inside = cv2.copyMakeBorder(region.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, 5)[1:-1, 1:-1]
    rows = []
    for level in np.arange(0.5 * tile, depth.max(), tile):
        contours, _ = cv2.findContours((depth > level).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        rows += [along_contour(rng, contour, 1.12 * tile) for contour in contours]
    centres = np.concatenate(rows) if rows else np.argwhere(region)[:1, ::-1].astype(float)
    centres = spread_out(centres, 0.62 * tile)
    return centres + rng.normal(0, 0.05 * tile, centres.shape)


def nearest_centre(centres: Array, size: int) -> Array:
    """For every pixel the number of the nearest centre: a Voronoi diagram."""
    seeds = np.full((size, size), 255, np.uint8)
    column, row = np.clip(np.round(centres).astype(int), 0, size - 1).T
    seeds[row, column] = 0
    _, labels = cv2.distanceTransformWithLabels(seeds, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    number = np.zeros(labels.max() + 1, int)
    number[labels[row, column]] = np.arange(len(centres))
    return number[labels]


def lay_tiles(rng: np.random.Generator, patches: list[Patch], size: int) -> tuple[Array, Array, Array]:
    """Every pixel's tile number; every tile's centre in pixels; and its colour."""
    owner = np.zeros((size, size), int)
    for index, patch in enumerate(patches):
        owner[patch.mask] = index
    tiles = np.zeros((size, size), int)
    centres, colours = [np.zeros((0, 2))], [np.zeros((0, 3))]
    for index, patch in enumerate(patches):
        region = owner == index
        if not region.any():
            continue
        points = tile_centres(rng, region, patch.tile * size)
        tiles[region] = nearest_centre(points, size)[region] + sum(map(len, centres))
        tone = look_up(patch.tone, points / size) + rng.normal(0, 0.085, len(points))
        centres.append(points)
        colours.append(ramp(patch.palette, tone) * rng.normal(1, 0.075, (len(points), 1)))
    return tiles, np.concatenate(centres), np.concatenate(colours)


def joint_distance(tiles: Array) -> Array:
    """Distance of every pixel from the joints between tiles, in pixels."""
    joint = np.ones(tiles.shape, np.uint8)
    joint[:, 1:] &= tiles[:, 1:] == tiles[:, :-1]
    joint[1:] &= tiles[1:] == tiles[:-1]
    return cv2.distanceTransform(joint, cv2.DIST_L2, 5)


def tilt_shade(rng: np.random.Generator, tiles: Array, centres: Array) -> Array:
    """No tessera lies quite level: each is a little brighter towards one side, and some catch the light."""
    size = tiles.shape[0]
    row, column = np.mgrid[:size, :size]
    offset = np.stack([column, row], axis=-1) - centres[tiles]
    slope = rng.normal(0, 0.09, centres.shape)[tiles]
    glint = (rng.uniform(size=len(centres)) < 0.06) * 0.16
    return np.clip((offset * slope).sum(axis=-1) / (TESSERA * size) * 2, -0.2, 0.2) + glint[tiles]


def mosaic(size: int) -> Array:
    rng = np.random.default_rng(547)
    fine = size * SUPERSAMPLING
    tiles, centres, colours = lay_tiles(rng, mosaic_design(fine), fine)
    depth = joint_distance(tiles)
    unit = TESSERA * fine
    height = cv2.GaussianBlur(smoothstep(0.05 * unit, 0.26 * unit, depth).astype(np.float32), (0, 0), 0.03 * unit)
    grain = cv2.GaussianBlur(rng.normal(0, 1, tiles.shape).astype(np.float32), (0, 0), 1.2)
    surface = 1 + tilt_shade(rng, tiles, centres) + 0.05 * grain + 0.24 * light_relief(height, 0.02 * unit)
    stone = colours[tiles] * surface[..., None]
    grout = ramp(GROUT, np.zeros(1)) * (1 + 0.35 * grain[..., None])
    return to_bytes(shrink(mix(grout, stone, smoothstep(0.05 * unit, 0.10 * unit, depth)), size))
