"""A scale net and a detector that read the answer off pictures of squares, each of its own grey level."""

import numpy as np
import torch
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from mmengine.structures import InstanceData

BOUNDS = (0.0, 16.0, 32.0, 64.0, float('inf'))
VISIBLE = 16


def painted(image_wh, *squares):
    """A picture with squares (x, y, side) of the grey levels 255, 254, ...; later ones on top."""
    image = np.zeros((*image_wh[::-1], 3), np.uint8)
    for i, (x, y, side) in enumerate(squares):
        image[y : y + side, x : x + side] = 255 - i
    return image


def shapes(image):
    """Grey level, mask and box (x1, y1, x2, y2) of what an (H, W, 3) image shows."""
    grey = image[..., 0]
    for level in np.unique(grey[grey > 0]):
        ys, xs = (grey == level).nonzero()
        yield int(level), grey == level, (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)


@MODELS.register_module()
class SquareScaleNet(BaseModule):
    """Predicts class, or relative scale in units of 32 px, as the side in the view."""

    class_bounds = BOUNDS
    measure = 'sqrt_box'
    unit = 32.0

    def __init__(self, num_weights=1, classes=True, init_cfg=None):
        super().__init__(init_cfg)
        self.classes = classes
        self.asked = []
        self.weight = torch.nn.Parameter(torch.zeros(num_weights))

    def predict_maps(self, images):
        self.asked.append([image.shape[1::-1] for image in images])
        maps = []
        for image in images:
            scales = np.zeros(image.shape[:2], np.float32)
            for _, mask, (x1, y1, x2, y2) in shapes(image):
                scales[mask] = np.sqrt((x2 - x1) * (y2 - y1))
            labels = np.where(scales == 0, 0, np.searchsorted(BOUNDS, scales, side='right'))
            classes = (labels == np.arange(len(BOUNDS))[:, None, None]).astype(np.float32)
            maps.append(classes if self.classes else scales / 32)
        return maps


class SquareDetector(torch.nn.Module):
    """Finds squares of at least ``VISIBLE`` px in a view; scores fall with the grey level, all of class 0."""

    def __init__(self):
        super().__init__()
        self.views = []

    def test_step(self, data):
        assert len({tuple(i.shape) for i in data['inputs']}) == 1
        self.views.append([s.chip for s in data['data_samples']])
        for image, sample in zip(data['inputs'], data['data_samples']):
            found = [(g, b) for g, _, b in shapes(image.permute(1, 2, 0).numpy()) if _side(b) >= VISIBLE]
            boxes = torch.tensor([b for _, b in found], dtype=torch.float32).reshape(-1, 4)
            sample.pred_instances = InstanceData(
                bboxes=boxes / torch.tensor([*sample.scale_factor] * 2),
                scores=torch.tensor([g / 256 for g, _ in found]),
                labels=torch.zeros(len(found), dtype=torch.long),
            )
        return data['data_samples']


def _side(box):
    return np.sqrt((box[2] - box[0]) * (box[3] - box[1]))
