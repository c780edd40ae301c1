"""One scene: objects with masks, boxes and keypoints on a background."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from .backgrounds import make_background
from .config import SceneConfig
from .drawing import Drawing, overlap, paint, render, supersampling
from .objects import draw_rigid
from .person import draw_person

SPLITS = ('train', 'val')
_NUM_DRAWINGS = 6  # Drawings tried for one object, ...
_NUM_PLACES = 12  # ... and places tried for each.


@dataclass
class SceneObject:
    """One object of a scene.

    Args:
        name: Its class.
        scale_px: sqrt(w * h) of the whole drawing's box, pixels.
        whole_area: Pixels of the whole mask, the parts that are covered or outside of the picture included.
        mask: (H, W) bool, the visible part.
        keypoints: (17, 3) float64, x, y in pixels and COCO's v, for persons, else None.
    """

    name: str
    scale_px: float
    whole_area: int
    mask: np.ndarray
    keypoints: np.ndarray | None = None

    @property
    def visible(self) -> float:
        """Visible part of the mask's area."""
        return float(self.mask.sum() / self.whole_area)

    def box_xywh(self) -> np.ndarray:
        """Tight box (4,) float64 of the visible mask."""
        ys, xs = np.flatnonzero(self.mask.any(1)), np.flatnonzero(self.mask.any(0))
        return np.array([xs[0], ys[0], xs[-1] - xs[0] + 1, ys[-1] - ys[0] + 1], float)


@dataclass
class Scene:
    """A picture (H, W, 3) uint8 in B, G, R, its objects, and the classes and scales that found no place."""

    image: np.ndarray
    objects: list[SceneObject]
    unplaced: list[tuple[str, float]] = field(default_factory=list)

    def num_unplaced(self) -> Counter:
        """Objects without a place per class."""
        return Counter(name for name, _ in self.unplaced)


def draw_scales(num: int, scale_px: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """Log-uniform scales (num,), largest first.

    One is drawn from each of ``num`` equal parts of the logarithmic range: every one is log-uniform as seen over many
    pictures, and no picture has to hold several huge objects.
    """
    position = (np.arange(num)[::-1] + rng.random(num)) / max(num, 1)
    low, high = np.log(scale_px)
    return np.exp(low + position * (high - low))


def _draw(name: str, rng: np.random.Generator) -> Drawing:
    return draw_person(rng) if name == 'person' else draw_rigid(name, rng)


def _random_place(
    size_wh: tuple[int, int], config: SceneConfig, may_leave: bool, rng: np.random.Generator
) -> tuple[int, int]:
    """Whole-pixel place (x, y) of a picture: inside the image where it fits, unless it may leave."""
    place = []
    for size, side in zip(size_wh, config.image_wh):
        low, high = sorted((0, side - size))
        slack = round(size * 0.4) if may_leave else 0
        place.append(int(rng.integers(low - slack, high + slack + 1)))
    return place[0], place[1]


def _fits(piece: np.ndarray, place: tuple[int, int], objects: list[SceneObject], config: SceneConfig) -> bool:
    """Whether a mask (h, w) at ``place`` is visible enough, and leaves all earlier objects visible enough."""
    rows, cols, inside = overlap(config.image_wh[::-1], piece.shape, place)
    cut = piece[inside]
    if not cut.any() or cut.sum() < config.min_visible * piece.sum():
        return False
    for other in objects:
        left = other.mask.sum() - np.count_nonzero(other.mask[rows, cols] & cut)
        if left < config.min_visible * other.whole_area:
            return False
    return True


def _keypoints(drawing: Drawing, shift: np.ndarray, image_wh: tuple[int, int]) -> np.ndarray | None:
    """(17, 3) x, y, v: 2 seen, 1 behind the own body, 0 (and x = y = 0) outside of the picture."""
    if drawing.keypoints is None:
        return None
    points = drawing.keypoints + shift
    inside = np.all((points >= 0) & (points < image_wh), axis=1)
    flags = np.where(drawing.hidden, 1, 2) * inside
    return np.column_stack([points * inside[:, None], flags])


def _cover(objects: list[SceneObject], mask: np.ndarray) -> None:
    """Take ``mask`` (H, W) from the earlier objects; keypoints below it are no longer seen."""
    for other in objects:
        other.mask &= ~mask
        if other.keypoints is not None:
            x, y = other.keypoints[:, :2].astype(int).T
            other.keypoints[(other.keypoints[:, 2] == 2) & mask[y, x], 2] = 1


def _place_object(
    name: str,
    scale: float,
    image: np.ndarray,
    objects: list[SceneObject],
    config: SceneConfig,
    rng: np.random.Generator,
) -> bool:
    """Paint one object over the scene and add it to ``objects``, or return False when no place is found."""
    may_leave = rng.random() < config.truncate_prob
    for _ in range(_NUM_DRAWINGS):
        drawing = _draw(name, rng).scaled_to(scale)
        drawing = drawing.transformed(np.eye(2), rng.random(2))
        picture, corner = render(drawing, supersampling(scale))
        piece = picture[..., 3] >= 0.5
        for _ in range(_NUM_PLACES):
            place = _random_place(piece.shape[::-1], config, may_leave, rng)
            if not _fits(piece, place, objects, config):
                continue
            paint(image, picture, place)
            mask = np.zeros(image.shape[:2], bool)
            rows, cols, inside = overlap(mask.shape, piece.shape, place)
            mask[rows, cols] = piece[inside]
            _cover(objects, mask)
            keypoints = _keypoints(drawing, np.subtract(place, corner), config.image_wh)
            objects.append(SceneObject(name, float(scale), int(piece.sum()), mask, keypoints))
            return True
    return False


def make_scene(config: SceneConfig, split: str, index: int) -> Scene:
    """Draw one picture; it depends on nothing but the arguments.

    Objects are painted from large to small, so that a small one is never behind a large one.

    Args:
        config: What to draw.
        split: ``train`` or ``val``.
        index: Number of the picture in its split, from 0.

    Raises:
        ValueError: If the split is unknown or the index negative.
    """
    if split not in SPLITS or index < 0:
        raise ValueError(f'a scene has a split of {SPLITS} and an index >= 0, got {split!r} and {index!r}')
    rng = np.random.default_rng((config.seed, SPLITS.index(split), index))
    image = make_background(config, rng)
    num = int(rng.integers(config.objects_per_image[0], config.objects_per_image[1] + 1))
    names = [config.classes[i] for i in rng.integers(len(config.classes), size=num)]
    objects: list[SceneObject] = []
    unplaced = []
    for name, scale in zip(names, draw_scales(num, config.scale_px, rng).tolist()):
        if not _place_object(name, scale, image, objects, config, rng):
            unplaced.append((name, scale))
    return Scene(_expose(image, config, rng), objects, unplaced)


def _expose(image: np.ndarray, config: SceneConfig, rng: np.random.Generator) -> np.ndarray:
    """Random exposure and grey noise; (H, W, 3) float32, changed in place, to uint8."""
    noise = rng.standard_normal(image.shape[:2], np.float32) * np.float32(rng.uniform(*config.noise_sigma))
    image *= np.float32(rng.uniform(0.75, 1.15))
    image += noise[..., None] + np.float32(0.5)
    return np.clip(image, 0, 255, out=image).astype(np.uint8)
