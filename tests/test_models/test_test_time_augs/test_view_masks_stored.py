"""Which masks are computed and stored, in what portions, and for which detectors."""

import numpy as np
import pytest
import torch
from mask_views import CHIPS, IMAGE_WH, SHAPE, FixedChips, data_of, run, run_both, views_of, whole
from mmdet.models.roi_heads import StandardRoIHead
from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from mmisn.models.detectors import ChipDetector
from mmisn.models.test_time_augs import ScaleRangeTTAModel, ViewMasks, merge_views
from mmisn.models.test_time_augs.view_masks import _portions
from mmisn.structures import Chip, ScaleRange
from mmisn.testing.detectors import build_tiny_detector, tiny_faster_rcnn_cfg, tiny_mask_rcnn_cfg


@pytest.fixture(scope='module')
def image():
    return np.random.default_rng(0).integers(0, 256, (*SHAPE, 3), dtype=np.uint8)


@pytest.fixture
def detector():
    return build_tiny_detector(tiny_mask_rcnn_cfg())


def _watch(detector, monkeypatch):
    """Sizes of what the mask head computes."""
    sizes = []
    own = StandardRoIHead._mask_forward

    def forward(self, x, rois=None, **kwargs):
        sizes.append((x[0].shape[0], len(rois)))
        return own(self, x, rois, **kwargs)

    monkeypatch.setattr(StandardRoIHead, '_mask_forward', forward)
    return sizes


def test_the_mask_head_sees_few_boxes(detector, image, monkeypatch):
    """Opened up, views report over 100 boxes; masks are computed for those that a view alone would report."""
    chip = whole(2)
    scale_range = ScaleRange(16, 64)
    masks = ViewMasks(detector, dict(type='soft_nms'), 20)
    sizes = _watch(detector, monkeypatch)
    merged = run(ChipDetector(detector, FixedChips(chip), scale_range=(16, 64), max_per_img=20).eval(), data_of(image))
    assert len(merged) == 20 and sizes == [(1, 20)]
    data = views_of(image, [chip])
    one = {k: v[0] for k, v in data.items()}
    model = ScaleRangeTTAModel(detector, scale_range=(16, 64), max_per_img=20)
    model._prepare_views(data)
    with torch.no_grad(), masks.collecting() as store:
        found = detector.test_step(one)[0].pred_instances
    assert len(found) > 100 and 'masks' not in found
    stored = store.masks_of(0, 0)
    assert stored.probs.shape == (20, 28, 28) and store.num_bytes == 20 * 28 * 28 * 4
    assert sorted(found.mask_ids.tolist())[-21:] == [-1, *range(20)]
    assert scale_range.in_original(chip).contains_boxes(stored.boxes_xyxy).all()
    boxes = chip.rescaled_boxes_to_image(found.bboxes[found.mask_ids >= 0])
    assert torch.equal(stored.boxes_xyxy, boxes)


def test_chunks_make_no_difference(detector, image, monkeypatch):
    expected, _ = run_both(detector, image, *CHIPS)
    monkeypatch.setattr('mmisn.models.test_time_augs.view_masks._CHUNK', 7)
    sizes = _watch(detector, monkeypatch)
    merged, _ = run_both(detector, image, *CHIPS)
    assert 7 < max(n for _, n in sizes) < 14 and (merged.masks != expected.masks).sum() <= 5


@pytest.mark.parametrize('number', [0, 1, 19, 20, 39, 40, 59, 100, 10_000])
def test_portions_are_of_about_equal_size(number):
    portions = _portions(number)
    rows = np.arange(number)
    assert np.array_equal(np.concatenate([rows[p] for p in portions] or [rows]), rows)
    sizes = [len(rows[p]) for p in portions]
    # Never a small rest, whose masks another kernel would round otherwise.
    assert sizes == [number] if 0 < number < 20 else all(20 <= size < 40 for size in sizes)


