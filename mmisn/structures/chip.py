"""``Chip``: the one way from an image to what the network sees, and back.

Pixel convention: coordinates are continuous, the image's top left corner is (0, 0) and pixel i spans [i, i + 1]. A
horizontal flip therefore maps x to width - x, for boxes and points alike.

Shape shorthand: N objects, K keypoints, H and W height and width of the original image, h and w of the view.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np


def _like(values: Sequence[float], reference):
    """``values`` as an array or tensor of the reference's kind, dtype and device."""
    if isinstance(reference, np.ndarray):
        dtype = reference.dtype if reference.dtype.kind == 'f' else np.float64
        return np.asarray(values, dtype=dtype)
    return _floating(reference).new_tensor(values)


def _floating(values):
    """``values``, as floating point numbers where they are integers; factors and halves of pixels are fractions."""
    if isinstance(values, np.ndarray):
        return values if np.issubdtype(values.dtype, np.floating) else values.astype(np.float64)
    return values if values.is_floating_point() else values.float()


def _copy(points):
    return points.copy() if isinstance(points, np.ndarray) else points.clone()


@dataclass(frozen=True)
class Chip:
    """A rectangle of the original image, the size that it is resampled to, and a flip.

    The rectangle has integer corners, so that pixels are cut from the original exactly; ``from_window`` rounds
    fractional windows outwards. The flip comes last: crop, resample, flip.

    Args:
        xyxy: Left, top, right, bottom of the rectangle in original pixels; integers.
        size_wh: Width and height that the rectangle is resampled to, in view pixels; integers.
        flip: Whether the view is mirrored left to right.

    Raises:
        ValueError: If a number is not an integer, the rectangle is empty or a size is below 1.
    """

    xyxy: tuple[int, int, int, int]
    size_wh: tuple[int, int]
    flip: bool = False

    def __post_init__(self) -> None:
        for name, length in (('xyxy', 4), ('size_wh', 2)):
            values = tuple(getattr(self, name))
            if len(values) == length and set(map(type, values)) == {int}:
                object.__setattr__(self, name, values)
                continue
            if len(values) != length or any(not math.isfinite(v) or v != int(v) for v in values):
                raise ValueError(f'Chip.{name} must be {length} integers, got {values}')
            object.__setattr__(self, name, tuple(int(v) for v in values))
        object.__setattr__(self, 'flip', bool(self.flip))
        x1, y1, x2, y2 = self.xyxy
        if x2 <= x1 or y2 <= y1:
            raise ValueError(f'Chip.xyxy must have x1 < x2 and y1 < y2, got {self.xyxy}')
        if min(self.size_wh) < 1:
            raise ValueError(f'Chip.size_wh must be at least 1x1, got {self.size_wh}')

    def __deepcopy__(self, memo: dict) -> 'Chip':
        # Frozen all through. Data samples deep-copy their meta information, chips included.
        return self

    @classmethod
    def full(cls, image_wh: tuple[int, int], size_wh: tuple[int, int] | None = None, flip: bool = False) -> 'Chip':
        """The whole image, resampled to ``size_wh`` (its own size by default)."""
        return cls((0, 0, *image_wh), image_wh if size_wh is None else size_wh, flip)

    @classmethod
    def from_window(cls, xyxy: Sequence[float], factor: float, image_wh: tuple[int, int]) -> 'Chip':
        """A chip around a window with fractional corners, clipped to the image, at ``factor`` view px per original px.

        Raises:
            ValueError: If the window misses the image.
        """
        x1, y1 = (max(0, math.floor(v)) for v in xyxy[:2])
        x2, y2 = (min(side, math.ceil(v)) for v, side in zip(xyxy[2:], image_wh))
        return cls((x1, y1, x2, y2), (max(1, round((x2 - x1) * factor)), max(1, round((y2 - y1) * factor))))

    @property
    def wh(self) -> tuple[int, int]:
        """Width and height of the rectangle in original pixels."""
        x1, y1, x2, y2 = self.xyxy
        return x2 - x1, y2 - y1

    @property
    def factors(self) -> tuple[float, float]:
        """View pixels per original pixel, along x and along y."""
        return self.size_wh[0] / self.wh[0], self.size_wh[1] / self.wh[1]

    @property
    def factor(self) -> float:
        """Geometric mean of the two factors: what sqrt(w * h) of a box is multiplied by."""
        fx, fy = self.factors
        return fx if fx == fy else math.sqrt(fx * fy)

    @property
    def num_pixels(self) -> int:
        """Pixels of the view, w * h."""
        return self.size_wh[0] * self.size_wh[1]

    def flipped(self, flip: bool = True) -> 'Chip':
        """The same rectangle and size with ``flip`` set as given."""
        return replace(self, flip=flip)

    def window(self, xyxy_view: Sequence[float], factor: float) -> 'Chip':
        """A window in this view as a chip of the original image.

        Args:
            xyxy_view: Window in view pixels; it is rounded outwards to whole original pixels.
            factor: Further magnification, relative to this view.
        """
        corners = self.boxes_to_image(np.asarray(xyxy_view, dtype=np.float64)[None])[0]
        x1, y1, x2, y2 = self.xyxy
        # A window is looked for inside this chip, in the original's pixels.
        local = (corners[0] - x1, corners[1] - y1, corners[2] - x1, corners[3] - y1)
        inner = Chip.from_window(local, self.factor * factor, self.wh)
        a, b, c, d = inner.xyxy
        return Chip((a + x1, b + y1, c + x1, d + y1), inner.size_wh, self.flip)

    # Boxes and points, either way.

    def boxes_to_view(self, boxes_xyxy):
        """Map (N, 4) boxes from the original image to the view; nothing is clipped."""
        fx, fy = self.factors
        x1, y1 = self.xyxy[:2]
        boxes = (boxes_xyxy - _like((x1, y1, x1, y1), boxes_xyxy)) * _like((fx, fy, fx, fy), boxes_xyxy)
        return self._flip_boxes(boxes, self.size_wh[0])

    def boxes_to_image(self, boxes_xyxy):
        """Map (N, 4) boxes from the view to the original image; the inverse of ``boxes_to_view``."""
        fx, fy = self.factors
        return self.rescaled_boxes_to_image(boxes_xyxy / _like((fx, fy, fx, fy), boxes_xyxy))

    def rescaled_boxes_to_image(self, boxes_xyxy):
        """Map boxes that are in original pixels already, but still flipped and relative to the chip's corner.

        This is what an MMDetection detector returns for a view: it divides by ``scale_factor`` itself.
        """
        x1, y1 = self.xyxy[:2]
        return self._flip_boxes(boxes_xyxy, self.wh[0]) + _like((x1, y1, x1, y1), boxes_xyxy)

    def _flip_boxes(self, boxes_xyxy, width: float):
        if not self.flip:
            return boxes_xyxy
        flipped = _copy(boxes_xyxy)
        flipped[..., 0] = width - boxes_xyxy[..., 2]
        flipped[..., 2] = width - boxes_xyxy[..., 0]
        return flipped

    def points_to_view(self, points_xy):
        """Map (..., 2) points from the original image to the view."""
        points = (points_xy - _like(self.xyxy[:2], points_xy)) * _like(self.factors, points_xy)
        return self._flip_points(points, self.size_wh[0])

    def points_to_image(self, points_xy):
        """Map (..., 2) points from the view to the original image; the inverse of ``points_to_view``."""
        return self.rescaled_points_to_image(points_xy / _like(self.factors, points_xy))

    def rescaled_points_to_image(self, points_xy):
        """Map points that are in original pixels already, but still flipped and relative to the chip's corner."""
        return self._flip_points(points_xy, self.wh[0]) + _like(self.xyxy[:2], points_xy)

    def _flip_points(self, points_xy, width: float):
        if not self.flip:
            return points_xy
        flipped = _copy(points_xy)
        flipped[..., 0] = width - points_xy[..., 0]
        return flipped

    def keypoints_to_view(self, keypoints, flip_indices: Sequence[int] | None = None):
        """Map (N, K, 2 or more) keypoints to the view; columns after x and y travel along.

        Args:
            keypoints: x, y and whatever follows (visibility, score), in original pixels.
            flip_indices: For each keypoint the one that takes its place in a mirrored person (left and right swap).
                Needed when the chip flips.
        """
        return self._map_keypoints(keypoints, self.points_to_view, flip_indices)

    def keypoints_to_image(self, keypoints, flip_indices: Sequence[int] | None = None):
        """Map (N, K, 2 or more) keypoints back to the original image; the inverse of ``keypoints_to_view``."""
        return self._map_keypoints(keypoints, self.points_to_image, flip_indices)

    def rescaled_keypoints_to_image(self, keypoints, flip_indices: Sequence[int] | None = None):
        """Map keypoints that are in original pixels already; see ``rescaled_boxes_to_image``."""
        return self._map_keypoints(keypoints, self.rescaled_points_to_image, flip_indices)

    def _map_keypoints(self, keypoints, mapping, flip_indices):
        mapped = _copy(_floating(keypoints))
        mapped[..., :2] = mapping(keypoints[..., :2])
        if not self.flip:
            return mapped
        num_keypoints = keypoints.shape[-2]
        if flip_indices is None or sorted(flip_indices) != list(range(num_keypoints)):
            raise ValueError(
                f'a flipped chip needs flip_indices, a permutation of the {num_keypoints} keypoints, got {flip_indices}'
            )
        return mapped[..., list(flip_indices), :]

    # Which objects the chip shows.

    def encloses(self, boxes_xyxy):
        """Tell which (N, 4) boxes of the original image lie wholly in the chip, borders included."""
        x1, y1, x2, y2 = self.xyxy
        return (
            (boxes_xyxy[..., 0] >= x1)
            & (boxes_xyxy[..., 1] >= y1)
            & (boxes_xyxy[..., 2] <= x2)
            & (boxes_xyxy[..., 3] <= y2)
        )

    def overlaps(self, boxes_xyxy):
        """Tell which (N, 4) boxes of the original image share some area with the chip."""
        x1, y1, x2, y2 = self.xyxy
        return (
            (boxes_xyxy[..., 0] < x2)
            & (boxes_xyxy[..., 2] > x1)
            & (boxes_xyxy[..., 1] < y2)
            & (boxes_xyxy[..., 3] > y1)
        )


def clip_boxes(boxes_xyxy, image_wh: tuple[int, int]):
    """Clip (N, 4) boxes to a picture of ``image_wh``; a box outside it collapses onto the border."""
    width, height = image_wh
    if isinstance(boxes_xyxy, np.ndarray):
        # np.clip itself takes longer than these two on the boxes of an image.
        return np.minimum(np.maximum(boxes_xyxy, 0), _like((width, height, width, height), boxes_xyxy))
    return boxes_xyxy.clamp(min=0).minimum(_like((width, height, width, height), boxes_xyxy))
