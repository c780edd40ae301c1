"""Averages of masks of overlapping boxes: which take part, and where."""

import numpy as np
import pytest
import torch
from mmdet.models.roi_heads.mask_heads.fcn_mask_head import _do_paste_mask
from mmengine.structures import InstanceData

from mmisn.models.test_time_augs import MaskRequest, MaskStore, StoredMasks, average_masks_of_views
from mmisn.models.test_time_augs.mask_average import resample_masks
from mmisn.structures import Chip, ScaleRange, ViewFilter

IMAGE_WH = (100, 80)
NONE = StoredMasks(torch.zeros(0, 4), torch.zeros(0, dtype=torch.long), torch.zeros(0, 0, 0))


def stored(*rows):
    """Masks of constant probability: rows of box, label, probability."""
    boxes, labels, values = zip(*rows)
    probs = torch.tensor(values)[:, None, None].expand(-1, 4, 4).clone()
    return StoredMasks(torch.tensor(boxes, dtype=torch.float32), torch.tensor(labels), probs)


def average(box, own, views, filters=None, label=0, view=0):
    merged = InstanceData(
        bboxes=torch.tensor([box], dtype=torch.float32), labels=torch.tensor([label]), view_ids=torch.tensor([view])
    )
    probs = torch.full((1, 4, 4), own)
    chips = [Chip.full(IMAGE_WH, (200, 160))] * len(views)
    filters = filters or [ViewFilter()] * len(views)
    before = probs.clone()
    result = average_masks_of_views(probs, merged, views, chips, filters, IMAGE_WH)
    assert torch.equal(probs, before)
    return result[0].numpy()


BOX = [20.0, 20, 60, 60]


def test_all_views_count_alike():
    views = [stored((BOX, 0, 0.1)), stored((BOX, 0, 0.4)), NONE, stored((BOX, 0, 0.9))]
    # Its own view counts once, by the mask that the box came with.
    np.testing.assert_allclose(average(BOX, 0.2, views), np.full((4, 4), (0.2 + 0.4 + 0.9) / 3), rtol=1e-6)
    np.testing.assert_allclose(average(BOX, 0.2, views, view=3), np.full((4, 4), (0.2 + 0.1 + 0.4) / 3), rtol=1e-6)


@pytest.mark.parametrize(
    ('rows', 'expected'),
    [
        ([(BOX, 1, 1.0)], 0.2),  # another class
        ([([20.0, 20, 60, 39], 0, 1.0)], 0.2),  # IoU 0.475
        ([(BOX, 1, 1.0), ([20.0, 20, 60, 59], 0, 0.4), ([20.0, 20, 60, 60], 0, 0.6)], 0.4),  # the best of its class
    ],
)
def test_masks_of_other_objects_take_no_part(rows, expected):
    np.testing.assert_allclose(average(BOX, 0.2, [NONE, stored(*rows)]), np.full((4, 4), expected), rtol=1e-6)


def test_views_whose_range_does_not_hold_the_box_take_no_part():
    # 40 px in the image, 80 px in the views.
    views = [NONE, stored((BOX, 0, 0.8)), stored((BOX, 0, 0.5))]
    for scale_range, expected in ((ScaleRange(80, 90), 0.5), (ScaleRange(40, 79), 0.35), (ScaleRange(0, 81), 0.5)):
        filters = [ViewFilter(), ViewFilter(scale_range), ViewFilter()]
        np.testing.assert_allclose(average(BOX, 0.2, views, filters), np.full((4, 4), expected), rtol=1e-6)


def test_outside_of_its_box_a_mask_says_nothing():
    # Bins of BOX are 10 px wide, their centres at 25, 35, 45 and 55; the other box ends at 50.
    views = [NONE, stored(([20.0, 20, 50, 60], 0, 0.8))]
    expected = np.tile([0.5, 0.5, 0.5, 0.2], (4, 1))
    np.testing.assert_allclose(average(BOX, 0.2, views), expected, rtol=1e-6)


def test_resampling_agrees_with_pasting():
    """Bins that are whole pixels: what mmdet pastes there is what is read there."""
    generator = torch.Generator().manual_seed(0)
    probs = torch.rand(3, 28, 28, generator=generator)
    boxes = torch.tensor([[10.0, 5, 66, 61], [3.5, 8.25, 70, 50], [12.0, 12, 40, 40]])
    target = torch.tensor([[12.0, 12, 40, 40]]).expand(3, 4)
    seen, inside = resample_masks(probs, boxes, target)
    pasted = _do_paste_mask(probs[:, None], boxes, 80, 100, skip_empty=False)[0][:, 12:40, 12:40]
    assert inside.all()
    torch.testing.assert_close(seen[:2], pasted[:2], rtol=0, atol=1e-5)
    torch.testing.assert_close(seen[2], probs[2], rtol=0, atol=1e-5)


def test_store():
    store = MaskStore()
    chip = Chip.full(IMAGE_WH, flip=True)
    request = MaskRequest(image=1, view=2, chip=chip, view_filter=ViewFilter())
    probs = torch.rand(3, 4, 4)
    boxes, labels = torch.rand(3, 4), torch.tensor([2, 0, 1])
    assert store.add(request, boxes[:0], labels[:0], []).tolist() == []
    assert len(store.masks_of(1, 2).labels) == store.num_bytes == 0
    assert store.add(request, boxes[:2], labels[:2], [probs[:1], probs[1:2]]).tolist() == [0, 1]
    assert store.add(request, boxes[2:], labels[2:], [probs[2:]]).tolist() == [2]
    found = store.masks_of(1, 2)
    assert torch.equal(found.probs, probs.flip(-1)) and torch.equal(found.boxes_xyxy, boxes)
    assert found.labels.tolist() == [2, 0, 1] and len(store.masks_of(2, 1).labels) == 0
    assert store.num_bytes == 3 * 16 * 4
