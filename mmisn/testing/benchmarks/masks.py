"""Masks from five factors of a picture: against mmdet's Mask R-CNN once at each of them, with everything pasted.

Each way runs in a process of its own, for the peak memory of a process is never taken back.
"""

import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from mmdet.registry import DATASETS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import nn

import mmisn  # noqa: F401  registers everything, in the processes as well
from mmisn.chips import PyramidChips
from mmisn.models.detectors import ChipDetector
from mmisn.models.detectors.wrap import TILE_EDGE_MARGIN, detect_image
from mmisn.structures import Chip, ViewFilter, crop_resample
from mmisn.testing.detectors import build_tiny_detector

from .coco_like import CocoFolder
from .pixels import CONFIGS
from .report import Row, Target

MASK_RCNN = 'baselines/mask-rcnn_r18_fpn_8xb4-ms-18e_coco.py'
FACTORS = (4.0, 2.0, 1.0, 0.5, 0.25)
IMAGE_WH = (640, 480)
# Views of more pixels are cut: of the five the largest, into six tiles of 896x992 px, whole numbers of strides of 32,
# and the next one, into two. What is longer than the overlap and cut by a tile's edge is whole in a smaller view.
MAX_PIXELS, OVERLAP = 900_000, 64
# Above a score of 0.05 a detector reports some 50 boxes in a view of a busy picture.
CANDIDATES, SCORE = 50, 0.05
LOGIT_STD = 2.0
# Of mmdet's peak memory; merging takes at most so much.
MOST_MEMORY = 1 / 3
WAYS = {'mmdet': 'mmdet', 'whole': 'ChipDetector', 'tiles': f'ChipDetector, max_pixels={MAX_PIXELS:,}'}


def jobs(folder: CocoFolder, rounds: int) -> list[tuple[str, Callable[[], list[Row]]]]:
    """Name and function of the measurement; none where the system does not tell a process's peak memory."""
    return [('masks', lambda: mask_rows(folder, rounds))] if Path('/proc/self/clear_refs').exists() else []


