"""MobileNetV2 with deformable convolutions and a last feature of stride 16, which mmdet's has not."""

from collections.abc import Sequence
from typing import Any

from mmcv.ops import DeformConv2dPack
from mmdet.models.backbones import MobileNetV2
from mmdet.registry import MODELS
from torch import nn

from .small_input_dcn import SmallInputDeformConv

# Which of MobileNetV2's seven layers make up the stages c2 to c5, those of strides 4, 8, 16 and 32.
STAGE_LAYERS = ((2,), (3,), (4, 5), (6, 7))


@MODELS.register_module()
class DeformMobileNetV2(MobileNetV2):
    """MobileNetV2 whose depthwise 3x3 convolutions of chosen stages are deformable, version 1 (ISN table 4).

    The keys of the weights are MobileNetV2's, plus ``conv_offset`` beside each deformable one. Offsets start at zero,
    so that a pretrained MobileNetV2 gives the same output before training.

    For detectors without FPN the last stage can keep stride 16 (``output_stride=16``): the convolution that would halve
    the map no longer does, and those after it are dilated by 2. Every second row and column of the finer map is then
    what the plain network computes, so pretrained weights keep their meaning.

    Args:
        dcn: ``type`` must be ``DCN``. ``deform_groups`` is the number of channel groups with offsets of their own,
            1 by default. With ``fallback_on_stride=True`` convolutions of stride 2 stay plain. ``None`` for no
            deformable convolution.
        stage_with_dcn: For each of the stages c2 to c5 (strides 4, 8, 16, 32; MobileNetV2's layers 2, 3, 4-5, 6-7)
            whether it is deformable. c3 to c5 by default.
        output_stride: Stride of c5 and of the convolution after it: 32, or 16.
        **kwargs: Arguments of ``MobileNetV2``.

    Raises:
        ValueError: If ``dcn`` has unknown keys or another type, ``stage_with_dcn`` has not four entries,
            ``deform_groups`` does not divide the channels of a convolution, or ``output_stride`` is another.
    """

    def __init__(
        self,
        dcn: dict | None = None,
        stage_with_dcn: Sequence[bool] = (False, True, True, True),
        output_stride: int = 32,
        **kwargs: Any,
    ) -> None:
        if len(stage_with_dcn) != len(STAGE_LAYERS):
            raise ValueError(f'stage_with_dcn must have an entry for each of c2, c3, c4 and c5, got {stage_with_dcn!r}')
        options = {'type': 'DCN', 'deform_groups': 1, 'fallback_on_stride': False, **(dcn or {})}
        if len(options) > 3 or options['type'] != 'DCN':
            raise ValueError(
                f"dcn must be a dict with type='DCN', deform_groups and fallback_on_stride, or None, got {dcn!r}"
            )
        if output_stride not in (16, 32):
            raise ValueError(f'output_stride must be 16 or 32, got {output_stride!r}')
        super().__init__(**kwargs)
        if output_stride == 16:
            self._dilate_c5()
        self.dcn = dcn
        self.stage_with_dcn = tuple(stage_with_dcn)
        if dcn is None:
            return
        for layers, deformable in zip(STAGE_LAYERS, stage_with_dcn):
            for index in layers if deformable else ():
                for block in getattr(self, f'layer{index}'):
                    self._deform(block.depthwise_conv, options['deform_groups'], options['fallback_on_stride'])

    def _dilate_c5(self) -> None:
        """Keep c5 at stride 16, in place, before any convolution is replaced by a deformable one."""
        for layer in STAGE_LAYERS[-1]:
            for block in getattr(self, f'layer{layer}'):
                conv = block.depthwise_conv.conv
                if max(conv.stride) > 1:
                    conv.stride = (1, 1)
                else:
                    conv.dilation = conv.padding = (2, 2)
                # ConvModule keeps copies for those who look at it.
                for name in ('stride', 'padding', 'dilation'):
                    setattr(block.depthwise_conv, name, getattr(conv, name))

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
