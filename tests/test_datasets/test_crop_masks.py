"""Masks in ``CropChip``: polygons, run-length codes and crowds from annotation to view."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.datasets.transforms import LoadAnnotations
from mmdet.structures.mask import BitmapMasks, PolygonMasks, mask_target
from mmengine.config import Config, ConfigDict
from mmengine.dataset import pseudo_collate
from pycocotools import mask as mask_utils

from mmisn.datasets import ChipDataset
from mmisn.datasets.transforms import CropChip
from mmisn.datasets.transforms.masks import crop_masks
from mmisn.structures import Chip
from mmisn.testing.detectors import build_tiny_detector, tiny_mask_rcnn_cfg

ISN_MASKS = Path(__file__).resolve().parents[2] / 'configs/isn/isn-mask-rcnn_r50_fpn_8xb4-18e_coco.py'
HEIGHT, WIDTH = 60, 80
CROWD = (np.random.default_rng(1).random((HEIGHT, WIDTH)) > 0.7).astype(np.uint8)
SQUARE = [20.0, 10, 44, 10, 44, 34, 20, 34]


def _results(*segmentations, poly2mask=True, crowd=()):
    instances = []
    for i, segmentation in enumerate(segmentations):
        instances.append(dict(bbox=[16.0, 8, 48, 40], bbox_label=i, mask=segmentation, ignore_flag=int(i in crowd)))
    results = dict(img=np.zeros((HEIGHT, WIDTH, 3), np.uint8), ori_shape=(HEIGHT, WIDTH), instances=instances, img_id=0)
    return LoadAnnotations(with_bbox=True, with_mask=True, poly2mask=poly2mask)(results)


def _rle(mask, compressed):
    code = mask_utils.encode(np.asfortranarray(mask))
    if compressed:
        return dict(size=code['size'], counts=code['counts'].decode())
    flat = mask.T.ravel()
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat, [0]])))
    edges = np.concatenate([[0], edges, [flat.size]]) if flat[-1] == 0 else np.concatenate([[0], edges])
    return dict(size=[HEIGHT, WIDTH], counts=np.diff(edges).tolist())


@pytest.mark.parametrize('flip', [False, True])
@pytest.mark.parametrize('compressed', [False, True])
def test_run_length_codes_and_crowds(compressed, flip):
    results = _results([SQUARE], _rle(CROWD, compressed), crowd=[1])
    results['chip'] = Chip((16, 8, 48, 40), (96, 64), flip)
    results = CropChip()(results)
    square = np.zeros((HEIGHT, WIDTH), np.uint8)
    square[10:34, 20:44] = 1
    blocks = np.stack([square, CROWD])[:, 8:40, 16:48].repeat(2, axis=1).repeat(3, axis=2)
    masks = results['gt_masks']
    assert isinstance(masks, BitmapMasks) and (masks.height, masks.width) == (64, 96)
    np.testing.assert_array_equal(masks.masks, blocks[..., ::-1] if flip else blocks)
    assert masks.masks.dtype == np.uint8 and results['gt_ignore_flags'].tolist() == [False, True]


@pytest.mark.parametrize('flip', [False, True])
def test_polygons_are_mapped_exactly(flip):
    hole_like = [30.0, 12, 60, 30, 30, 30, 60, 12]  # crosses itself: two triangles
    results = _results([SQUARE, [24.5, 20.25, 30, 36, 18, 36]], [hole_like], poly2mask=False)
    chip = Chip((16, 8, 66, 40), (125, 64), flip)
    results['gt_bboxes'].tensor[:] = results['gt_bboxes'].tensor.new_tensor([16, 8, 64, 40])
    results = CropChip()(dict(results, chip=chip))
    masks = results['gt_masks']
    assert isinstance(masks, PolygonMasks) and (masks.height, masks.width) == (64, 125)
    for polygons, originals in zip(masks.masks, [[SQUARE, [24.5, 20.25, 30, 36, 18, 36]], [hole_like]]):
        assert len(polygons) == len(originals)
        for polygon, original in zip(polygons, originals):
            x, y = np.array(original[::2]), np.array(original[1::2])
            x, y = (x - 16) * 2.5, (y - 8) * 2
            np.testing.assert_allclose(polygon[::2], 125 - x if flip else x, rtol=1e-12)
            np.testing.assert_allclose(polygon[1::2], y, rtol=1e-12)


@pytest.mark.parametrize('flip', [False, True])
def test_polygons_are_cut_at_the_border(flip):
    chip = Chip((30, 0, 80, 60), (100, 120), flip)
    far = np.array([0.0, 0, 10, 0, 10, 10])
    masks = crop_masks(PolygonMasks([[np.array(SQUARE), far], [far]], HEIGHT, WIDTH), chip)
    assert len(masks.masks[0]) == 1
    corners = masks.masks[0][0].reshape(-1, 2)
    low, high = ((72, 20), (100, 68)) if flip else ((0, 20), (28, 68))
    assert (corners.min(axis=0).tolist(), corners.max(axis=0).tolist()) == (list(low), list(high))
    assert len(corners) == 4
    assert [p.tolist() for p in masks.masks[1]] == [[0.0] * 6]  # nothing of it is left
    bitmap = masks.to_ndarray()
    assert bitmap[0].sum() == 28 * 48 and bitmap[1].sum() == 0


def test_no_masks():
    chip = Chip((30, 0, 80, 60), (100, 120), True)
    for none in (BitmapMasks(np.zeros((0, HEIGHT, WIDTH)), HEIGHT, WIDTH), PolygonMasks([], HEIGHT, WIDTH)):
        cut = crop_masks(none, chip)
        assert type(cut) is type(none) and (len(cut), cut.height, cut.width) == (0, 120, 100)
        assert cut.to_ndarray().shape == (0, 120, 100)


def _training_data(coco_folder, inner_cfg, poly2mask):
    """Chips at factor 4 of a triangle whose long side is no row or column of pixels; the config's own pipeline."""
    triangle = [10, 10, 60, 10, 60, 50]
    crowd = dict(iscrowd=1, segmentation=dict(size=[60, 80], counts=[1000, 9, 3791]))
    annotations = [(0, 0, [10, 10, 50, 40], dict(segmentation=[triangle])), (0, 1, [5, 40, 30, 15], crowd)]
    folder = coco_folder([(80, 60)], annotations)
    pipeline = Config.fromfile(ISN_MASKS).train_dataloader.dataset.pipeline
    assert pipeline[1] == dict(type='LoadAnnotations', with_bbox=True, with_mask=True, poly2mask=False)
    pipeline[1].poly2mask = poly2mask
    generator = dict(type='CoverChips', factors=(4.0,), scale_range=(16, 560), chip_size=576)
    return ChipDataset(inner_cfg(folder), generator, pipeline, cache_dir='', flip_prob=0, num_procs=1)


