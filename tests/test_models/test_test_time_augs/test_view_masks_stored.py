"""Which masks are computed and stored, in what portions, and for which detectors."""

import numpy as np
import pytest
import torch
from mask_views import CHIPS, IMAGE_WH, SHAPE, FixedChips, cascade_cfg, data_of, run, run_both, views_of, whole
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from mmisn.models.detectors import ChipDetector
from mmisn.models.test_time_augs import ScaleRangeTTAModel, ViewMasks, merge_views
from mmisn.models.test_time_augs.mask_features import LeadingFeatures
from mmisn.models.test_time_augs.mask_parts import portions
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
    own = FCNMaskHead.forward

    def forward(self, x):
        sizes.append(len(x))
        return own(self, x)

    monkeypatch.setattr(FCNMaskHead, 'forward', forward)
    return sizes


def test_the_mask_head_sees_what_is_reported(detector, image, monkeypatch):
    """Opened up, the views report over 500 boxes; masks are computed of the merged ones, after the last view."""
    sizes = _watch(detector, monkeypatch)
    for merged in run_both(detector, image, *CHIPS, max_per_img=20):
        assert len(merged) == 20 and len(set(merged.view_ids.tolist())) > 1
    assert sizes == [20, 20]


def test_masks_at_once(detector, image, monkeypatch):
    """Of a view, masks are computed for those detections that the view alone would report."""
    chip = whole(2)
    scale_range = ScaleRange(16, 64)
    masks = ViewMasks(detector, dict(type='soft_nms'), 20, at_once=True)
    sizes = _watch(detector, monkeypatch)
    data = views_of(image, [chip])
    one = {k: v[0] for k, v in data.items()}
    model = ScaleRangeTTAModel(detector, scale_range=(16, 64), max_per_img=20)
    model._prepare_views(data)
    with torch.no_grad(), masks.collecting() as store:
        found = detector.test_step(one)[0].pred_instances
    assert len(found) > 100 and 'masks' not in found and sizes == [20]
    stored = store.masks_of(0, 0)
    assert stored.probs.shape == (20, 28, 28) and store.num_bytes == 20 * 28 * 28 * 4
    assert sorted(found.mask_ids.tolist())[-21:] == [-1, *range(20)]
    assert scale_range.in_original(chip).contains_boxes(stored.boxes_xyxy).all()
    boxes = chip.rescaled_boxes_to_image(found.bboxes[found.mask_ids >= 0])
    assert torch.equal(stored.boxes_xyxy, boxes)


@pytest.mark.parametrize('cfg', [tiny_mask_rcnn_cfg, cascade_cfg])
@pytest.mark.parametrize('scale_range', [None, (16, 64)])
@pytest.mark.parametrize('nms', [dict(type='soft_nms'), dict(type='nms', iou_threshold=0.5)])
def test_masks_in_the_end_are_those_at_once(image, cfg, scale_range, nms):
    detector = build_tiny_detector(cfg())
    options = dict(scale_range=scale_range, nms=nms)
    late = ChipDetector(detector, FixedChips(*CHIPS), **options).eval()
    assert not late.view_masks.at_once
    merged = run(late, data_of(image))
    early = ChipDetector(detector, FixedChips(*CHIPS), **options).eval()
    early.view_masks = ViewMasks(detector, early.nms, 100, at_once=True)
    expected = run(early, data_of(image))
    assert merged.masks.sum() > 1000 and sorted(merged.keys()) == sorted(expected.keys())
    for name, values in expected.items():
        assert torch.equal(merged[name], values), name


def test_chunks_make_no_difference(detector, image, monkeypatch):
    expected, _ = run_both(detector, image, *CHIPS)
    monkeypatch.setattr('mmisn.models.test_time_augs.mask_parts._CHUNK', 7)
    sizes = _watch(detector, monkeypatch)
    merged, _ = run_both(detector, image, *CHIPS)
    assert 7 <= max(sizes) < 14 and (merged.masks != expected.masks).sum() <= 5


@pytest.mark.parametrize('number', [0, 1, 19, 20, 39, 40, 59, 100, 10_000])
def test_portions_are_of_about_equal_size(number):
    slices = portions(number)
    rows = np.arange(number)
    assert np.array_equal(np.concatenate([rows[p] for p in slices] or [rows]), rows)
    sizes = [len(rows[p]) for p in slices]
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
    """Were no features kept at first, all survivors would have to be asked for; the result is the same."""
    expected = run_both(detector, image, *CHIPS, scale_range=(16, 64))

    def add(self, *args):
        """Keep nothing."""

    monkeypatch.setattr(LeadingFeatures, 'add', add)
    for merged, wanted in zip(run_both(detector, image, *CHIPS, scale_range=(16, 64)), expected):
        assert torch.equal(merged.bboxes, wanted.bboxes)
        assert wanted.masks.sum() > 1000 and (merged.masks != wanted.masks).sum() <= 5
        assert merged.masks.shape == wanted.masks.shape


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
