"""Paint the three style pictures of ``sample_images/``: starry.jpg, mosaic.jpg and ink.jpg.

    python tools/paint_styles.py [-o FOLDER] [--size PIXELS]

Each picture is a small program: a composition in the unit square (x to the right, y down), then the marks of
one craft laid over it. ``starry`` lays curved brush strokes along a flow and lights the relief of the paint;
``mosaic`` sets tesserae in rows along the outlines of shapes; ``ink`` hatches with a pen, in more directions
where it is darker. The random numbers are seeded: the same size gives the same picture.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[Any]

SUPERSAMPLING = 2  # marks are drawn at this many times the size, then averaged
SUBPIXEL_BITS = 4  # of OpenCV's fixed-point coordinates


# ---- shared tools ------------------------------------------------------------------------------------------


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


# ---- starry: brush strokes along a flow --------------------------------------------------------------------


class Swirl(NamedTuple):
    """A whirl of air, or with ``glow`` a star and the rings of light around it."""

    x: float
    y: float
    radius: float
    spin: float = 1.0
    glow: float = 0.0


WHIRLS = (Swirl(0.46, 0.37, 0.15), Swirl(0.68, 0.46, 0.10, -1), Swirl(0.30, 0.56, 0.07))
MOON = Swirl(0.84, 0.17, 0.105, glow=1.5)
STARS = (
    Swirl(0.33, 0.13, 0.074, glow=1.1),
    Swirl(0.54, 0.10, 0.054, -1, glow=1.0),
    Swirl(0.655, 0.23, 0.044, glow=0.9),
    Swirl(0.25, 0.34, 0.052, -1, glow=1.0),
    Swirl(0.90, 0.42, 0.066, glow=1.1),
    Swirl(0.07, 0.11, 0.058, glow=1.0),
    Swirl(0.82, 0.60, 0.040, -1, glow=0.9),
    Swirl(0.04, 0.47, 0.044, glow=0.9),
    Swirl(0.50, 0.61, 0.036, glow=0.9),
)

NIGHT = "080e2e 10205a 183a90 2459b4 3a86c8 74b2d6 b4d6d4 eef0d4"
GLOW = "2f6f9f 8dbf9a e9dc74 f8c62c fff0a8"
FAR_HILLS = "0e1c4c 1c3f86 2f6aa6 5f9aac"
NEAR_HILLS = "071a26 0f3a3a 2b6146 7f9a48"
CYPRESS = "060b14 0d1f20 1f4228 5d7a34 a89a48"
INWARD = 0.22  # how fast the whirls draw in: radius falls by this factor per radian


class Layer(NamedTuple):
    """One pass of the brush."""

    spacing: float
    width: float
    length: float
    colour_spread: float


BRUSHES = (
    Layer(spacing=0.0150, width=0.026, length=0.16, colour_spread=0.05),
    Layer(spacing=0.0100, width=0.0135, length=0.115, colour_spread=0.075),
    Layer(spacing=0.0105, width=0.0075, length=0.075, colour_spread=0.10),
)


def far_ridge(x: Array) -> Array:
    return 0.745 - 0.055 * np.sin(5.2 * x + 0.4) - 0.022 * np.sin(13 * x + 1.0)


def near_ridge(x: Array) -> Array:
    return 0.885 - 0.045 * np.sin(4.1 * x + 3.3) + 0.012 * np.sin(17 * x)


def cypress_width(y: Array) -> Array:
    """Half the width of the tree at each height: a flame from y = 0.2 down."""
    t = np.clip((y - 0.20) / 0.80, 0, 1)
    return 0.115 * t**0.85 * (1 + 0.10 * np.sin(17 * y + 1.5) + 0.04 * np.sin(47 * y)) * (y > 0.2)


def cypress_depth(x: Array, y: Array) -> Array:
    """1 on the tree's axis, 0 at its edge, negative outside."""
    axis = 0.155 + 0.016 * np.sin(9 * y)
    return 1 - np.abs(x - axis) / np.maximum(cypress_width(y), 1e-6)


