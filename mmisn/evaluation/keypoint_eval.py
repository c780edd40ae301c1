"""Object keypoint similarity (OKS) of written results, by pycocotools, with any skeleton's sigmas."""

import contextlib
import io
from collections.abc import Sequence

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmisn.datasets.skeleton import PERSON_SIGMAS

from .coco_results import keypoint_triples

# COCO's numbers for keypoints, in the order of its summary; medium and large are by the annotation's area.
KEYPOINT_ITEMS = ('mAP', 'mAP_50', 'mAP_75', 'mAP_m', 'mAP_l', 'AR', 'AR_50', 'AR_75', 'AR_m', 'AR_l')


def keypoint_categories(coco_gt: COCO, cat_ids: Sequence[int]) -> list[int]:
    """The categories that have keypoints: by their own description, else by an annotation with some.

    In a file without any annotation, as COCO's of its test images, that are all: the results of those for which the
    detector predicts no keypoints are left out anyway.

    Args:
        coco_gt: Annotations.
        cat_ids: Categories of the dataset's classes.

    Returns:
        Some of ``cat_ids``, in order.

    Raises:
        ValueError: If there is none.
    """
    described = [c for c in cat_ids if coco_gt.cats[c].get('keypoints')]
    annotations = coco_gt.dataset.get('annotations') or []
    used = {a['category_id'] for a in annotations if a.get('keypoints')}
    found = described or [c for c in cat_ids if c in used or not annotations]
    if not found:
        names = [coco_gt.cats[c].get('name') for c in cat_ids]
        raise ValueError(f'no category of {names} has keypoints in the annotation file; the metric keypoints needs one')
    return found


def keypoint_sigmas(num_keypoints: int, given: Sequence[float] | None, source: str = 'sigmas') -> np.ndarray:
    """The (K,) sigmas to evaluate with: those given, else COCO's for the 17 keypoints of a person.

    Args:
        num_keypoints: K of the annotations.
        given: K numbers, or ``None``.
        source: Where they come from, for error messages.

    Raises:
        ValueError: If they are not K positive numbers, or none are given for other than 17 keypoints.
    """
    if given is None:
        if num_keypoints != len(PERSON_SIGMAS):
            raise ValueError(
                f'there is no sigma for the {num_keypoints} keypoints of this skeleton: give the metric sigmas=[...], '
                'or the dataset metainfo=dict(sigmas=[...])'
            )
        given = list(PERSON_SIGMAS.values())
    sigmas = np.asarray(given, np.float64)
    if sigmas.shape != (num_keypoints,) or not (np.isfinite(sigmas) & (sigmas > 0)).all():
        raise ValueError(f'{source} must be {num_keypoints} numbers > 0, one per keypoint, got {list(given)}')
    return sigmas


def keypoint_ground_truth(coco_gt: COCO, cat_ids: Sequence[int]) -> tuple[COCO, int]:
    """The annotations of categories with keypoints, as pycocotools needs them.

    An annotation without ``keypoints`` gets unlabelled ones, and a missing ``num_keypoints`` is counted.

    Args:
        coco_gt: Annotations; left as they are.
        cat_ids: Categories with keypoints.

    Returns:
        A COCO object with the same images and categories, and K.

    Raises:
        ValueError: If annotations have different numbers of keypoints, or nothing says how many there are.
    """
    annotations = [dict(a) for a in coco_gt.dataset.get('annotations', []) if a['category_id'] in set(cat_ids)]
    lengths = {len(a['keypoints']) for a in annotations if a.get('keypoints')}
    lengths |= {3 * len(coco_gt.cats[c]['keypoints']) for c in cat_ids if coco_gt.cats[c].get('keypoints')}
    if not lengths:
        raise ValueError(
            'there are no annotations with keypoints to evaluate with; ScaleRangeCocoMetric(format_only=True, '
            'outfile_prefix=...) only writes the results'
        )
    if len(lengths) != 1 or min(lengths) % 3:
        raise ValueError(f'all keypoints must be lists of one length, 3 numbers each, found lengths {sorted(lengths)}')
    length = lengths.pop()
    for annotation in annotations:
        annotation['keypoints'] = annotation.get('keypoints') or [0] * length
        labelled = sum(v > 0 for v in annotation['keypoints'][2::3])
        annotation['num_keypoints'] = annotation.get('num_keypoints', labelled)
    coco = COCO()
    coco.dataset = {**coco_gt.dataset, 'annotations': annotations}
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco, length // 3


def keypoint_records(
    results: Sequence[dict], cat_ids: Sequence[int], keypoint_cat_ids: Sequence[int], offset: float = 0.0
) -> list[dict]:
    """Predictions as COCO's keypoint results, without those of classes that have no keypoints.

    Such a class has none in the annotation file, or the detector predicts none for it.

    Args:
        results: One dict per image: ``img_id``, ``labels`` (M,), ``scores`` (M,), ``keypoints`` (M, K, 2) in original
            pixels, ``keypoint_scores`` (M, K).
        cat_ids: Category of each label.
        keypoint_cat_ids: Categories with keypoints.
        offset: See ``keypoint_triples``.

    Returns:
        ``image_id``, ``category_id``, ``score`` (of the box) and ``keypoints``: x, y, score of the keypoint, ... They
        have no ``bbox``, or pycocotools would take them for boxes.
    """
    records = []
    for result in results:
        triples = keypoint_triples(result['keypoints'], result['keypoint_scores'], offset)
        for label, score, keypoints in zip(result['labels'], result['scores'], triples):
            category = cat_ids[label]
            if category in keypoint_cat_ids and keypoints is not None:
                records.append(
                    dict(
                        image_id=result['img_id'],
                        category_id=category,
                        keypoints=keypoints,
                        score=float(score),
                    )
                )
    return records


def evaluate_keypoints(
    coco_gt: COCO,
    coco_dt: COCO,
    sigmas: Sequence[float],
    cat_ids: Sequence[int] | None = None,
    img_ids: Sequence | None = None,
    oks_thrs: Sequence[float] | None = None,
) -> dict[str, float]:
    """COCO's ten numbers for keypoints, at 20 detections per image.

    Args:
        coco_gt: From ``keypoint_ground_truth``.
        coco_dt: Detections, from ``coco_gt.loadRes``.
        sigmas: (K,).
        cat_ids: Categories to average over; all by default.
        img_ids: Images to evaluate; all by default.
        oks_thrs: OKS thresholds; 0.5 to 0.95 in steps of 0.05 by default.

    Returns:
        Value of each of ``KEYPOINT_ITEMS``; -1 where there is no object or no such threshold.
    """
    # pycocotools reports its progress and its summary by print.
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator = COCOeval(coco_gt, coco_dt, 'keypoints')
        evaluator.params.kpt_oks_sigmas = np.asarray(sigmas, np.float64)
        if cat_ids is not None:
            evaluator.params.catIds = list(cat_ids)
        if img_ids is not None:
            evaluator.params.imgIds = list(img_ids)
        if oks_thrs is not None:
            evaluator.params.iouThrs = np.atleast_1d(np.asarray(oks_thrs, np.float64))
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return dict(zip(KEYPOINT_ITEMS, map(float, evaluator.stats)))
