"""The rigid classes: pairs that share outline, colours and amount of ink, and differ in what the ink forms.

| outline  | one                      | the other                  |
| -------- | ------------------------ | -------------------------- |
| disc     | target: rings            | wheel: spokes              |
| square   | crate: diagonal lattice  | window: upright lattice    |
| triangle | stairs_sign: level bars  | fence_sign: upright bars   |

All patterns have the same period, ``PERIOD`` of the outline's size. Where that is about a pixel or less, little more
than the mean of the pattern is left, which is equal within a pair; where it is two pixels, the classes can be told
apart. A small classifier that is shown one object in the middle of a crop, and is trained for that size only, tells the
two of a pair apart in 60 to 89 % of cases at 4 to 6 px (chance is 50), over 90 at 8 px and all of them from 10 px on.
"""

from collections.abc import Iterable

import cv2
import numpy as np

from .drawing import Drawing, Part, bar, ellipse, rotation

PERIOD = 0.15  # Of an outline of size 1.
_STEP = 2 * PERIOD  # The outlines below have size 2.
_DUTY = 0.46  # Inked part of a period.
_TRIANGLE = np.array([[0.0, -1.0], [1.08, 0.87], [-1.08, 0.87]])


def hsv_colour(hue: float, saturation: float, value: float) -> np.ndarray:
    """B, G, R (3,) in [0, 255] of hue, saturation and value in [0, 1]."""
    pixel = np.array([[[(hue % 1) * 360, saturation, value]]], np.float32)
    return cv2.cvtColor(pixel, cv2.COLOR_HSV2BGR)[0, 0].astype(float) * 255


def _square(half: float) -> np.ndarray:
    return np.array([[-half, -half], [half, -half], [half, half], [-half, half]])


def _palette(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Colours of rim, face and ink; one distribution for all classes, or colour would tell them apart."""
    hue = rng.random()
    light = hsv_colour(hue + rng.uniform(-0.08, 0.08), rng.uniform(0.05, 0.5), rng.uniform(0.75, 1.0))
    dark = hsv_colour(hue + rng.uniform(-0.3, 0.3), rng.uniform(0.3, 0.9), rng.uniform(0.05, 0.35))
    rim = hsv_colour(hue, rng.uniform(0.5, 1.0), rng.uniform(0.35, 0.8))
    return (rim, light, dark) if rng.random() < 0.5 else (rim, dark, light)


def _rings(inner: np.ndarray, rng: np.random.Generator) -> Iterable[np.ndarray]:
    end = np.abs(inner).max()
    for start in np.arange(rng.random() - 1, end / _STEP) * _STEP:
        low, high = max(start, 0.0), min(start + _DUTY * _STEP, end)
        if high > low:
            # One polygon, out and back: the hole stays empty.
            outer, hole = ellipse((0, 0), (high, high), 97), ellipse((0, 0), (low, low), 97)
            yield np.concatenate([outer, outer[:1], hole[:1], hole[::-1]])


def _spokes(inner: np.ndarray, rng: np.random.Generator) -> Iterable[np.ndarray]:
    end = np.abs(inner).max()
    # Wedges: as much ink near the hub as near the rim, and _STEP apart at three quarters of the radius.
    num = round(1.5 * np.pi * end / _STEP)
    for start in (rng.random() + np.arange(num)) * 360 / num:
        angles = np.linspace(start, start + _DUTY * 360 / num, 5)
        yield np.array([(0.0, 0.0), *(rotation(angle) @ (end, 0) for angle in angles)])


def _bars(inner: np.ndarray, degrees: float, duty: float, rng: np.random.Generator) -> Iterable[np.ndarray]:
    """Parallel bars at an angle (0: level), cut to the convex polygon ``inner``."""
    turn = rotation(degrees)
    for offset in (rng.random() + np.arange(-7, 7)) * _STEP:
        polygon = bar(turn @ (-2, offset), turn @ (2, offset), duty * _STEP)
        area, cut = cv2.intersectConvexConvex(polygon.astype(np.float32), inner.astype(np.float32))
        if area > 0:
            yield cut[:, 0].astype(float)


def _lattice(inner: np.ndarray, degrees: float, rng: np.random.Generator) -> Iterable[np.ndarray]:
    duty = 1 - np.sqrt(1 - _DUTY)  # Two crossing sets of bars then ink _DUTY of the area.
    yield from _bars(inner, degrees, duty, rng)
    yield from _bars(inner, degrees + 90, duty, rng)


_OUTLINES = {
    'disc': (ellipse((0, 0), (1, 1), 96), ellipse((0, 0), (0.84, 0.84), 96)),
    'square': (_square(1.0), _square(0.84)),
    # Scaled about its inner centre, so that the rim is equally wide at all three sides.
    'triangle': (_TRIANGLE, (_TRIANGLE - (0, 0.25)) * 0.76 + (0, 0.25)),
}
_INK = {
    'target': ('disc', _rings),
    'wheel': ('disc', _spokes),
    'crate': ('square', lambda inner, rng: _lattice(inner, 45, rng)),
    'window': ('square', lambda inner, rng: _lattice(inner, 0, rng)),
    'stairs_sign': ('triangle', lambda inner, rng: _bars(inner, 0, _DUTY, rng)),
    'fence_sign': ('triangle', lambda inner, rng: _bars(inner, 90, _DUTY, rng)),
}
RIGID_CLASSES = tuple(_INK)


def draw_rigid(name: str, rng: np.random.Generator) -> Drawing:
    """A random object of a rigid class, without a size.

    Args:
        name: One of ``RIGID_CLASSES``.
        rng: Source of colours, phase of the pattern, aspect (0.8 to 1.25) and rotation (-15 to 15 degrees).

    Raises:
        ValueError: If the name is unknown.
    """
    if name not in _INK:
        raise ValueError(f'a rigid class is one of {RIGID_CLASSES}, got {name!r}')
    outline, make_ink = _INK[name]
    rim, face, ink = _palette(rng)
    stretch = np.exp(rng.uniform(-0.5, 0.5) * np.log(1.25))
    matrix = rotation(rng.uniform(-15, 15)) @ np.diag([stretch, 1 / stretch])
    light = tuple(rng.uniform(-0.15, 0.15, 2).tolist())
    outer, inner = _OUTLINES[outline]
    parts = [Part(outer, rim), Part(inner, face), *(Part(polygon, ink) for polygon in make_ink(inner, rng))]
    return Drawing(parts, light).transformed(matrix)