def mask_rows(folder: CocoFolder, rounds: int) -> list[Row]:
    """Seconds and peak memory of each way, the ways in turns."""
    picture = find_picture(folder)
    with tempfile.TemporaryDirectory() as temporary:
        weights = Path(temporary) / 'weights.pth'
        torch.save(detector_like_trained(cv2.imread(str(picture))).state_dict(), weights)
        found = {way: [] for way in WAYS}
        for _ in range(max(1, rounds // 5)):
            for way in WAYS:
                found[way].append(_in_process(way, weights, picture))
    best = {way: {k: min(f[k] for f in runs) for k in runs[0]} for way, runs in found.items()}
    return [row for way in ('whole', 'tiles') for row in rows_of(way, best[way], best['mmdet'])]


def rows_of(way: str, ours: dict[str, float], mmdet: dict[str, float]) -> list[Row]:
    """Rows of one of our ways from its ``seconds`` and ``peak_mb`` and those of mmdet."""
    what = f'masks of {len(FACTORS)} factors of a picture, {WAYS[way]}'
    return [
        Row(
            f'{what}: seconds',
            f'{ours["seconds"]:.1f} s',
            f'mmdet at each factor, {mmdet["seconds"]:.1f} s',
            ours['seconds'] / mmdet['seconds'],
            Target(1, at_least=False),
            'x the time',
        ),
        Row(
            f'{what}: peak memory above that of the detector',
            f'{ours["peak_mb"]:.0f} MB',
            f'mmdet at each factor, {mmdet["peak_mb"]:.0f} MB',
            ours['peak_mb'] / mmdet['peak_mb'],
            Target(MOST_MEMORY, at_least=False),
            'x the memory',
        ),
    ]


def find_picture(folder: CocoFolder) -> Path:
    """The first picture of 640x480 px, or the first of all."""
    images = DATASETS.build(dict(**folder.dataset_cfg(), pipeline=[]))
    infos = [images.get_data_info(i) for i in range(len(images))]
    fitting = [i for i in infos if (i['width'], i['height']) == IMAGE_WH]
    return Path((fitting or infos)[0]['img_path'])


def build_detector() -> nn.Module:
    """Mask R-CNN with ResNet-18-FPN and random weights, always the same."""
    cfg = Config.fromfile(CONFIGS / MASK_RCNN).model
    cfg.backbone.init_cfg = None
    return build_tiny_detector(cfg)


def detector_like_trained(pixels: np.ndarray) -> nn.Module:
    """The detector, its scores spread on a picture as those of a trained one, which decides what a merge has to do.

    Class logits get a standard deviation of 2 among boxes, and no class is ahead but the background, so far that 50
    candidates of a view score above 0.05.
    """
    model = build_detector()
    layer, seen = model.roi_head.bbox_head.fc_cls, []
    hook = layer.register_forward_hook(lambda module, inputs, output: seen.append(output))
    smaller = FACTORS[2:]
    detect_with_mmdet(model, pixels, smaller)
    hook.remove()
    with torch.no_grad():
        logits = torch.cat(seen)
        gain = LOGIT_STD / logits.std(dim=0).mean()
        bias = -logits.mean(dim=0) * gain
        bias[-1] += _background_lead(logits * gain + bias, CANDIDATES * len(smaller))
        layer.weight.mul_(gain)
        layer.bias.copy_(bias)
    return model


def _background_lead(logits: torch.Tensor, candidates: int) -> float:
    """What to add to the last class so that so many scores of the others are above ``SCORE``."""
    low, high = 0.0, 100.0
    for _ in range(30):
        lead = (low + high) / 2
        moved = logits.clone()
        moved[:, -1] += lead
        many = (moved.softmax(dim=1)[:, :-1] > SCORE).sum() > candidates
        low, high = (lead, high) if many else (low, lead)
    return high


def detect_with_mmdet(model: nn.Module, pixels: np.ndarray, factors: tuple[float, ...] = FACTORS) -> list:
    """Detections with masks of original size, of each factor by itself, all kept."""
    height, width = pixels.shape[:2]
    found = []
    for factor in factors:
        view = crop_resample(pixels, Chip.full((width, height), (round(width * factor), round(height * factor))))
        meta = dict(img_id=0, ori_shape=(height, width), img_shape=view.shape[:2], scale_factor=(factor, factor))
        data = dict(
            inputs=[torch.from_numpy(np.ascontiguousarray(view.transpose(2, 0, 1)))],
            data_samples=[DetDataSample(metainfo=meta)],
        )
        with torch.no_grad():
            found.append(model.test_step(data)[0].pred_instances)
    return found


def _function_of(way: str, model: nn.Module, pixels: np.ndarray) -> Callable[[], object]:
    if way == 'mmdet':
        return lambda: detect_with_mmdet(model, pixels)
    if way == 'whole':
        generator, view_filter = PyramidChips(FACTORS), ViewFilter.build(None)
    else:
        generator = PyramidChips(FACTORS, max_pixels=MAX_PIXELS, overlap=OVERLAP)
        view_filter = ViewFilter.build(dict(edge_margin=TILE_EDGE_MARGIN))
    detector = ChipDetector(model, generator, view_filter=view_filter).eval()
    return lambda: detect_image(detector, pixels)


def measure(way: str, weights: str | Path, picture: str | Path) -> dict[str, float]:
    """Seconds of the processor and peak memory of one way, in this process.

    Returns:
        ``seconds`` of processor time, which other jobs hardly change, and ``peak_mb``, above the memory that the
        process held with the detector loaded.
    """
    torch.set_num_threads(1)
    init_default_scope('mmdet')
    model = build_detector()
    model.load_state_dict(torch.load(weights, weights_only=True))
    run = _function_of(way, model, cv2.imread(str(picture)))
    Path('/proc/self/clear_refs').write_text('5')  # the peak begins anew
    before, start = _memory_mb('VmRSS'), time.process_time()
    run()
    return dict(seconds=time.process_time() - start, peak_mb=_memory_mb('VmHWM') - before)


def _memory_mb(name: str) -> float:
    return int(re.search(rf'{name}:\s+(\d+) kB', Path('/proc/self/status').read_text())[1]) / 1024


def _in_process(way: str, weights: Path, picture: Path) -> dict[str, float]:
    command = [sys.executable, '-W', 'ignore', '-m', __name__, way, str(weights), str(picture)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f'measuring masks, {way}: {done.stderr[-2000:]}')
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == '__main__':
    print(json.dumps(measure(*sys.argv[1:])))
