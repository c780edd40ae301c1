"""How well a keypoint head does where boxes are perfect: keypoints in the annotated boxes, by scale and view size.

It tells whether keypoints or boxes are to blame for a low AP, and at which factors of a pyramid keypoints are worth
keeping. Shape shorthand: N objects, K keypoints, F factors, B octaves.
"""

import contextlib
import copy
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from mmdet.registry import DATASETS, MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox2roi
from mmengine.config import Config
from mmengine.registry import init_default_scope
from pycocotools.coco import COCO
from rich.progress import track
from torch import nn

from mmisn.datasets.picture_folder import read_picture
from mmisn.structures import Chip, crop_resample, scales_of_boxes

from .diagnosis_summary import edges_of_scales, octave_name
from .view_recorder import load_whole


@dataclass(frozen=True)
class TrueBoxKeypoints:
    """Keypoints in annotated boxes.

    Attributes:
        factors: (F,) view pixels per original pixel.
        scales: (N,) sqrt(w h) of the boxes in original pixels.
        oks: (N, F) object keypoint similarity.
    """

    factors: Sequence[float]
    scales: np.ndarray
    oks: np.ndarray


def object_keypoint_similarity(
    predicted: np.ndarray, keypoints: np.ndarray, areas: np.ndarray, sigmas: Sequence[float]
) -> np.ndarray:
    """OKS of one prediction per object, as pycocotools computes it.

    Args:
        predicted: (N, K, 2) x, y.
        keypoints: (N, K, 3) annotated x, y, visibility; some of each object are labelled.
        areas: (N,) annotated areas, square pixels.
        sigmas: (K,).

    Returns:
        (N,) means over the labelled keypoints.
    """
    labelled = keypoints[..., 2] > 0
    distances = np.square(predicted - keypoints[..., :2]).sum(axis=-1)
    variances = np.square(2 * np.asarray(sigmas, np.float64))
    exponents = distances / variances / (np.asarray(areas, np.float64)[:, None] + np.spacing(1)) / 2
    return (np.exp(-exponents) * labelled).sum(axis=1) / labelled.sum(axis=1)


def diagnose_keypoints(
    cfg: Config,
    checkpoint: str | Path,
    factors: Sequence[float],
    device: str = 'cpu',
    max_images: int | None = None,
) -> TrueBoxKeypoints:
    """Predict keypoints in the annotated boxes of the test set, at several factors.

    Args:
        cfg: A whole config of a detector with a ``KeypointRoIHead``; it is not changed.
        checkpoint: Weights of the detector.
        factors: View pixels per original pixel.
        device: Where to compute.
        max_images: Images to look at, evenly spread over the test set; all by default.

    Raises:
        ValueError: If the detector has no keypoint head, the dataset no sigmas, or no annotation has keypoints.
        RuntimeError: If the checkpoint lacks weights.
    """
    init_default_scope(cfg.get('default_scope') or 'mmdet')
    model = MODELS.build(copy.deepcopy(cfg.model))
    if getattr(getattr(model, 'roi_head', None), 'keypoint_head', None) is None:
        raise ValueError(f'{type(model).__name__} has no KeypointRoIHead, whose keypoints could be diagnosed')
    load_whole(model, checkpoint)
    model.to(device).eval()
    dataset = DATASETS.build(dict(copy.deepcopy(cfg.test_dataloader.dataset), pipeline=[]))
    if max_images is not None and max_images < len(dataset):
        dataset.get_subset_(np.linspace(0, len(dataset) - 1, max_images).round().astype(int).tolist())
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(dataset.ann_file)
    if 'sigmas' not in dataset.metainfo:
        raise ValueError(f'{type(dataset).__name__} states no sigmas of keypoints: test on a CocoKeypointDataset')
    offset, sigmas = dataset.metainfo.get('keypoint_offset', 0.0), dataset.metainfo['sigmas']
    scales, oks = [], []
    for i in track(range(len(dataset)), 'Keypoints in the annotated boxes'):
        info = dataset.get_data_info(i)
        annotations = [a for a in coco.imgToAnns.get(info['img_id'], []) if _is_diagnosed(a)]
        if annotations:
            of_image = _oks_of_image(model, read_picture(info['img_path']), annotations, sigmas, offset, factors)
            scales.append(of_image[0])
            oks.append(of_image[1])
    if not scales:
        raise ValueError(f'no annotation of {dataset.ann_file} has labelled keypoints')
    return TrueBoxKeypoints(tuple(factors), np.concatenate(scales), np.concatenate(oks))