def starry_flow(x: Array, y: Array) -> Array:
    """The direction of the brush at every pixel, (…, xy) of length 1."""
    angle = 0.42 * np.sin(7.5 * x + 2.0 * y) + 0.30 * np.sin(4.0 * x - 9.0 * y + 1.0)
    flow_x, flow_y = np.cos(angle), np.sin(angle)
    for swirl in (*WHIRLS, MOON, *STARS):
        dx, dy = x - swirl.x, y - swirl.y
        distance = np.hypot(dx, dy) + 1e-6
        reach = 1.25 if swirl.glow else 1.15
        pull = 6.0 * np.exp(-((distance / (reach * swirl.radius)) ** 2)) / distance
        inward = 0.0 if swirl.glow else INWARD
        flow_x += pull * (-swirl.spin * dy - inward * dx)
        flow_y += pull * (swirl.spin * dx - inward * dy)
    land = y > far_ridge(x)
    slope = np.where(y > near_ridge(x), np.gradient(near_ridge(x[0]), x[0]), np.gradient(far_ridge(x[0]), x[0]))
    flow_x, flow_y = (
        np.where(land, 1.0, flow_x),
        np.where(land, slope + 0.25 * np.sin(22 * x + 15 * y), flow_y),
    )
    tree = cypress_depth(x, y) > 0
    sway = 0.45 * np.sin(24 * y + 9 * x)
    flow_x, flow_y = np.where(tree, sway, flow_x), np.where(tree, -1.0, flow_y)
    length = np.hypot(flow_x, flow_y) + 1e-9
    return np.stack([flow_x / length, flow_y / length], axis=-1)


def whirl_light(x: Array, y: Array, swirl: Swirl) -> Array:
    """Bright and dark arms, wound as the flow around the whirl is."""
    dx, dy = x - swirl.x, y - swirl.y
    distance = np.hypot(dx, dy) + 1e-4
    turn = np.arctan2(dy, dx) * swirl.spin + np.log(distance / swirl.radius) / INWARD
    return np.cos(turn) * np.exp(-((distance / (1.35 * swirl.radius)) ** 2))


def star_light(x: Array, y: Array, star: Swirl) -> Array:
    """A bright core and fading rings."""
    distance = np.hypot(x - star.x, y - star.y) / star.radius
    rings = 0.78 + 0.30 * np.cos(2 * np.pi * 2.1 * distance)
    return np.minimum(1.15 * np.exp(-((distance / 0.36) ** 2)) + star.glow * rings * np.exp(-1.45 * distance), 1.25)


def starry_colours(rng: np.random.Generator, x: Array, y: Array) -> Array:
    """The composition: what colour the paint has at every pixel."""
    size = x.shape[0]
    streaks = 0.17 * smooth_noise(rng, size, 7) + 0.08 * smooth_noise(rng, size, 19)
    band = 0.17 * np.sin(16 * (y + 0.06 * np.sin(6 * x)) + 2 * x)
    tone = 0.21 + 0.40 * y + streaks + band * smoothstep(0.1, 0.4, y)
    for whirl in WHIRLS:
        tone += 0.44 * whirl_light(x, y, whirl)
    picture = ramp(NIGHT, tone)
    light = sum(star_light(x, y, star) for star in (MOON, *STARS))
    picture = mix(picture, ramp(GLOW, light), smoothstep(0.14, 0.5, light))

    far, near = far_ridge(x), near_ridge(x)
    rolling = 0.5 + 0.35 * np.sin(60 * (y - far) + 5 * np.sin(7 * x)) + streaks
    picture = np.where((y > far)[..., None], ramp(FAR_HILLS, rolling * 0.85), picture)
    fields = 0.45 + 0.34 * np.sin(75 * (y - near) + 4 * np.sin(9 * x)) + streaks
    picture = np.where((y > near)[..., None], ramp(NEAR_HILLS, fields), picture)
    depth = cypress_depth(x, y)
    flames = 0.30 + 0.35 * np.sin(40 * depth + 18 * y) * (1 - depth) + streaks
    return np.where((depth > 0)[..., None], ramp(CYPRESS, flames), picture)


