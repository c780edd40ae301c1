"""``ScaleNet``: how large is the object that a pixel belongs to?"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmcv import rescale_size
from mmdet.models.detectors import BaseDetector
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.structures import PixelData
from torch import Tensor

from mmisn.structures import Chip, crop_resample

from .scale_heads import targets_of
from .unet_decoder import resized


@MODELS.register_module()
class ScaleNet(BaseDetector):
    """A U-Net that predicts the scale of objects pixel by pixel (ScaleNet, "Proposed Approach").

    It is trained and tested as a detector is, on data samples with boxes and, where there are any, masks. Behind a
    detector, ``predict_maps`` is what chip generators ask.

    Args:
        backbone: Config of any backbone of mmdet; the first features are the finest.
        decoder: Config of the decoder, ``UNetDecoder``.
        head: Config of the head, ``ScaleClassHead`` or ``ScaleRegressionHead``; its ``in_channels`` are the decoder's.
        view_size: Width and height that ``predict_maps`` gives every image, windows too, as (512, 512) in the paper; by
            default images are seen as they are. It should be what the training pipeline's ``Resize`` has.
        keep_ratio: Whether an image keeps its shape and ``view_size`` is what it has to fit into, as in ``Resize``.
        batch_size: Images of equal size that ``predict_maps`` looks at together, at most.
        data_preprocessor: Config of mmdet's ``DetDataPreprocessor``.
        train_cfg: Not used; mmdet's configs have it.
        test_cfg: Not used.
        init_cfg: Of ``BaseModule``.

    Raises:
        ValueError: If an option is invalid.
    """

    def __init__(
        self,
        backbone: dict,
        decoder: dict,
        head: dict,
        view_size: Sequence[int] | None = None,
        keep_ratio: bool = False,
        batch_size: int = 8,
        data_preprocessor: dict | None = None,
        train_cfg: dict | None = None,
        test_cfg: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        if view_size is not None and (len(view_size) != 2 or any(v != int(v) or v < 1 for v in view_size)):
            raise ValueError(f'ScaleNet.view_size must be a width and a height in pixels, got {view_size!r}')
        if not batch_size >= 1:
            raise ValueError(f'ScaleNet.batch_size must be at least 1, got {batch_size!r}')
        self.backbone = MODELS.build(backbone)
        self.decoder = MODELS.build(decoder)
        self.head = MODELS.build(dict(head, in_channels=self.decoder.out_channels))
        self.view_size = None if view_size is None else tuple(int(v) for v in view_size)
        self.keep_ratio = keep_ratio
        self.batch_size = batch_size

    @property
    def class_bounds(self) -> tuple[float, ...] | None:
        """Edges of the classes: class i holds the scales in [class_bounds[i - 1], class_bounds[i]).

        One per channel of a map, the first 0 and the last infinite, in pixels of the image as the network sees it (see
        ``view_wh``): sqrt(w * h) or sqrt(mask area), by ``measure``. ``None`` where the network predicts no classes.
        """
        classes = self.head.scale_classes
        return None if classes is None else classes.bounds_px

    @property
    def measure(self) -> str:
        """``sqrt_box`` or ``mask_area``."""
        return self.head.measure

    def view_wh(self, image_wh: tuple[int, int]) -> tuple[int, int]:
        """The size at which ``predict_maps`` looks at an image of this width and height."""
        if self.view_size is None:
            return tuple(image_wh)
        if not self.keep_ratio:
            return self.view_size
        # mmcv rounds the short side of an extreme shape to 0.
        width, height = rescale_size(image_wh, self.view_size)
        return max(1, width), max(1, height)

    def extract_feat(self, batch_inputs: Tensor) -> Tensor:
        """(B, C, h', w') features of (B, 3, h, w) preprocessed images, of the decoder's resolution."""
        return self.decoder(self.backbone(batch_inputs), batch_inputs.shape[-2:])

    def _forward(self, batch_inputs: Tensor, batch_data_samples: Sequence[DetDataSample] | None = None) -> Tensor:
        """Raw output of the head, (B, C or 1, h, w), interpolated to the images' size."""
        return resized(self.head(self.extract_feat(batch_inputs)), batch_inputs.shape[-2:])

    def loss(self, batch_inputs: Tensor, batch_data_samples: Sequence[DetDataSample]) -> dict[str, Tensor]:
        """The head's loss.

        Args:
            batch_inputs: (B, 3, h, w) preprocessed images.
            batch_data_samples: Their data samples; objects in pixels of the images as given.
        """
        targets = targets_of(self.head, batch_data_samples, batch_inputs.shape[-2:], batch_inputs.device)
        return self.head.loss(self._forward(batch_inputs), targets)

    def predict(
        self, batch_inputs: Tensor, batch_data_samples: Sequence[DetDataSample], rescale: bool = True
    ) -> list[DetDataSample]:
        """Predict scale maps.

        Args:
            batch_inputs: (B, 3, h, w) preprocessed images.
            batch_data_samples: Their data samples; they are not changed.
            rescale: Without effect: scales are those in the image as it is seen.

        Returns:
            Copies of the data samples with ``pred_scale_map``, ``PixelData`` of each image's ``img_shape``: ``maps``,
            (C, h, w) probabilities or (1, h, w) relative scales; and, as meta information, ``scale_classes`` (``None``
            for relative scales), ``measure`` and ``unit``.
        """
        maps = self.head.maps(self._forward(batch_inputs))
        about = dict(scale_classes=self.head.scale_classes, measure=self.measure, unit=getattr(self.head, 'unit', None))
        found = []
        for whole, sample in zip(maps, batch_data_samples):
            height, width = sample.img_shape[:2]
            result = sample.clone()
            # PixelData adds the axis that relative scales lack.
            result.pred_scale_map = PixelData(metainfo=about, maps=whole[..., :height, :width])
            found.append(result)
        return found

    @torch.no_grad()
    def predict_maps(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Scale maps of raw images.

        Args:
            images: (H, W, 3) uint8 BGR arrays of any sizes.

        Returns:
            float32 arrays of each image's height and width: (C, H, W) probabilities, class 0 is background, or (H, W)
            relative scales, 0 is background. Scales are those in the image as the network sees it, see ``view_wh``.

        Raises:
            ValueError: If an image is something else.
        """
        views = [self._view_of(image, index) for index, image in enumerate(images)]
        found: list[Any] = [None] * len(views)
        by_size: dict[tuple, list[int]] = {}
        for index, view in enumerate(views):
            by_size.setdefault(view.shape, []).append(index)
        training = self.training
        # Walking through all modules twice takes milliseconds: not where there is nothing to change.
        if training:
            self.eval()
        try:
            for group in by_size.values():
                for start in range(0, len(group), self.batch_size):
                    batch = group[start : start + self.batch_size]
                    for index, raw in zip(batch, self._raw_maps([views[i] for i in batch])):
                        whole = self.head.maps(resized(raw[None], images[index].shape[:2]))
                        found[index] = whole[0].cpu().numpy()
        finally:
            if training:
                self.train()
        return found

    def _view_of(self, image: Any, index: int) -> np.ndarray:
        valid = isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
        if not valid or 0 in image.shape:
            kind = f'{image.dtype} of shape {image.shape}' if isinstance(image, np.ndarray) else type(image).__name__
            raise ValueError(f'ScaleNet looks at (height, width, 3) uint8 BGR images; image {index} is {kind}')
        image_wh = (image.shape[1], image.shape[0])
        return crop_resample(image, Chip.full(image_wh, self.view_wh(image_wh)))

    def _raw_maps(self, views: Sequence[np.ndarray]) -> Tensor:
        """(B, C or 1, h, w) raw output for views of one size, without the padding that the preprocessor adds."""
        inputs = [torch.from_numpy(np.ascontiguousarray(view.transpose(2, 0, 1))) for view in views]
        batch = self.data_preprocessor(dict(inputs=inputs, data_samples=None))['inputs']
        height, width = views[0].shape[:2]
        return self._forward(batch)[..., :height, :width]