def _is_diagnosed(annotation: dict) -> bool:
    labelled = any(v > 0 for v in (annotation.get('keypoints') or [])[2::3])
    return labelled and not annotation.get('iscrowd') and not annotation.get('ignore')


def _oks_of_image(
    model: nn.Module,
    pixels: np.ndarray,
    annotations: Sequence[dict],
    sigmas: Sequence[float],
    offset: float,
    factors: Sequence[float],
) -> tuple[np.ndarray, np.ndarray]:
    """Scales (N,) and OKS (N, F) of the objects of an image."""
    boxes = np.array([a['bbox'] for a in annotations], np.float64)
    boxes[:, 2:] += boxes[:, :2]
    truth = np.array([a['keypoints'] for a in annotations], np.float64).reshape(len(boxes), -1, 3)
    areas = np.array([a['area'] for a in annotations], np.float64)
    oks = [
        object_keypoint_similarity(keypoints_in_boxes(model, pixels, boxes, f) - offset, truth, areas, sigmas)
        for f in factors
    ]
    return scales_of_boxes(boxes), np.stack(oks, axis=1)


@torch.no_grad()
def keypoints_in_boxes(model: nn.Module, pixels: np.ndarray, boxes_xyxy: np.ndarray, factor: float) -> np.ndarray:
    """Keypoints that a detector sees in given boxes.

    Args:
        model: With a ``KeypointRoIHead``.
        pixels: (H, W, 3) uint8 BGR image.
        boxes_xyxy: (N, 4) original pixels.
        factor: The image is resampled by it.

    Returns:
        (N, K, 2) x, y in original pixels.
    """
    height, width = pixels.shape[:2]
    chip = Chip.full((width, height), (max(1, round(width * factor)), max(1, round(height * factor))))
    view = np.ascontiguousarray(crop_resample(pixels, chip).transpose(2, 0, 1))
    meta = dict(ori_shape=(height, width), img_shape=view.shape[1:], scale_factor=chip.factors)
    data = dict(inputs=[torch.from_numpy(view)], data_samples=[DetDataSample(metainfo=meta)])
    features = model.extract_feat(model.data_preprocessor(data)['inputs'])
    boxes = torch.as_tensor(chip.boxes_to_view(boxes_xyxy), dtype=torch.float32, device=features[0].device)
    rois, head = bbox2roi([boxes]), model.roi_head
    keypoints, _ = head.keypoint_head.decode(head._keypoint_forward(features, rois), rois[:, 1:])
    return keypoints.double().cpu().numpy() / np.array(chip.factors)


def octave_means(found: TrueBoxKeypoints, anchor: float) -> tuple[list[str], list[list[str]]]:
    """A table of mean OKS, a row per octave of scale with its number of objects, a column per factor.

    Args:
        found: What was found.
        anchor: An edge of the octaves, original px.
    """
    edges = edges_of_scales(found.scales, anchor)
    octaves = np.searchsorted(edges, found.scales, side='right') - 1
    rows = []
    for octave in np.unique(octaves):
        own = found.oks[octaves == octave]
        rows.append([octave_name(edges, octave), str(len(own)), *(f'{mean:.3f}' for mean in own.mean(axis=0))])
    rows.append(['all', str(len(found.oks)), *(f'{mean:.3f}' for mean in found.oks.mean(axis=0))])
    return ['scale, px', 'objects', *(f'x{f:.4g}' for f in found.factors)], rows
