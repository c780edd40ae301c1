"""Windows that ScaleNet finds out of range, rescaled and looked at again (ScaleNet, Algorithm 1)."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from mmdet.registry import TASK_UTILS

from mmisn.structures import Chip

from .levels import Level, build_level, check_image_wh, is_whole, level_factor, level_size
from .pixel_rules import PixelRule, build_pixel_rule, check_scale_maps
from .windows import Window, check_window, densest_window, window_chip, without_enclosed

Predict = Callable[[Sequence[Chip]], Sequence[np.ndarray]]

# Default of a window's side, as a share of the short side of the whole image's view.
WINDOW_SHARE = 0.75
# Of thin pictures: less than this shows a detector too little of what is around an object.
MIN_WINDOW = 64
# The default margin, as a share of the window, and how many times a filter's edge margin it is at least.
MARGIN_SHARE = 0.08
MARGIN_OF_EDGE = 4


@dataclass(frozen=True)
class WindowSettings:
    """How out-of-range pixels become windows.

    Args:
        rule: Which pixels are out of range and by what a window is rescaled.
        size: Side of a window, the paper's W, in pixels of the view that it lies in.
        margin: See ``densest_window``; in the same pixels.
        min_pixels: Windows with fewer pixels out of range are not looked into; pixels of the scale map.
        max_factor: A window is multiplied, or divided, by at most this at once.
        share_visited: Windows of one round share what they have visited, so that no region is computed twice at one
            scale: a pixel that another window of the round has visited leaves the set, a window looks for pixels in its
            own inner part alone, and a window that another at the same scale encloses is left out. ``False`` is the
            paper's: each subimage is searched as if it were alone.
        final_only: Return the paper's ``I^r``, the subimages that need no rescaling any more, and no others. By default
            the whole image and every window are returned: an image with small objects has others, too.
    """

    rule: PixelRule
    size: int
    margin: int = 0
    min_pixels: int = 1
    max_factor: float = 4.0
    share_visited: bool = True
    final_only: bool = False


@dataclass(frozen=True)
class _Subimage:
    """A view, and the part of the image in which its pixels count (original px)."""

    chip: Chip
    own_xyxy: tuple[float, float, float, float]


def default_window(image_wh: tuple[int, int], level: Level) -> int:
    """Three quarters of a level's short side; the paper does not state W for photographs.

    Larger windows cut fewer objects and show more around them, smaller ones cost less: on synthetic scenes three
    quarters found more small objects than a half (``configs/scalenet/README.md``).

    Args:
        image_wh: Width and height of the image.
        level: A size ``(long, short)``, or a factor, whose short side is that of the image's view.

    Returns:
        Side of a window in pixels of the view of the whole image, at least ``MIN_WINDOW``.
    """
    short = level[1] if isinstance(level, tuple) else min(level_size(image_wh, level))
    return max(MIN_WINDOW, round(WINDOW_SHARE * short))


def default_margin(window: int, edge_margin: float = 0.0) -> int:
    """A margin (see ``densest_window``) that a filter of windows leaves something of.

    An object that just spans a window's edge must not count as visited, since the filter drops its box: the margin is
    8 % of the window, and at least four times what the filter drops, but at most a quarter of the window.

    Args:
        window: Side of a window, pixels of the view that it lies in.
        edge_margin: Of the ``ViewFilter`` of windows, pixels of the window's own view.
    """
    wanted = max(round(MARGIN_SHARE * window), math.ceil(MARGIN_OF_EDGE * edge_margin))
    return min(wanted, (window - 1) // 4)


def recursive_views(
    image_wh: tuple[int, int],
    predict: Predict,
    settings: WindowSettings,
    level: Level = 1.0,
    look: Level | None = None,
    max_rescales: int = 2,
) -> list[Chip]:
    """The subimages of Algorithm 1.

    Args:
        image_wh: Width and height of the image.
        predict: From chips of the image to their scale maps, each of its chip's size.
        settings: How windows are chosen.
        level: Of the view of the whole image, the paper's I.
        look: Level at which ScaleNet looks at the whole image; it looks at windows at the same ratio. ``None`` for the
            views themselves, as in the paper.
        max_rescales: A region is rescaled so often at most; 0 never calls ``predict``.

    Returns:
        Chips: the whole image first, then windows, round by round. With ``final_only`` the paper's ``I^r``.

    Raises:
        ValueError: If a scale map is bad.
    """
    image_wh = check_image_wh(image_wh)
    whole = Chip.full(image_wh, level_size(image_wh, level))
    ratio = 1.0 if look is None else level_factor(image_wh, look) / level_factor(image_wh, level)
    todo, final, seen = [_Subimage(whole, whole.xyxy)], [], [whole]
    for _ in range(max_rescales):
        looks = [_resized(s.chip, ratio) for s in todo]
        maps = check_scale_maps(predict(looks), [c.size_wh for c in looks]) if looks else []
        rescaled = []
        visited = ([], [])
        for subimage, look_chip, scale_map in zip(todo, looks, maps):
            windows = _windows_of(subimage, look_chip, ratio, scale_map, settings, visited)
            if not windows:
                final.append(subimage.chip)
            final.extend(s.chip for s, further in windows if not further)
            rescaled.extend(s for s, further in windows if further)
        todo = rescaled
        seen.extend(s.chip for s in todo)
    views = [*final, *(s.chip for s in todo)] if settings.final_only else seen
    return without_enclosed(views) if settings.share_visited else views


def _resized(chip: Chip, ratio: float) -> Chip:
    """The view in which ScaleNet looks at a chip."""
    return replace(chip, size_wh=tuple(max(1, round(side * ratio)) for side in chip.size_wh))


def _windows_of(
    subimage: _Subimage,
    look: Chip,
    ratio: float,
    scale_map: np.ndarray,
    settings: WindowSettings,
    visited: tuple[list, list],
) -> list[tuple[_Subimage, bool]]:
    """Windows of a subimage, with whether they are rescaled: lines 13 to 34 of the algorithm.

    Args:
        subimage: Of the whole image or a window.
        look: The view of it that the scale map belongs to.
        ratio: Pixels of ``look`` per pixel of the subimage.
        scale_map: Of ``look``.
        settings: How windows are chosen.
        visited: Inner parts of the windows of this round, in original pixels, of small and of large objects; added to.
    """
    size = max(1, round(settings.size * ratio))
    margin = min(round(settings.margin * ratio), (size - 1) // 2)
    windows = []
    small, large = settings.rule.out_of_range(scale_map)
    # The paper's order: P_l first.
    for pixels, rectangles in ((large, visited[1]), (small, visited[0])):
        pixels = pixels.copy()
        if settings.share_visited:
            _clear_foreign(pixels, look, subimage.own_xyxy, rectangles)
        while pixels.any():
            window = densest_window(pixels, size, margin)
            if window.num_pixels < settings.min_pixels:
                break
            chip, further = _rescaled(look, window, ratio, scale_map, pixels, settings)
            own = tuple(look.boxes_to_image(np.array([window.inner_xyxy], np.float64))[0].tolist())
            windows.append((_Subimage(chip, own), further))
            rectangles.append(own)
            pixels[window.inner] = False
    return windows


def _rescaled(
    look: Chip, window: Window, ratio: float, scale_map: np.ndarray, pixels: np.ndarray, settings: WindowSettings
) -> tuple[Chip, bool]:
    """A window as a chip, and whether the rule rescales it."""
    factor = settings.rule.factor(scale_map[(..., *window.inner)], pixels[window.inner])
    bounded = 1.0 if factor is None else min(max(factor, 1 / settings.max_factor), settings.max_factor)
    return window_chip(look, window.xyxy, bounded / ratio), factor is not None


def _clear_foreign(pixels: np.ndarray, look: Chip, own_xyxy: Sequence[float], rectangles: Sequence) -> None:
    """Take pixels out of the set, in place, that are outside ``own_xyxy`` or in one of the rectangles (original px)."""
    boxes = look.boxes_to_view(np.array([own_xyxy, *rectangles], np.float64))
    # A pixel is in a rectangle if its centre is.
    spans = np.ceil(boxes - 0.5).astype(np.int64).clip(min=0)
    x1, y1, x2, y2 = spans[0]
    outside = np.ones_like(pixels)
    outside[y1:y2, x1:x2] = False
    pixels[outside] = False
    for x1, y1, x2, y2 in spans[1:]:
        pixels[y1:y2, x1:x2] = False


@TASK_UTILS.register_module()
class RecursiveChips:
    """The whole image, and windows where ScaleNet finds objects out of range, rescaled (ScaleNet, Algorithm 1).

    It ends on any scale map: every window takes at least one pixel out of a finite set, and a region is rescaled at
    most ``max_rescales`` times. It needs a scale net: ``ChipDetector(scale_net=...)``.

    Args:
        rule: Which pixels are out of range and by what a window is rescaled: ``dict(type='ClassRule', ...)``, the
            paper's for photographs, or ``dict(type='RegressionRule', ...)``.
        window: Side of a window, in pixels of the view that it lies in (the paper's W, which it does not state for
            photographs); ``None`` for ``default_window``.
        level: Of the view of the whole image: a factor or a size ``(long, short)``.
        look: Level at which ScaleNet looks at the whole image; at windows it looks at the same ratio. ``None`` for the
            views themselves.
        max_rescales: A region is rescaled so often at most; the paper's 2.
        margin: Pixels nearer to a window's border than this do not count as visited, so that an object up to that long
            is not cut by its window; 0 is the paper's, ``None`` is ``default_margin``.
        min_pixels: See ``WindowSettings``, as for the rest.
        max_factor: Bound on a single rescaling.
        share_visited: Compute no region twice at one scale.
        final_only: The paper's ``I^r`` alone.
        edge_margin: Of the filter of windows (``ChipDetector.window_filter``), for the default of ``margin``.

    Attributes:
        settings: What was given; ``size`` and ``margin`` are ``None`` where they follow from the image, see
            ``settings_of``.

    Raises:
        ValueError: If an argument is invalid.
    """

    uses_scale_net = True

    def __init__(
        self,
        rule: Any,
        window: int | None = None,
        level: Level = 1.0,
        look: Level | None = None,
        max_rescales: int = 2,
        margin: int | None = 0,
        min_pixels: int = 1,
        max_factor: float = 4.0,
        share_visited: bool = True,
        final_only: bool = False,
        edge_margin: float = 0.0,
    ) -> None:
        for name, value, least in (
            ('window', window, 1),
            ('max_rescales', max_rescales, 0),
            ('margin', margin, 0),
            ('min_pixels', min_pixels, 1),
        ):
            may_be_none = name in ('window', 'margin')
            if not (value is None and may_be_none or is_whole(value) and value >= least):
                raise ValueError(f'RecursiveChips.{name} must be an integer of at least {least}, got {value!r}')
        if not 0 <= edge_margin < math.inf:
            raise ValueError(f'RecursiveChips.edge_margin must be a number of view pixels >= 0, got {edge_margin!r}')
        self.edge_margin = float(edge_margin)
        if window is not None:
            margin = default_margin(int(window), self.edge_margin) if margin is None else margin
            check_window(window, margin)
        if not 1 < max_factor < math.inf:
            raise ValueError(f'RecursiveChips.max_factor must be finite and above 1, got {max_factor!r}')
        self.settings = WindowSettings(
            build_pixel_rule(rule),
            None if window is None else int(window),
            None if margin is None else int(margin),
            int(min_pixels),
            float(max_factor),
            bool(share_visited),
            bool(final_only),
        )
        self.level = build_level(level)
        self.look = None if look is None else build_level(look)
        self.max_rescales = int(max_rescales)

    def views(self, image_wh: tuple[int, int], predict: Predict | None = None) -> list[Chip]:
        """The views of an image; see ``recursive_views``.

        Raises:
            ValueError: If there is no ``predict``.
        """
        if predict is None:
            raise ValueError('RecursiveChips needs predict, from chips to scale maps: ChipDetector(scale_net=...)')
        settings = self.settings_of(check_image_wh(image_wh))
        return recursive_views(image_wh, predict, settings, self.level, self.look, self.max_rescales)

    def settings_of(self, image_wh: tuple[int, int]) -> WindowSettings:
        """The settings with the window and margin of an image."""
        size, margin = self.settings.size, self.settings.margin
        size = default_window(image_wh, self.level) if size is None else size
        margin = default_margin(size, self.edge_margin) if margin is None else min(margin, (size - 1) // 2)
        return replace(self.settings, size=size, margin=margin)

    def whole_view(self, image_wh: tuple[int, int]) -> Chip:
        """The view of the whole image that is not a window."""
        return Chip.full(image_wh, level_size(image_wh, self.level))

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}({self.settings}, level={self.level}, look={self.look}, '
            f'max_rescales={self.max_rescales})'
        )
