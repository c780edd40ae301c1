"""The expanding half of a U-Net (Ronneberger et al., 2015), for features of any backbone."""

from collections.abc import Sequence

import torch
from mmcv.cnn import ConvModule
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional

DEFAULT_NORM = dict(type='BN')


@MODELS.register_module()
class UNetDecoder(BaseModule):
    """Upsample, put the backbone's features of that size beside it, two 3x3 convolutions; and again.

    A step goes to the exact size of the next finer features, so that images of any size will do. Steps beyond the
    finest features double the size; what is left to the image's size is interpolated after the head.

    Args:
        in_channels: Channels of the backbone's feature maps, finest first.
        channels: Channels of each step, coarsest first: one per feature map but the coarsest, and as many more as there
            are to be steps without features.
        norm_cfg: Normalisation in the convolutions, ``None`` for none.
        init_cfg: Of ``BaseModule``.

    Raises:
        ValueError: If there are fewer steps than feature maps to join.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: Sequence[int],
        norm_cfg: dict | None = DEFAULT_NORM,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if len(channels) < len(in_channels) - 1 or not in_channels:
            raise ValueError(
                f'UNetDecoder joins {len(in_channels)} feature maps in {len(in_channels) - 1} steps, but channels has '
                f'{len(channels)}: {list(channels)}'
            )
        self.in_channels = tuple(in_channels)
        self.out_channels = channels[-1] if channels else in_channels[-1]
        skips = [*in_channels[-2::-1], *[0] * (len(channels) - len(in_channels) + 1)]
        self.steps = nn.ModuleList()
        previous = in_channels[-1]
        options = dict(kernel_size=3, padding=1, norm_cfg=norm_cfg)
        for skip, width in zip(skips, channels):
            convs = ConvModule(previous + skip, width, **options), ConvModule(width, width, **options)
            self.steps.append(nn.Sequential(*convs))
            previous = width

    def forward(self, features: Sequence[Tensor], size_hw: tuple[int, int]) -> Tensor:
        """Join the features.

        Args:
            features: (B, C_i, h_i, w_i), finest first.
            size_hw: Height and width of the image; no step goes beyond it.

        Returns:
            (B, out_channels, h, w).

        Raises:
            ValueError: If there are not as many feature maps as announced.
        """
        if len(features) != len(self.in_channels):
            raise ValueError(f'UNetDecoder joins {len(self.in_channels)} feature maps, got {len(features)}')
        x = features[-1]
        skips = [*features[-2::-1], *[None] * (len(self.steps) - len(features) + 1)]
        for step, skip in zip(self.steps, skips):
            if skip is None:
                size = [min(2 * side, whole) for side, whole in zip(x.shape[-2:], size_hw)]
                x = resized(x, size)
            else:
                x = torch.cat([resized(x, skip.shape[-2:]), skip], dim=1)
            x = step(x)
        return x


def resized(maps: Tensor, size_hw: Sequence[int]) -> Tensor:
    """(B, C, h, w) maps, bilinearly interpolated to ``size_hw``."""
    if tuple(maps.shape[-2:]) == tuple(size_hw):
        return maps
    return functional.interpolate(maps, size=tuple(size_hw), mode='bilinear', align_corners=False)
