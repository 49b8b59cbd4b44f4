"""A starry night: curved brush strokes along a flow, and light on the relief of the paint."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from painting.shared import (
    SUBPIXEL_BITS,
    SUPERSAMPLING,
    Array,
    jittered_grid,
    light_relief,
    look_up,
    mix,
    normals,
    ramp,
    shrink,
    smooth_noise,
    smoothstep,
    to_bytes,
    to_fixed,
    unit_grid,
)


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
