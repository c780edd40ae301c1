"""One picture of an image's chips: the original with all chips on it, and each chip as the network sees it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from mmisn.structures import Chip, ScaleRange, clip_boxes, crop_resample, scales_of_boxes

from .object_states import CROWD, NOT_ENCLOSED, OUT_OF_RANGE, STATES, TRAINED, count_states

STATE_COLORS = {TRAINED: '#1fd655', OUT_OF_RANGE: '#ff2d2d', NOT_ENCLOSED: '#ff9f0a', CROWD: '#a8a8a8'}
LEVEL_COLORS = ('#2b8cff', '#c05cff', '#00c2d1', '#ff4fb8', '#d3a200', '#8f7a66', '#5b6cff', '#00a27a')

# Layout in pixels of the picture; the text's size does not depend on the image's.
DPI = 100
PAGE_WIDTH = 1600
MARGIN = 24
GAP = 14
SIDE_WIDTH = 500
ORIGINAL_HEIGHT = 820
PANEL_SIDE = 370
MAX_ZOOM = 6.0
TITLE_HEIGHT = 34
LEVEL_HEIGHT = 46
LEVEL_WIDTH = 340  # of its heading
CAPTION_HEIGHT = 20
MIN_PANEL = 100  # room for its caption
LINE_HEIGHT = 22
LINE_WIDTH = 1.5  # points, two pixels
# A box narrower than this on the page has no room for a number.
MIN_LABELLED = 34
# Half the side of the smallest cross.
MIN_CROSS = 12


@dataclass(frozen=True)
class ChipView:
    """A chip and what it makes of the image's objects.

    Attributes:
        number: The chip's number in the dataset.
        level: Index of its level.
        chip: The chip.
        scale_range: Range in view pixels.
        states: (N,) of ``object_states``.
        negative: Whether it is a negative chip, planned around false proposals.
    """

    number: int
    level: int
    chip: Chip
    scale_range: ScaleRange
    states: np.ndarray
    negative: bool = False


def draw_chips(
    image_rgb: np.ndarray,
    boxes_xyxy: np.ndarray,
    best: np.ndarray,
    views: Sequence[ChipView],
    level_names: Sequence[str],
    title: str = '',
    panels_per_level: int = 12,
) -> Figure:
    """Draw an image's chips.

    Args:
        image_rgb: (H, W, 3) uint8 original image.
        boxes_xyxy: (N, 4) boxes in original pixels.
        best: (N,) of ``best_states``.
        views: The image's chips.
        level_names: One per level of the generator.
        title: Heading.
        panels_per_level: Further chips of a level are on the original only; their number is written.

    Returns:
        A figure of 100 dpi.
    """
    height, width = image_rgb.shape[:2]
    zoom = min(MAX_ZOOM, (PAGE_WIDTH - 2 * MARGIN - SIDE_WIDTH) / width, ORIGINAL_HEIGHT / height)
    top_height = max(int(height * zoom), (16 + len(level_names)) * LINE_HEIGHT)
    panels, page_height = _place_panels(views, len(level_names), panels_per_level, MARGIN + TITLE_HEIGHT + top_height)
    page = _Page(page_height)
    page.text(MARGIN, MARGIN, title, size=15, weight='bold')
    top = MARGIN + TITLE_HEIGHT
    axes = page.image(image_rgb, (MARGIN, top, int(width * zoom), int(height * zoom)), (width, height))
    _draw_original(axes, boxes_xyxy, best, views)
    _draw_side(page, MARGIN + int(width * zoom) + 2 * GAP, top, best, views, level_names)
    for level, (x, y), shown in panels:
        heading = _level_heading([v for v in views if v.level == level], level_names[level], len(shown))
        for line, size in zip(heading, (12, 10)):
            page.text(x, y, line, size, _level_color(level), 'bold' if size == 12 else 'normal')
            y += LINE_HEIGHT
        for rect, view in shown:
            _draw_panel(page, image_rgb, boxes_xyxy, rect, view)
    return page.figure


class _Page:
    """A figure addressed in pixels from its top left corner."""

    def __init__(self, height: int) -> None:
        self.height = height
        self.figure = Figure(figsize=(PAGE_WIDTH / DPI, height / DPI), dpi=DPI, facecolor='white')
        FigureCanvasAgg(self.figure)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: float = 11,
        color: str = 'black',
        weight: str = 'normal',
        ha: str = 'left',
    ) -> None:
        """Write text whose top is at ``y`` and whose left (or ``ha``) side is at ``x``."""
        style = dict(size=size, color=color, weight=weight, va='top', ha=ha)
        self.figure.text(x / PAGE_WIDTH, 1 - y / self.height, text, **style)

    def line(self, x: float, y: float, length: float, **style) -> None:
        ends = [x / PAGE_WIDTH, (x + length) / PAGE_WIDTH]
        self.figure.add_artist(Line2D(ends, [1 - y / self.height] * 2, **style))

    def image(self, image_rgb: np.ndarray, rect_xywh: tuple[int, int, int, int], wh: tuple[int, int]) -> Axes:
        """Show an image in a rectangle of the page, with coordinates in the image's own pixels."""
        x, y, w, h = rect_xywh
        axes = self.figure.add_axes([x / PAGE_WIDTH, 1 - (y + h) / self.height, w / PAGE_WIDTH, h / self.height])
        axes.imshow(image_rgb, extent=(0, wh[0], wh[1], 0), aspect='auto')
        axes.set(xlim=(0, wh[0]), ylim=(wh[1], 0), xticks=[], yticks=[])
        return axes


