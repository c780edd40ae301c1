"""The picture of an image's chips: colours where the objects are, pixels as the network sees them."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from mmisn.structures import Chip, ScaleRange, clip_boxes
from mmisn.visualization import ChipView, best_states, draw_chips, object_states
from mmisn.visualization.chip_picture import LEVEL_COLORS, PAGE_WIDTH, STATE_COLORS

RANGE = ScaleRange(20, 100)
BLUE, YELLOW = (30, 40, 160), (230, 220, 60)
# In the chip below: trained, out of range, not enclosed, crowd.
BOXES = np.array([[30, 30, 50, 60], [60, 80, 66, 86], [85, 30, 130, 60], [20, 75, 40, 95]], float)
CROWDS = np.array([False, False, False, True])
CHIP = Chip((10, 20, 110, 120), (200, 200))


def _image(wh=(160, 140)):
    image = np.empty((wh[1], wh[0], 3), np.uint8)
    image[:, : wh[0] // 2], image[:, wh[0] // 2 :] = BLUE, YELLOW
    return image


def _view(chip, number=7, level=0, boxes=BOXES, crowds=CROWDS, negative=False):
    return ChipView(number, level, chip, RANGE, object_states(boxes, crowds, chip, RANGE), negative)


def _pixels(figure):
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3]


def _near(pixels, axes, point, color, reach=2):
    """Whether a pixel within ``reach`` of a point in the axes' own coordinates has exactly this colour."""
    x, y = axes.transData.transform(point)
    x, y = round(x), pixels.shape[0] - round(y)
    patch = pixels[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1].reshape(-1, 3)
    return (np.abs(patch.astype(int) - np.round(255 * np.array(to_rgb(color)))).max(axis=1) <= 1).any()


@pytest.mark.parametrize('flip', [False, True])
def test_boxes_and_pixels_of_a_panel(flip):
    chip = CHIP.flipped(flip)
    view = _view(chip)
    assert view.states.tolist() == ['trained', 'out of range', 'not enclosed', 'crowd']
    best = best_states([view.states], CROWDS, np.array([True, False, True, True]))
    figure = draw_chips(_image(), BOXES, best, [view], ['x2'], 'an image')
    pixels = _pixels(figure)
    assert pixels.shape[1] == PAGE_WIDTH and len(figure.axes) == 2
    panel = figure.axes[1]
    shown = clip_boxes(chip.boxes_to_view(BOXES), chip.size_wh)
    for box, state in zip(shown, view.states):
        x1, y1, x2, y2 = box
        middles = [((x1 + x2) / 2, y2), (x1, (y1 + y2) / 2), (x2, (y1 + y2) / 2)]
        inner = [(x, y) for x, y in middles if 0 < x < 200]
        for point in inner:
            assert _near(pixels, panel, point, STATE_COLORS[state]), (state, point)
        others = set(STATE_COLORS.values()) - {STATE_COLORS[state]}
        assert not any(_near(pixels, panel, inner[0], other) for other in others)
    # The image's halves part at x = 80, which is 140 of 200 in the view, or 60 if flipped.
    left, right = (YELLOW, BLUE) if flip else (BLUE, YELLOW)
    assert _near(pixels, panel, (4, 195), np.array(left) / 255, reach=0)
    assert _near(pixels, panel, (196, 195), np.array(right) / 255, reach=0)
    edge = 60 if flip else 140
    assert _near(pixels, panel, (edge - 6, 195), np.array(left) / 255, reach=0)
    assert _near(pixels, panel, (edge + 6, 195), np.array(right) / 255, reach=0)


def test_original_has_chips_and_crosses():
    view = _view(CHIP, level=1)
    best = best_states([view.states], CROWDS, np.array([True, False, True, True]))
    figure = draw_chips(_image(), BOXES, best, [view], ['x4', 'x2'])
    pixels, original = _pixels(figure), figure.axes[0]
    # Dashed: somewhere along the chip's bottom edge.
    assert any(_near(pixels, original, (x, 120), LEVEL_COLORS[1]) for x in range(60, 80))
    assert _near(pixels, original, (63, 83), STATE_COLORS['out of range'])  # centre of a crossed-out object
    assert not _near(pixels, original, (40, 45), STATE_COLORS['trained'])  # a trained one is not crossed out
    assert _near(pixels, original, (30, 50), STATE_COLORS['trained'])