def trace(flow: Array, starts: Array, step: float, count: int) -> Array:
    """Walk ``count`` steps both ways along the flow from every start: (starts, 2·count + 1, xy)."""
    halves = []
    for sign in (-1.0, 1.0):
        points = [starts]
        for _ in range(count):
            points.append(points[-1] + sign * step * look_up(flow, points[-1]))
        halves.append(points)
    back, forth = halves
    return np.stack([*back[:0:-1], *forth], axis=1)


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


class Canvas:
    """Wet paint: colour, and how thick it lies."""

    def __init__(self, size: int, ground: str) -> None:
        self.size = size
        self.colour = np.tile(ramp(ground, np.zeros(1))[0].astype(np.float32), (size, size, 1))
        self.height = np.zeros((size, size), np.float32)

    def stroke(self, rng: np.random.Generator, path: Array, width: float, colours: Array) -> None:
        """Drag a brush of many bristles along the path; it carries one colour on each of its sides."""
        pixels = width * self.size
        bristles = max(3, round(pixels / 1.6))
        across = normals(path) * pixels
        swell = np.sin(np.linspace(0.25, np.pi - 0.25, len(path))) ** 0.5
        load = rng.uniform(0.75, 1.1)
        for place in np.linspace(-0.5, 0.5, bristles):
            first, last = rng.integers(0, 3), len(path) - rng.integers(0, 4)
            line = path * self.size + across * (place * swell)[:, None] + rng.normal(0, 0.25)
            colour = (colours[0] + (colours[1] - colours[0]) * (place + 0.5)) * rng.normal(1, 0.07)
            ridge = load * (0.62 + 0.9 * place**2 + rng.uniform(-0.16, 0.16))
            points = [to_fixed(line[first:last])]
            thickness = 2 if pixels < 16 else 3
            cv2.polylines(self.colour, points, False, colour.tolist(), thickness, cv2.LINE_8, SUBPIXEL_BITS)
            cv2.polylines(self.height, points, False, float(ridge), thickness, cv2.LINE_8, SUBPIXEL_BITS)