def _place_panels(views: Sequence[ChipView], num_levels: int, panels_per_level: int, y: int):
    """Lay the panels out in rows, all at one zoom; a level that fits beside the one before is put there.

    Returns:
        Per level with chips: level, (x, y) of its heading and [((x, y, w, h), view)], in pixels; and the page's height.
    """
    longest = max((max(v.chip.size_wh) for v in views), default=1)
    zoom = min(MAX_ZOOM, PANEL_SIDE / longest)
    panels, left, bottom = [], MARGIN, y
    for level in range(num_levels):
        of_level = [v for v in views if v.level == level]
        if not of_level:
            continue
        sizes = [tuple(max(1, round(s * zoom)) for s in v.chip.size_wh) for v in of_level[:panels_per_level]]
        width = max(LEVEL_WIDTH, sum(max(w, MIN_PANEL) + GAP for w, _ in sizes))
        if left > MARGIN and left + width > PAGE_WIDTH - MARGIN:
            left, y = MARGIN, bottom
        places, height = _flow(sizes, left, y + 2 * GAP + LEVEL_HEIGHT)
        panels.append((level, (left, y + 2 * GAP), list(zip(places, of_level))))
        bottom = max(bottom, y + 2 * GAP + LEVEL_HEIGHT + height)
        left += width + GAP
    return panels, bottom + MARGIN


def _flow(sizes: Sequence[tuple[int, int]], left: int, top: int) -> tuple[list[tuple[int, int, int, int]], int]:
    """Set panels of the given sizes like words: (x, y, w, h) of each, and the height of all."""
    x, y, row_height, places = left, top, 0, []
    for w, h in sizes:
        if x > left and x + w > PAGE_WIDTH - MARGIN:
            x, y, row_height = left, y + row_height + GAP, 0
        places.append((x, y + CAPTION_HEIGHT, w, h))
        x += max(w, MIN_PANEL) + GAP
        row_height = max(row_height, h + CAPTION_HEIGHT)
    return places, y + row_height - top


def _level_color(level: int) -> str:
    return LEVEL_COLORS[level % len(LEVEL_COLORS)]


def _chip_line(view: ChipView) -> tuple[int, tuple[int, int]]:
    """Dashes for a positive chip, dots for a negative one."""
    return 0, (1, 2) if view.negative else (6, 3)


def _level_heading(of_level: Sequence[ChipView], name: str, num_shown: int) -> tuple[str, str]:
    sizes = sorted({v.chip.size_wh for v in of_level})
    spelled = ', '.join(f'{w}x{h}' for w, h in sizes)
    scale_range = of_level[0].scale_range
    more = len(of_level) - num_shown
    first = f'level {name}:  {len(of_level)} chip{"s" * (len(of_level) > 1)} of {spelled} px'
    second = f'trained on [{scale_range.lower:g}, {scale_range.upper:g}] px as seen'
    return first, second + (f';  {more} more chips not shown on their own' if more else '')


def _box(axes: Axes, box, color: str, linestyle: str = '-', width: float = LINE_WIDTH, **style) -> None:
    x1, y1, x2, y2 = box
    axes.add_patch(
        Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=color, lw=width, ls=linestyle, snap=True, **style)
    )


def _tag(axes: Axes, x: float, y: float, text: str, background: str, size: float, **align) -> None:
    style = dict(facecolor=background, alpha=0.7, pad=1, linewidth=0)
    axes.text(x, y, text, color='white', size=size, bbox=style, clip_on=True, va='top', **align)


