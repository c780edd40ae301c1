"""Detections of an image as pycocotools reads them."""

from collections.abc import Sequence

import numpy as np
from mmdet.structures import DetDataSample
from mmdet.structures.mask import encode_mask_results
from mmengine.structures import InstanceData


def coco_results(
    sample: DetDataSample, image_id: int, category_ids: Sequence[int | None], keypoint_offset: float = 0.0
) -> tuple[dict[str, list[dict]], int]:
    """COCO detections of an image, and how many were left out because their class has no id.

    Args:
        sample: Its ``pred_instances`` have ``bboxes``, ``scores`` and ``labels``, perhaps ``masks`` (N, H, W) or
            ``keypoints`` (N, K, 2) with ``keypoint_scores`` (N, K).
        image_id: Of the image.
        category_ids: Of each label; ``None`` for labels that are left out.
        keypoint_offset: See ``keypoint_triples``.

    Returns:
        By ``bbox``, ``segm`` (compressed run-length codes) and ``keypoints`` (triples x, y, score), as far as there are
        any: one list each, for pycocotools takes the areas from the boxes where it finds boxes beside masks. Keypoints
        of detections whose class has none are left out.
    """
    predicted = sample.pred_instances.cpu()
    columns: dict[str, list] = dict(bbox=_boxes_xywh(predicted))
    if 'masks' in predicted:
        columns['segm'] = _run_lengths(predicted.masks.numpy())
    if 'keypoints' in predicted:
        points, scores = predicted.keypoints.numpy(), predicted.keypoint_scores.numpy()
        columns['keypoints'] = keypoint_triples(points, scores, keypoint_offset)
    found = zip(predicted.scores.double().tolist(), predicted.labels.tolist())
    known = [(i, s, category_ids[label]) for i, (s, label) in enumerate(found) if category_ids[label] is not None]
    results = {
        kind: [
            {'image_id': image_id, 'category_id': c, _key_of(kind): column[i], 'score': score}
            for i, score, c in known
            if column[i] is not None
        ]
        for kind, column in columns.items()
    }
    return results, len(predicted) - len(known)


def _key_of(kind: str) -> str:
    return 'segmentation' if kind == 'segm' else kind


def _boxes_xywh(predicted: InstanceData) -> list[list[float]]:
    return [[x1, y1, x2 - x1, y2 - y1] for x1, y1, x2, y2 in predicted.bboxes.double().tolist()]


def _run_lengths(masks: np.ndarray) -> list[dict]:
    codes = encode_mask_results(list(masks))
    return [dict(size=list(c['size']), counts=c['counts'].decode()) for c in codes]


def keypoint_triples(keypoints: np.ndarray, scores: np.ndarray, offset: float = 0.0) -> list[list[float] | None]:
    """Keypoints as COCO's results have them: x, y, score, x, y, score, ... for each object.

    Args:
        keypoints: (N, K, 2) in original pixels.
        scores: (N, K); negative for a detection whose class has no keypoints, see ``KeypointRoIHead``.
        offset: What the dataset added to the annotations' x and y, in pixels; it is taken off.

    Returns:
        One list per object; ``None`` for those whose class has no keypoints.
    """
    triples = np.concatenate([keypoints - offset, scores[..., None]], axis=-1)
    without = (scores < 0).all(axis=-1)
    return [None if no else t.ravel().tolist() for no, t in zip(without, triples.astype(np.float64))]
