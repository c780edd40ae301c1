from abc import ABCMeta, abstractmethod

from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from torch import Tensor, nn


class BaseKeypointHead(BaseModule, metaclass=ABCMeta):
    """A stack of 3x3 convolutions on the features of a RoI; subclasses predict keypoints from it.

    The map that a head predicts on follows from the size of its features, so the extractor alone sets it.

    Args:
        num_keypoints: Keypoints of an object.
        num_convs: 3x3 convolutions, each with ReLU.
        in_channels: Channels of the features.
        conv_out_channels: Channels of the convolutions.
        conv_cfg: Kind of convolution, see ``ConvModule``.
        norm_cfg: Normalization after each convolution, ``None`` for none as in Mask R-CNN.
        init_cfg: Initial weights.

    Raises:
        ValueError: If a number is not a positive integer (``num_convs`` may be 0).
    """

    def __init__(
        self,
        num_keypoints: int,
        num_convs: int,
        in_channels: int,
        conv_out_channels: int,
        conv_cfg: dict | None,
        norm_cfg: dict | None,
        init_cfg: dict | list | None,
    ) -> None:
        numbers = dict(num_keypoints=num_keypoints, in_channels=in_channels, conv_out_channels=conv_out_channels)
        for name, value in numbers.items():
            if not isinstance(value, int) or value < 1:
                raise ValueError(f'{name} must be a positive integer, got {value!r}')
        if not isinstance(num_convs, int) or num_convs < 0:
            raise ValueError(f'num_convs must be an integer of at least 0, got {num_convs!r}')
        super().__init__(init_cfg=init_cfg)
        self.num_keypoints = num_keypoints
        widths = [in_channels] + [conv_out_channels] * num_convs
        self.convs = nn.Sequential(
            *(ConvModule(i, o, 3, padding=1, conv_cfg=conv_cfg, norm_cfg=norm_cfg) for i, o in zip(widths, widths[1:]))
        )
        self.feature_channels = widths[-1]

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Predict the maps of N RoIs from their (N, C, h, w) features."""

    @abstractmethod
    def loss(
        self, preds: Tensor | tuple[Tensor, ...], rois: Tensor, keypoints: Tensor, visible: Tensor
    ) -> dict[str, Tensor]:
        """Losses of the maps of N RoIs; zeros that are part of the graph where no keypoint counts.

        Args:
            preds: What ``forward`` returned.
            rois: (N, 4) xyxy in view pixels.
            keypoints: (N, K, 2) x, y of the RoIs' objects in view pixels.
            visible: (N, K) COCO visibility. A keypoint counts if it is labelled and in the RoI.
        """

    @abstractmethod
    def decode(self, preds: Tensor | tuple[Tensor, ...], rois: Tensor) -> tuple[Tensor, Tensor]:
        """Keypoints (N, K, 2) in view pixels and their scores (N, K), float32, from the maps of N RoIs."""
