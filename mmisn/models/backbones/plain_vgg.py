from collections.abc import Sequence

from mmcv.cnn import VGG
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor


@MODELS.register_module()
class PlainVGG(VGG, BaseModule):
    """VGG (Simonyan & Zisserman, 2015) whose outputs are the last activations before each pooling, of stride 1 to 16.

    That is what a U-Net joins. mmdet's ``SSDVGG`` has SSD's further layers at its end. Weights are named as
    torchvision's: ``init_cfg=dict(type='Pretrained', checkpoint='torchvision://vgg16')`` loads them, and leaves the
    classifier aside.

    Args:
        depth: 11, 13, 16 or 19.
        out_indices: Stages whose features are returned, of 0 to 4.
        with_bn: Whether batch norm follows each convolution.
        norm_eval: Whether batch norm uses its running statistics in training.
        frozen_stages: Number of first stages that are not trained.
        init_cfg: Of ``BaseModule``; by default Kaiming for random weights.

    Raises:
        ValueError: If a stage does not exist.
    """

    def __init__(
        self,
        depth: int = 16,
        out_indices: Sequence[int] = (0, 1, 2, 3, 4),
        with_bn: bool = False,
        norm_eval: bool = False,
        frozen_stages: int = -1,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        if not out_indices or not set(out_indices) <= set(range(5)):
            raise ValueError(f'PlainVGG.out_indices must be stages of 0 to 4, got {out_indices}')
        # Ceil: half of an odd side is rounded up as in other backbones, so that no image is too small. Even sides are
        # those of torchvision.
        super().__init__(
            depth,
            with_bn=with_bn,
            num_stages=max(out_indices) + 1,
            dilations=(1,) * (max(out_indices) + 1),
            out_indices=tuple(out_indices),
            frozen_stages=frozen_stages,
            bn_eval=norm_eval,
            ceil_mode=True,
            with_last_pool=False,
        )
        self.init_cfg = init_cfg or [
            dict(type='Kaiming', layer='Conv2d'),
            dict(type='Constant', val=1, layer='BatchNorm2d'),
        ]

    def init_weights(self) -> None:
        """Initialise by ``init_cfg``, as every mmdet backbone does; mmcv's VGG has a way of its own."""
        BaseModule.init_weights(self)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Features of the stages ``out_indices``, finest first.

        Args:
            x: (B, 3, h, w) images.
        """
        outs = []
        for stage, (start, end) in enumerate(self.range_sub_modules):
            # All stages but the last end with their pooling.
            pooled = stage < len(self.range_sub_modules) - 1
            x = self.features[start : end - pooled](x)
            if stage in self.out_indices:
                outs.append(x)
            if pooled:
                x = self.features[end - 1](x)
        return tuple(outs)
