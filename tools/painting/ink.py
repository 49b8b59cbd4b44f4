"""A landscape in pen and ink: hatching, in more directions where it is darker."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from painting.shared import (
    SUBPIXEL_BITS,
    SUPERSAMPLING,
    Array,
    jittered_grid,
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