def test_polygons_reach_the_mask_loss_and_targets_are_finer_than_blocks_of_pixels(coco_folder, inner_cfg):
    chips = {poly2mask: _training_data(coco_folder, inner_cfg, poly2mask) for poly2mask in (False, True)}
    samples = {k: v[0]['data_samples'] for k, v in chips.items()}
    masks = samples[False].gt_instances.masks
    assert isinstance(masks, PolygonMasks) and isinstance(samples[True].gt_instances.masks, BitmapMasks)
    assert all(len(s.gt_instances) == len(s.ignored_instances) == 1 for s in samples.values())
    chip = samples[False].chip
    assert chip.factors == (4.0, 4.0) and chip == samples[True].chip
    ((polygon,),) = masks.masks
    corners = chip.points_to_view(np.array([[10.0, 10], [60, 10], [60, 50]]))
    np.testing.assert_allclose(polygon.reshape(-1, 2), corners, rtol=1e-12)
    # One RoI, a cell of its mask one view pixel, on the long side y = 10 + 0.8 (x - 10) of the original.
    left, top = chip.points_to_view(np.array([[35.0, 30.0]]))[0] - 14
    y, x = np.mgrid[:28, :28] + 0.5
    (x1, y1), (x3, y3) = corners[0], corners[2]
    truth = y + top < y1 + (x + left - x1) * (y3 - y1) / (x3 - x1)
    roi = [torch.tensor([[left, top, left + 28, top + 28]], dtype=torch.float32)]
    wrong = {}
    for poly2mask, sample in samples.items():
        target = mask_target(roi, [torch.tensor([0])], [sample.gt_instances.masks], ConfigDict(mask_size=28))[0]
        wrong[poly2mask] = int((target.numpy().astype(bool) != truth).sum())
    assert wrong[False] <= 14 < 28 <= wrong[True]
    cfg = tiny_mask_rcnn_cfg()
    cfg.data_preprocessor.pad_mask = True
    model = build_tiny_detector(cfg).train()
    torch.manual_seed(0)
    data = model.data_preprocessor(pseudo_collate([chips[False][0]] * 2), True)
    assert data['data_samples'][0].gt_instances.masks.to_ndarray().shape[1:] == data['inputs'].shape[2:]
    loss = model(**data, mode='loss')['loss_mask']
    loss.backward()
    assert loss.isfinite() and loss > 0 and model.roi_head.mask_head.conv_logits.weight.grad.abs().sum() > 0
