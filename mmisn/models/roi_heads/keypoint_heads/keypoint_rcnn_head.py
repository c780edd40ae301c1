import torch.nn.functional as F
from mmdet.registry import MODELS
from torch import Tensor, nn

from .base_keypoint_head import BaseKeypointHead
from .one_hot_codec import REFINEMENTS, decode_one_hot, encode_one_hot


@MODELS.register_module()
class KeypointRCNNHead(BaseKeypointHead):
    """Keypoint head of Mask R-CNN (He et al. 2017, section 4.5 and its appendix), the baseline of ISN section 4.3.2.

    Eight 3x3 convolutions of 512 channels on 14x14 features, a deconvolution and bilinear upsampling, each by 2, to
    one 56x56 map per keypoint; a softmax over the map, with cross-entropy against the one cell that holds the keypoint.

    Args:
        num_keypoints: Keypoints of an object; COCO's persons have 17.
        num_convs: 3x3 convolutions.
        in_channels: Channels of the RoI features.
        conv_out_channels: Channels of the convolutions.
        upsample: Factor of the bilinear upsampling after the deconvolution.
        refine: How to decode below the size of a cell, see ``decode_one_hot``. ``bicubic`` is Mask R-CNN's,
            ``quadratic`` is faster on a GPU.
        loss_keypoint: Loss per labelled keypoint in its RoI; averaged over these.
        conv_cfg: Kind of convolution.
        norm_cfg: Normalization after each convolution.
        init_cfg: Initial weights, by default Mask R-CNN's (He, fan out).

    Raises:
        ValueError: If an option is invalid.
    """

    def __init__(
        self,
        num_keypoints: int = 17,
        num_convs: int = 8,
        in_channels: int = 256,
        conv_out_channels: int = 512,
        upsample: int = 2,
        refine: str = 'bicubic',
        loss_keypoint: dict = dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),  # noqa: B006
        conv_cfg: dict | None = None,
        norm_cfg: dict | None = None,
        init_cfg: dict | list | None = dict(  # noqa: B006
            type='Kaiming', layer=['Conv2d', 'ConvTranspose2d'], mode='fan_out', nonlinearity='relu'
        ),
    ) -> None:
        if refine not in REFINEMENTS:
            raise ValueError(f'refine must be one of {REFINEMENTS}, got {refine!r}')
        if not isinstance(upsample, int) or upsample < 1:
            raise ValueError(f'upsample must be a positive integer, got {upsample!r}')
        super().__init__(num_keypoints, num_convs, in_channels, conv_out_channels, conv_cfg, norm_cfg, init_cfg)
        self.upsample = upsample
        self.refine = refine
        self.deconv = nn.ConvTranspose2d(self.feature_channels, num_keypoints, 4, stride=2, padding=1)
        self.loss_keypoint = MODELS.build(loss_keypoint)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, K, 2 · upsample · h, 2 · upsample · w) of N RoIs from their (N, C, h, w) features."""
        logits = self.deconv(self.convs(x))
        return F.interpolate(logits, scale_factor=self.upsample, mode='bilinear', align_corners=False)

    def loss(self, preds: Tensor, rois: Tensor, keypoints: Tensor, visible: Tensor) -> dict[str, Tensor]:
        """``loss_keypoint``; see ``BaseKeypointHead.loss``."""
        cells, valid = encode_one_hot(keypoints, visible, rois, tuple(preds.shape[-2:]))
        # Selected, not weighted: a value that overflowed in half precision must not reach the sum.
        logits = preds.flatten(2)[valid].float()
        if len(logits) == 0:
            return dict(loss_keypoint=logits.sum())
        return dict(loss_keypoint=self.loss_keypoint(logits, cells[valid], avg_factor=len(logits)))

    def decode(self, preds: Tensor, rois: Tensor) -> tuple[Tensor, Tensor]:
        """Keypoints and the probabilities of their cells; see ``decode_one_hot``."""
        return decode_one_hot(preds, rois, self.refine)