def brush_layer(rng: np.random.Generator, canvas: Canvas, flow: Array, picture: Array, layer: Layer) -> None:
    """Cover the canvas once, each stroke in the picture's colour where it starts, and a neighbouring one."""
    starts = jittered_grid(rng, layer.spacing)
    steps = 9
    paths = trace(flow, starts, layer.length / (2 * steps), steps)
    for longest in paths:
        reach = rng.integers(steps // 2, steps + 1)
        path = longest[steps - reach : steps + reach + 1]
        middle = path[len(path) // 2]
        nearby = middle + rng.normal(0, layer.width, 2)
        spread = rng.normal(0, layer.colour_spread) + rng.normal(0, 0.6 * layer.colour_spread, (2, 3))
        colours = look_up(picture, np.stack([middle, nearby]))
        canvas.stroke(rng, path, layer.width * rng.uniform(0.75, 1.2), np.clip(colours * (1 + 2 * spread), 0, 1))


def starry(size: int) -> Array:
    rng = np.random.default_rng(1889)
    x, y = unit_grid(size)
    flow = starry_flow(x, y)
    picture = starry_colours(rng, x, y)
    canvas = Canvas(size * SUPERSAMPLING, "16223f")
    for layer in BRUSHES:
        brush_layer(rng, canvas, flow, picture, layer)
    height = cv2.GaussianBlur(canvas.height, (0, 0), 0.9)
    shine = light_relief(height, 0.8)
    lit = canvas.colour * (1 + 0.30 * shine[..., None]) + 0.10 * np.maximum(shine, 0)[..., None]
    return to_bytes(shrink(lit, size))


# ---- mosaic: tesserae along the outlines of shapes ---------------------------------------------------------


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


# ---- ink: hatching with a pen ------------------------------------------------------------------------------


class Scene(NamedTuple):
    """What the pen must render: how dark each place is (0..1) and which way its surface runs (radians)."""

    darkness: Array
    direction: Array


class Hatch(NamedTuple):
    """One set of pen lines: their angle to the surface's direction, and where it is dark enough for them."""

    turn: float
    threshold: float
    spacing: float
    width: float


HATCHES = (
    Hatch(turn=0.0, threshold=0.09, spacing=0.0060, width=0.0014),
    Hatch(turn=0.65, threshold=0.34, spacing=0.0060, width=0.0012),
    Hatch(turn=-0.75, threshold=0.53, spacing=0.0058, width=0.0013),
    Hatch(turn=1.45, threshold=0.72, spacing=0.0056, width=0.0015),
)
INK_SUN = (0.31, 0.235)
INK_SUN_RADIUS = 0.068
CLOUDS = (  # billows: x, y, radius
    (
        (0.55, 0.150, 0.040),
        (0.605, 0.125, 0.055),
        (0.67, 0.135, 0.062),
        (0.735, 0.155, 0.045),
        (0.64, 0.160, 0.050),
    ),
    ((0.05, 0.345, 0.035), (0.105, 0.325, 0.045), (0.16, 0.345, 0.032)),
    ((0.40, 0.365, 0.024), (0.445, 0.355, 0.032), (0.49, 0.368, 0.024)),
)
# The feet of the trees and their heights.
TREES = (
    (0.09, 0.705, 0.15),
    (0.165, 0.69, 0.12),
    (0.47, 0.60, 0.07),
    (0.525, 0.60, 0.06),
    (0.82, 0.95, 0.56),
)
FIRS = ((0.30, 0.05, 16), (0.07, 0.025, 7), (0.93, 0.04, 8))  # groups: middle, spread, count
PAPER = "e6d9bd f0e6cf f8f1e0"
INK = "1d1a1c"
STEP = 0.0035  # of the pen, in the unit square


def rough_line(rng: np.random.Generator, x: Array, roughness: float) -> Array:
    """A jagged profile over x: noise of ever finer steps."""
    total = np.zeros_like(x)
    for octave in range(6):
        knots = rng.uniform(-1, 1, 4 * 2**octave + 2)
        total += np.interp(x * 4 * 2**octave, np.arange(len(knots)), knots) * roughness / 1.75**octave
    return total


def ridges(rng: np.random.Generator, x: Array) -> list[Array]:
    """Heights of the skylines over x, from the far mountains to the near bank."""
    peaks = 0.44 - 0.10 * np.exp(-(((x - 0.72) / 0.13) ** 2)) - 0.05 * np.exp(-(((x - 0.15) / 0.16) ** 2))
    return [
        peaks + rough_line(rng, x, 0.035),
        0.515 + 0.035 * np.sin(5.5 * x + 2.2) + rough_line(rng, x, 0.006),
        0.60 + 0.040 * np.sin(4.6 * x + 5.0) + rough_line(rng, x, 0.003),
        0.715 - 0.045 * np.sin(4.0 * x + 0.6) + rough_line(rng, x, 0.003),
        0.905 - 0.05 * np.cos(5.0 * x + 0.8) + rough_line(rng, x, 0.008),
    ]


def shade_sky(x: Array, y: Array) -> Scene:
    """Rays around the sun, darker away from it; clouds white above and grey below."""
    dx, dy = x - INK_SUN[0], y - INK_SUN[1]
    distance = np.hypot(dx, dy)
    darkness = 0.13 + 0.36 * smoothstep(0.20, 0.75, distance)
    darkness = np.where(distance < 1.25 * INK_SUN_RADIUS, 0.0, darkness)
    direction = np.arctan2(dy, dx)
    for cloud in CLOUDS:
        for cx, cy, radius in cloud:
            inside = np.hypot(x - cx, 1.25 * (y - cy)) < radius
            below = (y - cy) / radius
            darkness = np.where(inside, 0.30 * smoothstep(0.15, 0.8, below), darkness)
            direction = np.where(inside, 0.35, direction)
    return Scene(darkness, direction)


def shade_land(scene: Scene, x: Array, y: Array, lines: list[Array]) -> Scene:
    """Lay each ridge over what is behind it."""
    darkness, direction = scene
    across = x[0]
    for index, line in enumerate(lines):
        depth = y - line
        soft = cv2.GaussianBlur(line[None].astype(np.float32), (0, 0), len(line) * 0.012)[0]
        slope = np.gradient(soft, across)
        away = np.clip(slope * 0.9, -0.4, 0.5)  # the sun stands to the left: slopes that fall to the right are dark
        if index == 0:
            facets = 0.25 * np.sign(np.sin(55 * x + 26 * depth + 4 * np.sin(30 * depth)))
            tone, flow = 0.40 + away + facets - 0.9 * depth, np.full_like(x, 1.05)
        elif index == 2:
            furrow = np.arctan2(y - 0.47, 0.55 * (x - 0.52))
            tone, flow = 0.36 + 0.22 * np.sign(np.sin(26 * furrow)) - 0.8 * depth, furrow
        elif index == 3:
            glitter = np.sin(95 * y + 7 * np.sin(9 * x)) * np.sin(14 * x + 50 * y)
            gleam = np.exp(-(((x - INK_SUN[0]) / 0.085) ** 2))
            tone, flow = 0.40 + 0.26 * glitter - 0.42 * gleam - 0.5 * depth, 0 * x
        else:
            base = 0.72 if index == 4 else 0.46
            tone, flow = (
                base + away - 1.4 * depth * (index < 4),
                np.arctan(slope * (1 + 3 * depth)) + 1.2 * depth,
            )
        below = depth > 0
        darkness, direction = np.where(below, tone, darkness), np.where(below, flow, direction)
    return Scene(np.clip(darkness, 0, 1), direction)


def pen_paths(rng: np.random.Generator, scene: Scene, hatch: Hatch) -> list[Array]:
    """Lines along the surface, evenly spaced, that stop where it gets light or another line is near."""
    cells = round(2.0 / hatch.spacing)
    taken = np.zeros((cells, cells), bool)
    angle = scene.direction + hatch.turn
    steps = STEP * np.cos(angle), STEP * np.sin(angle)
    dark = scene.darkness > hatch.threshold * (1 + 0.2 * smooth_noise(rng, len(angle), 90))
    paths = []
    for start in jittered_grid(rng, 0.7 * hatch.spacing).tolist():
        reach = int(rng.integers(14, 50))
        back, forth = (pen_walk(start, sign, steps, dark=dark, taken=taken, reach=reach) for sign in (-1, 1))
        if len(back) + len(forth) > 4:
            path = np.array([*back[:0:-1], *forth])
            paths.append(path)
            block(taken, path)
    return paths


def pen_walk(
    start: list[float], sign: int, steps: tuple[Array, Array], *, dark: Array, taken: Array, reach: int
) -> list[tuple[float, float]]:
    """One way along the surface from a start, in plain numbers: arrays of two take ten times as long."""
    x, y = start
    size, cells = len(dark), len(taken)
    last_x = last_y = 0.0
    points = []
    for _ in range(reach):
        if not (0 <= x < 1 and 0 <= y < 1):
            break
        row, column = int(y * size), int(x * size)
        if not dark[row, column] or taken[int(y * cells), int(x * cells)]:
            break
        step_x, step_y = sign * float(steps[0][row, column]), sign * float(steps[1][row, column])
        if step_x * last_x + step_y * last_y < (0.6 * STEP * STEP if points else 0):
            break
        points.append((x, y))
        last_x, last_y = step_x, step_y
        x, y = x + step_x, y + step_y
    return points


def block(taken: Array, path: Array) -> None:
    """Mark the cells around a path."""
    column, row = (path * len(taken)).astype(int).T
    for below in (-1, 0, 1):
        for right in (-1, 0, 1):
            taken[np.clip(row + below, 0, len(taken) - 1), np.clip(column + right, 0, len(taken) - 1)] = True


def pen_line(rng: np.random.Generator, sheet: Array, path: Array, widths: Array | float, ink: int = 255) -> None:
    """Ink a path (unit square) with a hand that trembles and a nib that swells and lifts."""
    count = len(path)
    tremble = np.interp(np.arange(count), np.arange(0, count + 6, 6), rng.normal(0, 1, len(range(0, count + 6, 6))))
    taper = np.sin(np.linspace(0.12, np.pi - 0.12, count)) ** 0.6
    across = normals(path)
    line = path + across * (tremble * 0.0006)[:, None]
    half = across * (0.5 * np.asarray(widths) * taper * rng.uniform(0.75, 1.25))[:, None]
    outline = np.concatenate([line + half, (line - half)[::-1]]) * len(sheet)
    cv2.fillPoly(sheet, [to_fixed(outline)], ink, cv2.LINE_AA, SUBPIXEL_BITS)


def hatch_scene(rng: np.random.Generator, sheet: Array, scene: Scene) -> None:
    for hatch in HATCHES:
        for path in pen_paths(rng, scene, hatch):
            pen_line(rng, sheet, path, hatch.width * (0.55 + 0.95 * look_up(scene.darkness, path)))


def sketch(rng: np.random.Generator, sheet: Array, path: Array, width: float) -> None:
    """Draw an outline in overlapping strokes, as a hand does."""
    start = 0
    while start < len(path) - 6:
        length = int(rng.integers(25, 70))
        piece = path[start : start + length] + rng.normal(0, 0.0008, 2)
        if len(piece) > 4:
            pen_line(rng, sheet, piece, width * rng.uniform(0.7, 1.3))
        start += int(length * rng.uniform(0.75, 0.95))


def circle(x: float, y: float, radius: float, start: float = 0.0, stop: float = 2 * np.pi) -> Array:
    turn = np.linspace(start, stop, max(8, int(radius * (stop - start) / STEP)))
    return np.stack([x + radius * np.cos(turn), y + radius * np.sin(turn)], axis=-1)


def draw_sun(rng: np.random.Generator, sheet: Array) -> None:
    for radius in (INK_SUN_RADIUS, 0.985 * INK_SUN_RADIUS):
        sketch(rng, sheet, circle(*INK_SUN, radius), 0.0022)
    for turn in np.arange(0, 2 * np.pi, np.pi / 24):
        direction = np.array([np.cos(turn), np.sin(turn)])
        reach = np.linspace(1.25, rng.uniform(1.6, 2.3), 14)[:, None] * INK_SUN_RADIUS
        pen_line(rng, sheet, INK_SUN + reach * direction, 0.0022)


def draw_clouds(rng: np.random.Generator, sheet: Array) -> None:
    """The billows' upper outlines, without the parts inside other billows."""
    for cloud in CLOUDS:
        for x, y, radius in cloud:
            path = circle(0, 0, radius, np.pi * 0.95, np.pi * 2.05) * [1, 0.8] + [x, y]
            covered = np.zeros(len(path), bool)
            for other_x, other_y, other_radius in cloud:
                covered |= np.hypot(path[:, 0] - other_x, 1.25 * (path[:, 1] - other_y)) < 0.999 * other_radius
            for run in np.split(np.arange(len(path)), np.flatnonzero(np.diff(covered)) + 1):
                if not covered[run[0]]:
                    sketch(rng, sheet, path[run], 0.0019)


def draw_birds(rng: np.random.Generator, sheet: Array) -> None:
    for _ in range(7):
        x, y, span = rng.uniform(0.40, 0.54), rng.uniform(0.19, 0.30), rng.uniform(0.007, 0.014)
        turn = np.linspace(0, 1, 10)
        for side in (-1, 1):
            wing = np.stack([x + side * span * turn, y - 0.7 * span * np.sin(2.4 * turn) + 0.1 * span], axis=-1)
            pen_line(rng, sheet, wing, 0.0026)


def grow(
    rng: np.random.Generator, foot: Array, angle: float, length: float, width: float, *, forks: int
) -> list[tuple[Array, float]]:
    """A branch and all that grow from it: paths with the width at their foot."""
    bends = np.cumsum(rng.normal(0, 0.10, 14)) + angle
    steps = np.stack([np.cos(bends), np.sin(bends)], axis=-1) * length / 14
    path = foot + np.vstack([np.zeros(2), np.cumsum(steps, axis=0)])
    branches = [(path, width)]
    if forks:
        for side in (-1, 0, 1):
            fork = path[rng.integers(7, len(path)) if side else -1]
            turn = angle + side * rng.uniform(0.45, 0.85) + rng.normal(0, 0.1)
            branches += grow(rng, fork, turn, length * rng.uniform(0.6, 0.75), 0.58 * width, forks=forks - 1)
    return branches


def draw_branch(sheet: Array, path: Array, width: float, tip: float) -> None:
    half = normals(path) * np.linspace(0.5 * width, 0.5 * width * tip, len(path))[:, None]
    outline = np.concatenate([path + half, (path - half)[::-1]]) * len(sheet)
    cv2.fillPoly(sheet, [to_fixed(outline)], 255, cv2.LINE_AA, SUBPIXEL_BITS)


def draw_tuft(rng: np.random.Generator, sheet: Array, centre: Array, radius: float) -> None:
    """A tuft of leaves hiding what is behind it: small loops, sparse towards the sun, dense away from it."""
    pixels = to_fixed(np.array([*centre, 0.85 * radius]) * len(sheet)).tolist()
    cv2.circle(sheet, tuple(pixels[:2]), pixels[2], 0, cv2.FILLED, cv2.LINE_AA, SUBPIXEL_BITS)
    for _ in range(round(62000 * radius**2) + 20):
        turn, reach = rng.uniform(0, 2 * np.pi), radius * rng.uniform() ** 0.4
        offset = reach * np.array([np.cos(turn), np.sin(turn)])
        shade = (0.8 * offset[0] + offset[1]) / radius
        if rng.uniform() < 0.56 + 0.60 * shade:
            first = rng.uniform(0, 2 * np.pi)
            loop = circle(*(centre + offset), rng.uniform(0.003, 0.006), first, first + rng.uniform(2.2, 4.2))
            pen_line(rng, sheet, loop, 0.0017 + 0.0010 * shade)


def draw_tree(rng: np.random.Generator, sheet: Array, foot: tuple[float, float], height: float) -> None:
    """A broad tree: branches in solid ink with scratches of light, tufts of leaves around their tips."""
    forks = 3 if height > 0.3 else 2
    branches = grow(rng, np.array(foot), -np.pi / 2, 0.42 * height, 0.10 * height, forks=forks)
    for path, width in branches:
        draw_branch(sheet, path, width, 0.55)
        for place in rng.uniform(-0.42, 0.1, int(500 * width)):
            first = rng.integers(0, 7)
            scratch = (path + normals(path) * -place * width)[first : first + 7]
            pen_line(rng, sheet, scratch, 0.0016, ink=0)
    tips = [path[-1] for path, width in branches if width < 0.06 * height]
    for tip in sorted(tips, key=lambda tip: tip[1]):
        draw_tuft(rng, sheet, tip, 0.092 * height * rng.uniform(0.7, 1.25))


def draw_fir(rng: np.random.Generator, sheet: Array, x: float, y: float, height: float) -> None:
    """A fir on a far hill: drooping strokes on a stem."""
    for level in np.linspace(0.02, 0.95, max(6, int(height * 200))):
        for side in (-1, 1):
            reach = 0.24 * height * level * rng.uniform(0.6, 1.1)
            turn = np.linspace(0, 1, 8)
            tip = np.stack([side * reach * turn, 0.35 * reach * turn**2], axis=-1)
            pen_line(rng, sheet, np.array([x, y - height * (1 - level)]) + tip, 0.0022 if side > 0 else 0.0014)


def draw_grass(rng: np.random.Generator, sheet: Array, bank: Array) -> None:
    """Blades along the near bank, longer towards the bottom."""
    for _ in range(900):
        x = rng.uniform(-0.02, 1.02)
        top = bank[min(max(int(x * len(bank)), 0), len(bank) - 1)]
        y = top + rng.uniform(0, 1) ** 1.5 * (1.04 - top)
        tall, lean = rng.uniform(0.015, 0.035) * (1 + 6 * (y - top)), rng.normal(0.1, 0.45)
        turn = np.linspace(0, 1, 12)
        blade = np.stack([x + lean * tall * turn**1.8, y - tall * turn], axis=-1)
        pen_line(rng, sheet, blade, 0.0026)


def paper(rng: np.random.Generator, size: int) -> Array:
    """Warm laid paper, a little darker towards its edges."""
    x, y = unit_grid(size)
    cloudy = 0.12 * smooth_noise(rng, size, 6) + 0.06 * smooth_noise(rng, size, 60)
    fibre = 0.07 * cv2.GaussianBlur(rng.normal(0, 3, (size, size)).astype(np.float32), (0, 0), 2.2, sigmaY=0.7)
    edge = 0.9 * ((x - 0.5) ** 2 + (y - 0.5) ** 2)
    return ramp(PAPER, 0.75 + cloudy + fibre - edge)


def ink(size: int) -> Array:
    rng = np.random.default_rng(1505)
    fine = size * SUPERSAMPLING
    x, y = unit_grid(fine)
    lines = ridges(rng, x[0])
    scene = shade_land(shade_sky(x, y), x, y, lines)
    sheet = np.zeros((fine, fine), np.uint8)
    hatch_scene(rng, sheet, scene)
    draw_sun(rng, sheet)
    draw_clouds(rng, sheet)
    draw_birds(rng, sheet)
    for line in lines:
        stride = max(1, int(STEP * fine))
        sketch(rng, sheet, np.stack([x[0], line], axis=-1)[::stride], 0.0026)
    for fir_x in np.concatenate([rng.normal(middle, spread, count) for middle, spread, count in FIRS]):
        ground = np.interp(fir_x, x[0], lines[1])
        draw_fir(rng, sheet, fir_x, ground + rng.uniform(0.006, 0.022), rng.uniform(0.04, 0.075))
    for tree_x, tree_y, height in TREES:
        draw_tree(rng, sheet, (tree_x, tree_y), height)
    draw_grass(rng, sheet, lines[-1])
    covered = shrink(sheet, size).astype(np.float32) / 255
    density = 0.90 + 0.10 * smooth_noise(rng, size, 30)
    return to_bytes(mix(paper(rng, size), ramp(INK, np.zeros(1)), covered * density))


# ---- the command -------------------------------------------------------------------------------------------

SMALLEST = 64  # pixels: below that a mark is finer than a pixel
STYLES: dict[str, Callable[[int], Array]] = {"starry": starry, "mosaic": mosaic, "ink": ink}


def save(picture: Array, path: Path) -> None:
    Image.fromarray(picture).save(path, quality=88, optimize=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Paint the style pictures of sample_images/.")
    parser.add_argument("-o", "--output", type=Path, default=Path("sample_images"), help="folder (%(default)s)")
    parser.add_argument("--size", type=int, default=768, help="side in pixels (%(default)s)")
    options = parser.parse_args(arguments)
    if options.size < SMALLEST:
        parser.error(f"--size must be at least {SMALLEST}")
    options.output.mkdir(parents=True, exist_ok=True)
    for name, paint in STYLES.items():
        path = options.output / f"{name}.jpg"
        save(paint(options.size), path)
        print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