def _draw_original(axes: Axes, boxes_xyxy: np.ndarray, best: np.ndarray, views: Sequence[ChipView]) -> None:
    for view in views:
        _box(axes, view.chip.xyxy, _level_color(view.level), _chip_line(view), zorder=2)
    for state in reversed(STATES):
        for x1, y1, x2, y2 in boxes_xyxy[best == state]:
            _box(axes, (x1, y1, x2, y2), STATE_COLORS[state], zorder=3)
            if state in (OUT_OF_RANGE, NOT_ENCLOSED):
                _cross_out(axes, ((x1 + x2) / 2, (y1 + y2) / 2), ((x2 - x1) / 2, (y2 - y1) / 2), STATE_COLORS[state])
    for view in views:
        x1, y1, _, _ = view.chip.xyxy
        _tag(axes, x1, y1, str(view.number), _level_color(view.level), 9, ha='left', zorder=4)


def _cross_out(axes: Axes, center: tuple[float, float], half_wh: tuple[float, float], color: str) -> None:
    """Draw a box's diagonals, those of a tiny box long enough to be found."""
    (x, y), pixel = center, 1 / axes.transData.get_matrix()[0, 0]
    half_w, half_h = (max(half, MIN_CROSS * pixel) for half in half_wh)
    for slope in (1, -1):
        axes.plot((x - half_w, x + half_w), (y - slope * half_h, y + slope * half_h), color=color, lw=1, zorder=3)


def _draw_panel(page: _Page, image_rgb: np.ndarray, boxes_xyxy: np.ndarray, rect, view: ChipView) -> None:
    chip = view.chip
    caption = f'{view.number}' + ('  negative' if view.negative else '') + ('  flipped' if chip.flip else '')
    page.text(rect[0], rect[1] - CAPTION_HEIGHT + 2, caption, 10, _level_color(view.level), 'bold')
    axes = page.image(crop_resample(image_rgb, chip), rect, chip.size_wh)
    for spine in axes.spines.values():
        spine.set(
            color=_level_color(view.level), linewidth=LINE_WIDTH, linestyle=_chip_line(view) if view.negative else '-'
        )
    view_boxes = chip.boxes_to_view(boxes_xyxy)
    scales = scales_of_boxes(view_boxes)
    shown = clip_boxes(view_boxes, chip.size_wh)
    zoom = rect[2] / chip.size_wh[0]
    for state in reversed(STATES):
        for i in np.flatnonzero(view.states == state):
            _box(axes, shown[i], STATE_COLORS[state])
            if (shown[i, 2] - shown[i, 0]) * zoom >= MIN_LABELLED:
                _tag(axes, shown[i, 2], shown[i, 1], f'{scales[i]:.0f}', 'black', 7, ha='right')


def _draw_side(
    page: _Page, x: int, y: int, best: np.ndarray, views: Sequence[ChipView], level_names: Sequence[str]
) -> None:
    """The legend and two small tables of counts."""
    page.text(x, y, 'Objects', 12, weight='bold')
    words = {
        TRAINED: 'trained by some chip',
        OUT_OF_RANGE: 'out of range of every level',
        NOT_ENCLOSED: 'in range, but whole in no chip',
        CROWD: 'crowd, always ignored',
    }
    for state, text in words.items():
        y += LINE_HEIGHT
        page.line(x, y + 8, 34, color=STATE_COLORS[state], lw=3)
        page.text(x + 46, y, text)
        page.text(x + 380, y, str(int((best == state).sum())), ha='right')
    y += 2 * LINE_HEIGHT
    page.text(x, y, 'Chips and the objects they show', 12, weight='bold')
    counts = count_states([v.states for v in views], [v.level for v in views], len(level_names))
    columns = (x + 130, x + 205, x + 306, x + 414, x + 470)
    y += LINE_HEIGHT
    for column, text in zip(columns, ('chips', *STATES)):
        page.text(column, y, text, 10, 'dimgray', ha='right')
    for level, name in enumerate(level_names):
        y += LINE_HEIGHT
        page.line(x, y + 8, 12, color=_level_color(level), lw=3)
        page.text(x + 18, y, name, 10, weight='bold')
        for column, count in zip(columns, (sum(v.level == level for v in views), *counts[level])):
            page.text(column, y, str(count), 10, ha='right')
    negative = sum(v.negative for v in views)
    notes = (
        'Dashed: chips, numbered as in the data set.',
        *([f'Dotted: {negative} negative chips, around false proposals.'] if negative else []),
        'Crossed out on the original: no chip trains the object.',
        'Number at a box: its scale sqrt(w h) as the network sees it, px.',
        'Red, orange and grey objects are ignored:',
        'they are neither object nor background.',
    )
    for i, note in enumerate(notes):
        page.text(x, y + (2 + i) * LINE_HEIGHT, note, 10, 'dimgray')