def _texts(figure):
    return [t.get_text() for t in figure.texts]


def test_counts_and_left_out_panels_are_written():
    views = [_view(Chip((i, 0, i + 60, 60), (120, 120)), number=i) for i in range(5)]
    views += [_view(Chip.full((160, 140)), number=9, level=2)]
    best = np.array(['trained', 'out of range', 'not enclosed', 'crowd'], object)
    figure = draw_chips(_image(), BOXES, best, views, ['x2', 'x1', 'x0.5'], panels_per_level=3)
    assert len(figure.axes) == 1 + 3 + 1
    texts = _texts(figure)
    assert 'level x2:  5 chips of 120x120 px' in texts
    assert 'trained on [20, 100] px as seen;  2 more chips not shown on their own' in texts
    assert 'level x0.5:  1 chip of 160x140 px' in texts
    assert not any(t.startswith('level x1:') for t in texts)


def test_negative_chips_are_told_apart():
    chips = [Chip((10, 20, 110, 120), (200, 200)), Chip((40, 20, 140, 120), (200, 200), flip=True)]
    views = [_view(chips[0], 3), _view(chips[1], 8, negative=True)]
    best = np.array(['trained', 'out of range', 'not enclosed', 'crowd'], object)
    figure = draw_chips(_image(), BOXES, best, views, ['x2'])
    texts = _texts(figure)
    assert '3' in texts and '8  negative  flipped' in texts
    assert 'Dotted: 1 negative chips, around false proposals.' in texts
    # Along the bottom edge on the original: dots are denser than the dashes of a positive chip would be.
    pixels, original = _pixels(figure), figure.axes[0]
    ends = [original.transData.transform((x, 120)) for x in (112, 138)]
    row = pixels.shape[0] - round(ends[0][1])
    color = np.round(255 * np.array(to_rgb(LEVEL_COLORS[0])))
    edge = pixels[row - 2 : row + 3, round(ends[0][0]) : round(ends[1][0])].astype(int)
    drawn = (np.abs(edge - color).max(axis=-1) < 90).any(axis=0)
    dots = (np.diff(drawn.astype(int)) == 1).sum()
    assert dots > len(drawn) / 15
    assert not any('Dotted' in t for t in _texts(draw_chips(_image(), BOXES, best, views[:1], ['x2'])))


@pytest.mark.parametrize('wh', [(16, 12), (60, 900), (3000, 400), (4000, 3000)])
def test_panels_lie_on_the_page_and_do_not_overlap(wh):
    sizes = [(min(wh[0], 576), min(wh[1], 576)), (max(1, wh[0] // 8), max(1, wh[1] // 8))]
    views = [ChipView(i, i % 2, Chip((0, 0, *sizes[0]), sizes[i % 2]), RANGE, np.zeros(0, object)) for i in range(14)]
    figure = draw_chips(_image(wh), np.zeros((0, 4)), np.zeros(0, object), views, ['x1', 'x0.125'])
    boxes = [axes.get_position() for axes in figure.axes]
    assert all(b.x0 >= 0 and b.y0 >= 0 and b.x1 <= 1 and b.y1 <= 1 for b in boxes)
    for i, a in enumerate(boxes):
        for b in boxes[:i]:
            assert a.x1 <= b.x0 or b.x1 <= a.x0 or a.y1 <= b.y0 or b.y1 <= a.y0


def test_image_without_objects_and_chips():
    figure = draw_chips(_image(), np.zeros((0, 4)), np.zeros(0, object), [], ['x1'], 'empty')
    assert len(figure.axes) == 1 and 'empty' in _texts(figure)
