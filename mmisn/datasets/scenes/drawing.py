"""Objects as coloured polygons without a size, and their anti-aliased picture at any size.

Everything is a filled polygon in units of its own, lines included, so a small object is the large one at lower
resolution: nothing, no line width either, is rounded to pixels before the polygons are averaged into them.

Positions are continuous: pixel i covers [i, i + 1).
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np

_SHIFT = 6  # Fraction bits of a vertex in cv2.fillPoly.


@dataclass(frozen=True)
class Part:
    """One filled polygon: vertices (N, 2) as x, y with y down, and its colour (3,) as B, G, R in [0, 255]."""

    polygon: np.ndarray
    colour: np.ndarray


@dataclass(frozen=True)
class Drawing:
    """Parts in painting order.

    Args:
        parts: The polygons; their union is the object.
        light: Brightness at the left, right, top and bottom edge relative to 1, as the slopes (x, y).
        keypoints: (K, 2) or None, in the polygons' frame.
        hidden: (K,) bool, keypoints that lie behind another part of the same object.
    """

    parts: list[Part]
    light: tuple[float, float] = (0.0, 0.0)
    keypoints: np.ndarray | None = None
    hidden: np.ndarray | None = None

    def bounds_xyxy(self) -> np.ndarray:
        """The tight box (4,) of all polygons, in their frame."""
        points = np.concatenate([part.polygon for part in self.parts])
        return np.concatenate([points.min(0), points.max(0)])

    def transformed(self, matrix: np.ndarray, shift: np.ndarray | tuple = (0, 0)) -> 'Drawing':
        """Polygons and keypoints under ``x -> matrix @ x + shift``; ``matrix`` (2, 2)."""
        parts = [Part(part.polygon @ matrix.T + shift, part.colour) for part in self.parts]
        keypoints = None if self.keypoints is None else self.keypoints @ matrix.T + shift
        return replace(self, parts=parts, keypoints=keypoints)

    def scaled_to(self, scale_px: float) -> 'Drawing':
        """The drawing with its box at (0, 0) and sqrt(w * h) of the box equal to ``scale_px``, now in pixels."""
        x1, y1, x2, y2 = self.bounds_xyxy()
        factor = scale_px / np.sqrt((x2 - x1) * (y2 - y1))
        return self.transformed(np.eye(2) * factor, (-x1 * factor, -y1 * factor))


def ellipse(centre: tuple, radii: tuple, num: int = 64) -> np.ndarray:
    """Polygon (num, 2) of an axis-parallel ellipse."""
    angles = np.linspace(0, 2 * np.pi, num, endpoint=False)
    return np.asarray(centre) + np.stack([np.cos(angles), np.sin(angles)], 1) * np.asarray(radii)


def bar(start: np.ndarray, end: np.ndarray, width_start: float, width_end: float | None = None) -> np.ndarray:
    """Polygon (4, 2) of a straight bar with flat ends; the widths are full widths."""
    start, end = np.asarray(start, float), np.asarray(end, float)
    width_end = width_start if width_end is None else width_end
    along = (end - start) / max(np.linalg.norm(end - start), 1e-9)
    across = np.array([-along[1], along[0]]) / 2
    return np.stack(
        [start + across * width_start, end + across * width_end, end - across * width_end, start - across * width_start]
    )


def capsule(start: np.ndarray, end: np.ndarray, radius_start: float, radius_end: float) -> np.ndarray:
    """Polygon of a bar with round ends: the convex hull of two discs."""
    points = np.concatenate([ellipse(start, (radius_start,) * 2, 24), ellipse(end, (radius_end,) * 2, 24)])
    return cv2.convexHull(points.astype(np.float32))[:, 0].astype(float)


def rotation(degrees: float) -> np.ndarray:
    """The (2, 2) matrix that turns a picture clockwise (y points down)."""
    angle = np.deg2rad(degrees)
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def supersampling(scale_px: float) -> int:
    """Samples per pixel and axis: more for small objects, whose edge pixels matter most."""
    return 16 if scale_px < 16 else 8 if scale_px < 48 else 4 if scale_px < 200 else 2


def render(drawing: Drawing, samples: int) -> tuple[np.ndarray, tuple[int, int]]:
    """Paint a drawing whose coordinates are pixels.

    Args:
        drawing: What to paint, at its final size and with its place relative to a whole pixel.
        samples: Samples per pixel and axis that are averaged.

    Returns:
        The picture (h, w, 4) float32, B, G, R multiplied by alpha, and alpha, all in [0, 1], and the whole-pixel place
        (x, y) of its upper left corner.
    """
    bounds = drawing.bounds_xyxy()
    left, top = np.floor(bounds[:2]).astype(int)
    right, bottom = np.ceil(bounds[2:]).astype(int) + 1
    canvas = np.zeros(((bottom - top) * samples, (right - left) * samples, 4), np.uint8)
    for part in drawing.parts:
        # OpenCV's whole numbers are the centres of samples.
        vertices = (part.polygon - (left, top)) * samples - 0.5
        fixed = np.rint(vertices * (1 << _SHIFT)).astype(np.int32)
        cv2.fillPoly(canvas, [fixed], (*part.colour.tolist(), 255), cv2.LINE_8, _SHIFT)
    size = (int(right - left), int(bottom - top))
    picture = cv2.resize(canvas, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    slopes = np.asarray(drawing.light, np.float32)
    gain_x = slopes[0] * (np.arange(size[0], dtype=np.float32) * 2 / size[0] - 1)
    gain_y = slopes[1] * (np.arange(size[1], dtype=np.float32) * 2 / size[1] - 1)
    picture[..., :3] *= 1 + gain_x[None, :, None] + gain_y[:, None, None]
    np.minimum(picture[..., :3], picture[..., 3:], out=picture[..., :3])
    return picture, (int(left), int(top))


def paint(image: np.ndarray, picture: np.ndarray, place_xy: tuple[int, int], opacity: float = 1.0) -> None:
    """Lay a rendered picture (h, w, 4) over ``image`` (H, W, 3) float32 in [0, 255], in place."""
    rows, cols, inside = overlap(image.shape[:2], picture.shape[:2], place_xy)
    piece = picture[inside] * opacity
    image[rows, cols] = image[rows, cols] * (1 - piece[..., 3:]) + piece[..., :3] * 255


def overlap(
    shape_hw: tuple[int, int], piece_hw: tuple[int, int], place_xy: tuple[int, int]
) -> tuple[slice, slice, tuple[slice, slice]]:
    """Rows and columns of the image under a piece at ``place_xy``, and the same region within the piece."""
    (height, width), (x, y) = piece_hw, place_xy
    y1, y2 = max(y, 0), max(min(y + height, shape_hw[0]), max(y, 0))
    x1, x2 = max(x, 0), max(min(x + width, shape_hw[1]), max(x, 0))
    return slice(y1, y2), slice(x1, x2), (slice(y1 - y, y2 - y), slice(x1 - x, x2 - x))
