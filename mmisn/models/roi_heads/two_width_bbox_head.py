from typing import Any

from mmdet.models.roi_heads.bbox_heads import ConvFCBBoxHead
from mmdet.registry import MODELS
from torch import nn


@MODELS.register_module()
class TwoWidthBBoxHead(ConvFCBBoxHead):
    """Box head with two shared fcs of different width, for small backbones (ISN section 4.1).

    With two equal widths it is ``Shared2FCBBoxHead``, down to the keys of its weights.

    Args:
        fc_out_channels: Width of the first and of the second fc; classifier and regressor read the second.
        **kwargs: Arguments of ``ConvFCBBoxHead``, without numbers of convolutions and fcs.

    Raises:
        ValueError: If ``fc_out_channels`` is not two positive integers, or an argument of ``ConvFCBBoxHead`` is given
            that would contradict it.
    """

    def __init__(self, fc_out_channels: tuple[int, int] = (512, 256), **kwargs: Any) -> None:
        widths = tuple(fc_out_channels) if isinstance(fc_out_channels, (list, tuple)) else (fc_out_channels,)
        if len(widths) != 2 or any(not isinstance(c, int) or c < 1 for c in widths):
            raise ValueError(f'fc_out_channels must be two positive integers, got {fc_out_channels!r}')
        wrong = sorted(k for k in kwargs if k == 'conv_out_channels' or k.startswith('num_shared'))
        wrong += sorted(k for k in kwargs if k.startswith(('num_cls_', 'num_reg_')))
        if wrong:
            raise ValueError(f'TwoWidthBBoxHead has two shared fcs and nothing else, it cannot take {wrong}')
        super().__init__(num_shared_fcs=2, fc_out_channels=widths[1], **kwargs)
        # Replaced in place, so that names, and with them init_cfg and checkpoints, are the parent's.
        self.shared_fcs[0] = nn.Linear(self.shared_fcs[0].in_features, widths[0])
        self.shared_fcs[1] = nn.Linear(*widths)
