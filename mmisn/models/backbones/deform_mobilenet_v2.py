"""MobileNetV2 with deformable convolutions, which mmdet's has not."""

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from mmcv.ops import DeformConv2dPack
from mmdet.models.backbones import MobileNetV2
from mmdet.registry import MODELS
from torch import Tensor, nn

# Which of MobileNetV2's seven layers make up the stages c2 to c5, those of strides 4, 8, 16 and 32.
STAGE_LAYERS = ((2,), (3,), (4, 5), (6, 7))


class SmallInputDeformConv(DeformConv2dPack):
    """mmcv's ``DCN`` that also takes maps smaller than its kernel, which mmcv refuses.

    Such maps are padded with zeros at the right and bottom, which is what the convolution reads beyond the border
    anyway, and the output is cut to its size.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (B, C, H, W), H and W >= 1."""
        height, width = x.shape[-2:]
        pad_h, pad_w = (max(k - side, 0) for k, side in zip(self.kernel_size, (height, width)))
        if not pad_h and not pad_w:
            return super().forward(x)
        out = super().forward(F.pad(x, (0, pad_w, 0, pad_h)))
        return out[..., : self._output_side(height, 0), : self._output_side(width, 1)].contiguous()

    def _output_side(self, side: int, axis: int) -> int:
        reach = self.dilation[axis] * (self.kernel_size[axis] - 1) + 1
        return (side + 2 * self.padding[axis] - reach) // self.stride[axis] + 1


@MODELS.register_module()
class DeformMobileNetV2(MobileNetV2):
    """MobileNetV2 whose depthwise 3x3 convolutions of chosen stages are deformable, version 1 (ISN tables 3 and 8).

    The keys of the weights are MobileNetV2's, plus ``conv_offset`` beside each deformable one. Offsets start at zero,
    so that a pretrained MobileNetV2 gives the same output before training.

    Args:
        dcn: ``type`` must be ``DCN``. ``deform_groups`` is the number of channel groups with offsets of their own,
            1 by default. With ``fallback_on_stride=True`` convolutions of stride 2 stay plain. ``None`` for no
            deformable convolution.
        stage_with_dcn: For each of the stages c2 to c5 (strides 4, 8, 16, 32; MobileNetV2's layers 2, 3, 4-5, 6-7)
            whether it is deformable. c3 to c5 by default.
        **kwargs: Arguments of ``MobileNetV2``.

    Raises:
        ValueError: If ``dcn`` has unknown keys or another type, ``stage_with_dcn`` has not four entries, or
            ``deform_groups`` does not divide the channels of a convolution.
    """

    def __init__(
        self,
        dcn: dict | None = None,
        stage_with_dcn: Sequence[bool] = (False, True, True, True),
        **kwargs: Any,
    ) -> None:
        if len(stage_with_dcn) != len(STAGE_LAYERS):
            raise ValueError(f'stage_with_dcn must have an entry for each of c2, c3, c4 and c5, got {stage_with_dcn!r}')
        options = {'type': 'DCN', 'deform_groups': 1, 'fallback_on_stride': False, **(dcn or {})}
        if len(options) > 3 or options['type'] != 'DCN':
            raise ValueError(
                f"dcn must be a dict with type='DCN', deform_groups and fallback_on_stride, or None, got {dcn!r}"
            )
        super().__init__(**kwargs)
        self.dcn = dcn
        self.stage_with_dcn = tuple(stage_with_dcn)
        if dcn is None:
            return
        for layers, deformable in zip(STAGE_LAYERS, stage_with_dcn):
            for index in layers if deformable else ():
                for block in getattr(self, f'layer{index}'):
                    self._deform(block.depthwise_conv, options['deform_groups'], options['fallback_on_stride'])

    @staticmethod
    def _deform(depthwise: nn.Module, deform_groups: int, fallback_on_stride: bool) -> None:
        """Replace the convolution of a depthwise ``ConvModule``."""
        conv = depthwise.conv
        if fallback_on_stride and max(conv.stride) > 1:
            return
        if not isinstance(deform_groups, int) or deform_groups < 1 or conv.in_channels % deform_groups:
            raise ValueError(f'deform_groups must divide {conv.in_channels} channels, got {deform_groups!r}')
        depthwise.conv = SmallInputDeformConv(
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size,
            stride=conv.stride,
            padding=conv.padding,
            dilation=conv.dilation,
            groups=conv.groups,
            deform_groups=deform_groups,
        )

    def init_weights(self) -> None:
        """Initialize as MobileNetV2, with offsets of zero unless a checkpoint was loaded."""
        configs = self.init_cfg if isinstance(self.init_cfg, (list, tuple)) else [self.init_cfg]
        pretrained = any(cfg and cfg['type'] == 'Pretrained' for cfg in configs)
        again = self.is_init
        super().init_weights()
        if pretrained or again:
            return
        for module in self.modules():
            if isinstance(module, DeformConv2dPack):
                # The default init_cfg draws all Conv2d, the one of the offsets included.
                module.init_offset()
