"""Textured backgrounds with shapes of all sizes that are no object."""

import cv2
import numpy as np

from .config import SceneConfig
from .drawing import Drawing, Part, bar, ellipse, paint, render, rotation, supersampling
from .objects import hsv_colour


def _noise(shape_hw: tuple[int, int], rng: np.random.Generator, roughness: float) -> np.ndarray:
    """Sum of octaves of smooth noise (H, W) float32; each has ``roughness`` times the last one's amplitude."""
    total = np.zeros(shape_hw, np.float32)
    short, amplitude = min(shape_hw), 1.0
    cells = 2
    # The finest octave has cells of about 3 px.
    while short / cells >= 3:
        grid_hw = (cells + 1, round(cells * shape_hw[1] / shape_hw[0]) + 1)
        grid = rng.standard_normal(grid_hw, np.float32) * np.float32(amplitude)
        total += cv2.resize(grid, shape_hw[::-1], interpolation=cv2.INTER_LINEAR)
        amplitude *= roughness
        cells *= 2
    return total


def _distractor(rng: np.random.Generator) -> Drawing:
    """A line, a ragged polygon, a cross-like star, a ring segment or a spray of dots, without a size."""
    colour = hsv_colour(rng.random(), rng.uniform(0, 0.9), rng.uniform(0.1, 1.0))
    kind = rng.integers(5)
    turn = rotation(rng.uniform(0, 360))
    if kind == 0:
        polygons = [bar((-1, 0), (1, rng.uniform(-0.2, 0.2)), *rng.uniform(0.03, 0.25, 2))]
    elif kind in (1, 2):
        # Ragged blobs and spikes: radii that change by a factor, so neither disc nor square nor triangle.
        num = int(rng.integers(6, 11))
        angles = np.linspace(0, 2 * np.pi, num, endpoint=False)
        radii = rng.uniform(0.35, 1.0, num)
        if kind == 2:
            radii[::2] = rng.uniform(0.15, 0.35)
        polygons = [np.stack([np.cos(angles), np.sin(angles)], 1) * radii[:, None]]
    elif kind == 3:
        angles = np.linspace(0, rng.uniform(1.5, 4.0), 24)
        circle = np.stack([np.cos(angles), np.sin(angles)], 1)
        polygons = [np.concatenate([circle, circle[::-1] * rng.uniform(0.7, 0.92)])]
    else:
        places = rng.uniform(-1, 1, (int(rng.integers(4, 9)), 2))
        polygons = [ellipse(place, rng.uniform(0.05, 0.2, 2), 16) for place in places]
    return Drawing([Part(polygon, colour) for polygon in polygons]).transformed(turn)


def make_background(config: SceneConfig, rng: np.random.Generator) -> np.ndarray:
    """A textured picture (H, W, 3) float32, B, G, R in [0, 255], without objects."""
    width, height = config.image_wh
    colours = [hsv_colour(rng.random(), rng.uniform(0.05, 0.6), rng.uniform(0.2, 0.95)) for _ in range(3)]
    roughness = rng.uniform(0.5, 0.85)
    mix = 0.5 + 0.5 * np.tanh(0.5 * _noise((height, width), rng, roughness))
    shade = _noise((height, width), rng, roughness) * np.float32(rng.uniform(4, 14))
    ramp = rng.uniform(-1, 1, 2)
    slope_x, slope_y = (slope * np.linspace(-0.5, 0.5, side) for slope, side in zip(ramp, (width, height)))
    third = (0.6 * np.clip(0.5 + slope_x[None] + slope_y[:, None], 0, 1)).astype(np.float32)
    # Weights of the three colours and of white, per pixel; they add up to 1 but for the shade.
    weights = np.stack([(1 - mix) * (1 - third), mix * (1 - third), third, shade], -1)
    image = weights.reshape(-1, 4) @ np.array([*colours, np.ones(3)], np.float32)
    image = image.reshape(height, width, 3)
    low, high = config.scale_px
    for _ in range(int(rng.integers(config.num_distractors[0], config.num_distractors[1] + 1))):
        # No larger than two thirds: the objects shall be the largest things.
        scale = float(np.exp(rng.uniform(np.log(low), np.log(high / 1.5))))
        centre = rng.uniform((0, 0), (width, height))
        drawing = _distractor(rng).scaled_to(scale)
        drawing = drawing.transformed(np.eye(2), centre - drawing.bounds_xyxy()[2:] / 2)
        picture, place = render(drawing, min(supersampling(scale), 4))
        paint(image, picture, place, rng.uniform(0.4, 1.0))
    return np.clip(image, 0, 255, out=image)
