"""A ``ChipDetector`` against SAHI's slices around the same detector: AP by size and seconds, in one run.

SAHI (Akyon et al., 2022) cuts every picture into overlapping slices, whatever is in it. It is no dependency: install it
beside mmisn to measure (``pip install sahi``, in an environment that may be thrown away).
"""

import importlib.util
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from mmdet.registry import DATASETS
from mmengine.config import Config
from pycocotools.coco import COCO
from torch import nn

from mmisn.datasets.picture_folder import read_picture
from mmisn.evaluation.coco_results import coco_results
from mmisn.evaluation.scale_range_eval import evaluate_scale_ranges
from mmisn.models.detectors.wrap import detect_image

from .report import Row, Target
from .windows import WindowsDetector

# What SAHI may take in seconds for the same AP of small objects: twice ours.
MOST_SECONDS = 0.5
# Scores below are no detections to SAHI; mmdet's own detectors leave out the same.
CONFIDENCE = 0.05

Detections = list[dict]


@dataclass(frozen=True)
class SahiComparison:
    """What is compared.

    Attributes:
        ours: A ``ChipDetector`` and its checkpoints; its config names the data, too.
        config: Config of the detector inside, with the test pipeline that SAHI's slices go through.
        small: Upper bound of small objects, sqrt(w h) in original pixels.
        number: Pictures, at most; ``None`` for all.
        overlap: Of slices, as a share of their sides; SAHI's default.
    """

    ours: WindowsDetector
    config: str
    small: float
    number: int | None = None
    overlap: float = 0.2


def jobs(comparison: SahiComparison) -> list[tuple[str, Callable[[], list[Row]]]]:
    """Name and function of the measurement.

    Raises:
        ValueError: If SAHI is not installed.
    """
    if importlib.util.find_spec('sahi') is None:
        raise ValueError('the comparison with SAHI needs it: pip install sahi, in an environment of its own')
    return [('sahi', lambda: sahi_rows(comparison))]


def sahi_rows(comparison: SahiComparison) -> list[Row]:
    """AP, AP of small objects and seconds per picture against SAHI's, with slices of half the sides."""
    images = DATASETS.build(dict(Config.fromfile(comparison.ours.config).test_dataloader.dataset, pipeline=[]))
    infos = [images.get_data_info(i) for i in range(len(images))][: comparison.number]
    ways = dict(
        ours=our_way(comparison.ours.build(), images.cat_ids),
        sahi=sahi_way(comparison.config, comparison.ours.checkpoint, images.cat_ids, comparison.overlap),
    )
    found, seconds = run_ways(ways, infos)
    ids = [info['img_id'] for info in infos]
    ap = {
        way: average_precisions(COCO(images.ann_file), records, ids, comparison.small) for way, records in found.items()
    }
    name = f'{Path(comparison.ours.config).stem}, {len(infos)} pictures'
    yardstick = f"SAHI's slices of half the sides, overlap {comparison.overlap:g}"
    rows = [
        Row(f'{what}: {name}', f'{ap["ours"][i]:.1f}', f'{yardstick}, {ap["sahi"][i]:.1f}', *_ratio(ap, i))
        for i, what in enumerate(('AP', f'AP of objects below {comparison.small:g} px'))
    ]
    return [
        *rows,
        Row(
            f'seconds per picture: {name}',
            f'{seconds["ours"]:.3f} s',
            f'{yardstick}, {seconds["sahi"]:.3f} s',
            seconds['ours'] / seconds['sahi'],
            Target(MOST_SECONDS, at_least=False),
            'x the time',
        ),
    ]


def _ratio(ap: dict[str, list[float]], i: int) -> tuple[float, Target, str]:
    return ap['ours'][i] / max(ap['sahi'][i], 1e-9), Target(1, at_least=True), 'x the AP'


def run_ways(
    ways: dict[str, Callable[[np.ndarray], Detections]], infos: Sequence[dict]
) -> tuple[dict[str, Detections], dict[str, float]]:
    """Detect in turns, picture by picture; the first one is detected on once before the clock starts.

    Args:
        ways: From (H, W, 3) BGR pixels to COCO detections without ``image_id``.
        infos: ``img_path`` and ``img_id`` of each picture.

    Returns:
        COCO detections of each way, and its seconds per picture.
    """
    found, seconds = {way: [] for way in ways}, dict.fromkeys(ways, 0.0)
    for number, info in enumerate([infos[0], *infos]):
        pixels = read_picture(info['img_path'])
        for way, detect in ways.items():
            start = time.perf_counter()
            records = detect(pixels)
            if number:
                seconds[way] += time.perf_counter() - start
                found[way] += [dict(record, image_id=info['img_id']) for record in records]
    return found, {way: total / len(infos) for way, total in seconds.items()}


def our_way(model: nn.Module, category_ids: Sequence[int]) -> Callable[[np.ndarray], Detections]:
    """Detections of a ``ChipDetector``."""
    return lambda pixels: coco_results(detect_image(model, pixels), 0, category_ids)[0]['bbox']


def sahi_way(
    config: str, checkpoint: str, category_ids: Sequence[int], overlap: float
) -> Callable[[np.ndarray], Detections]:
    """SAHI's detections with its defaults: the whole picture and 2x2 slices or more, merged greedily."""
    from sahi.auto_model import AutoDetectionModel
    from sahi.predict import get_sliced_prediction

    model = AutoDetectionModel.from_pretrained(
        'mmdet',
        model_path=checkpoint,
        config_path=config,
        confidence_threshold=CONFIDENCE,
        device='cuda:0' if torch.cuda.is_available() else 'cpu',
    )

    def detect(pixels: np.ndarray) -> Detections:
        height, width = pixels.shape[:2]
        result = get_sliced_prediction(
            np.ascontiguousarray(pixels[..., ::-1]),
            model,
            slice_height=height // 2,
            slice_width=width // 2,
            overlap_height_ratio=overlap,
            overlap_width_ratio=overlap,
            verbose=0,
        )
        return [
            dict(category_id=category_ids[p.category.id], bbox=list(p.bbox.to_xywh()), score=float(p.score.value))
            for p in result.object_prediction_list
        ]

    return detect


def average_precisions(coco: COCO, records: Detections, image_ids: Sequence[int], small: float) -> list[float]:
    """AP in percent over all objects and over those below ``small`` px."""
    results = evaluate_scale_ranges(coco, coco.loadRes(records), [(0, None), (0, small)], img_ids=image_ids)
    return [100 * r.ap for r in results]
