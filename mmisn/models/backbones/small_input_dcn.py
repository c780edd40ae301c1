"""Deformable convolution of the small maps that views of an image pyramid give."""

import torch.nn.functional as F
from mmcv.ops import DeformConv2dPack, deform_conv2d
from mmdet.registry import MODELS
from torch import Tensor


@MODELS.register_module('DCN')
class SmallInputDeformConv(DeformConv2dPack):
    """mmcv's ``DCN`` that also takes maps smaller than its kernel, which mmcv refuses.

    Such maps are padded with zeros at the right and bottom, which is what the convolution reads beyond the border
    anyway, and the output is cut to its size. The x0.25 view of an image of 256 px leaves 2 px at stride 32.

    Batches may have any length and memory format; mmcv wants whole times 32 images beyond 32, and contiguous offsets.

    It is registered as ``DCN`` in MMDetection's registry and so takes the place of mmcv's in all its networks; outputs
    for larger maps and the keys of weights are the same.
    """

    def init_weights(self) -> None:
        """Set the offsets to zero.

        MMEngine calls this where a ResNet starts from random weights, after it drew all convolutions, the one of the
        offsets included; it does not where a checkpoint was loaded.
        """
        self.init_offset()

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (B, C, H, W), H and W >= 1."""
        height, width = x.shape[-2:]
        pad_h, pad_w = (max(k - side, 0) for k, side in zip(self.kernel_size, (height, width)))
        if not pad_h and not pad_w:
            return self._convolved(x)
        out = self._convolved(F.pad(x, (0, pad_w, 0, pad_h)))
        return out[..., : self._output_side(height, 0), : self._output_side(width, 1)].contiguous()

    def _convolved(self, x: Tensor) -> Tensor:
        # A batch of one channel may have the strides of channels_last and be contiguous; its offsets are not.
        offset = self.conv_offset(x).contiguous()
        geometry = (self.stride, self.padding, self.dilation, self.groups, self.deform_groups)
        # mmcv computes so many images at a time, and a batch must be whole times that.
        step = next(n for n in range(min(self.im2col_step, max(1, len(x))), 0, -1) if len(x) % n == 0)
        return deform_conv2d(x.contiguous(), offset, self.weight, *geometry, False, step)

    def _output_side(self, side: int, axis: int) -> int:
        reach = self.dilation[axis] * (self.kernel_size[axis] - 1) + 1
        return (side + 2 * self.padding[axis] - reach) // self.stride[axis] + 1