def test_views_of_a_batch(detector, image):
    """Views of equal size go through the detector together, images of a batch as well."""
    chips = [whole(), whole(flip=True), Chip((0, 0, 64, 48), IMAGE_WH)]
    alone = run(ChipDetector(detector, FixedChips(*chips)).eval(), data_of(image))
    together = run(ChipDetector(detector, FixedChips(*chips), batch_size=3).eval(), data_of(image))
    assert (alone.masks != together.masks).sum() <= 5
    other = np.ascontiguousarray(image[::-1])
    parts = [views_of(i, chips) for i in (image, other)]
    both = {k: [a + b for a, b in zip(parts[0][k], parts[1][k])] for k in parts[0]}
    tta = ScaleRangeTTAModel(detector)
    with torch.no_grad():
        results = tta.test_step(both)
    for pixels, result in zip((image, other), results):
        single = run(tta, views_of(pixels, chips))
        assert torch.equal(result.pred_instances.labels, single.labels)
        assert (result.pred_instances.masks != single.masks).sum() <= 5
        assert 'mask_request' not in result.metainfo


def test_a_box_that_other_views_help_gets_the_mask_of_its_own_view(detector, image, monkeypatch):
    """Were no mask stored at first, all survivors would have to be asked for; the result is the same."""
    expected = run_both(detector, image, *CHIPS, scale_range=(16, 64))

    def none(self, results, request, meta):
        return torch.zeros(0, dtype=torch.long)

    monkeypatch.setattr(ViewMasks, '_rows_with_masks', none)
    sizes = _watch(detector, monkeypatch)
    for merged, wanted in zip(run_both(detector, image, *CHIPS, scale_range=(16, 64)), expected):
        assert torch.equal(merged.bboxes, wanted.bboxes)
        assert wanted.masks.sum() > 1000 and (merged.masks != wanted.masks).sum() <= 5
        assert merged.masks.shape == wanted.masks.shape
    assert 0 < sum(n for _, n in sizes) == sum(len(e) for e in expected)


def test_such_boxes_exist():
    """Three boxes in a row: the best of all suppresses the middle one, which then spares the last."""
    near, last, best = [0.0, 0, 20, 20], [6, 0, 26, 20], [-3, 0, 17, 20]
    first = InstanceData(bboxes=torch.tensor([near, last]), scores=torch.tensor([0.9, 0.8]), labels=torch.zeros(2))
    second = InstanceData(bboxes=torch.tensor([best]), scores=torch.tensor([0.95]), labels=torch.zeros(1))
    hard = dict(type='nms', iou_threshold=0.5)
    chip = Chip.full((40, 40))
    assert merge_views([(chip, first)], (40, 40), nms=hard).view_rows.tolist() == [0]
    merged = merge_views([(chip, first), (chip, second)], (40, 40), nms=hard)
    assert list(zip(merged.view_ids.tolist(), merged.view_rows.tolist())) == [(1, 0), (0, 1)]


def test_detectors_whose_masks_cannot_be_merged(detector):
    cfg = tiny_mask_rcnn_cfg()
    cfg.type = 'MaskScoringRCNN'
    cfg.roi_head.type = 'MaskScoringRoIHead'
    cfg.roi_head.mask_iou_head = dict(
        type='MaskIoUHead', num_convs=1, num_fcs=1, in_channels=16, conv_out_channels=16, num_classes=3
    )
    scoring = MODELS.build(ConfigDict(cfg))
    with pytest.raises(ValueError, match='masks of a MaskScoringRCNN with MaskScoringRoIHead cannot be merged'):
        ScaleRangeTTAModel(scoring)
    bare = build_tiny_detector(tiny_faster_rcnn_cfg())
    assert ScaleRangeTTAModel(bare).view_masks is None
    with pytest.raises(ValueError, match='average_masks: FasterRCNN has no roi_head with masks'):
        ChipDetector(bare, FixedChips(whole()), average_masks=True)


def test_an_error_leaves_the_detector_as_it_was(detector, image):
    before = set(vars(detector.roi_head)), set(vars(detector.roi_head.mask_head))
    masks = ViewMasks(detector, None, 100)
    with pytest.raises(RuntimeError, match='of a test'), masks.collecting():
        raise RuntimeError('of a test')
    assert (set(vars(detector.roi_head)), set(vars(detector.roi_head.mask_head))) == before
