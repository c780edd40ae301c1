"""Raw images as ``ChipDetector`` takes them, and the data samples of their views."""

import numpy as np
import torch
from mmdet.models.utils.misc import samplelist_boxtype2tensor
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from ..test_time_augs import MaskRequest


@MODELS.register_module()
class RawImagePreprocessor(BaseDataPreprocessor):
    """Pass images on as they are: chips are cut on the CPU, and each view then goes through the detector's own."""

    def forward(self, data: dict, training: bool = False) -> dict:
        """Return the inputs unchanged, with ``data_samples`` set to ``None`` where there are none.

        Boxes of data samples become tensors, as ``DetDataPreprocessor`` makes them: visualizers expect it.
        """
        samples = data.get('data_samples')
        samplelist_boxtype2tensor(samples or [])
        return dict(inputs=data['inputs'], data_samples=samples)


def raw_pixels(image: Tensor, sample: DetDataSample) -> np.ndarray:
    """The image as an (H, W, C) uint8 array, if it is the original one.

    Raises:
        ValueError: If it was resized or flipped, or is not uint8.
    """
    shape = tuple(image.shape[-2:])
    original = tuple(sample.ori_shape[:2])
    if shape != original or tuple(sample.get('img_shape', original)[:2]) != original or sample.get('flip', False):
        raise ValueError(
            f'ChipDetector needs the original image, {original[1]}x{original[0]} px, but got {shape[1]}x{shape[0]} px '
            f'(flip: {sample.get("flip", False)}); take Resize, Pad and RandomFlip out of the test pipeline'
        )
    if image.dtype != torch.uint8:
        raise ValueError(
            f'ChipDetector cuts chips from raw uint8 images, got {image.dtype}; the data_preprocessor belongs in '
            'detector'
        )
    return image.permute(1, 2, 0).cpu().numpy()


def view_range(request: MaskRequest) -> tuple[float, float]:
    """Scale range of what a view may report, in its own pixels."""
    own = request.view_filter.scale_range.in_view(request.chip)
    return own.lower, own.upper


def view_sample(metainfo: dict, ori_shape: tuple[int, int], request: MaskRequest) -> DetDataSample:
    """Data sample of a view, as the wrapped detector is given it."""
    chip = request.chip
    shown = dict(
        ori_shape=ori_shape,
        img_shape=chip.size_wh[::-1],
        scale_factor=chip.factors,
        flip=chip.flip,
        flip_direction='horizontal' if chip.flip else None,
        chip=chip,
        scale_range=view_range(request),
    )
    return DetDataSample(metainfo={**metainfo, **shown})
