from mmdet.registry import MODELS
from torch import Tensor, nn

from .base_keypoint_head import BaseKeypointHead
from .offset_codec import SMALLEST_RADIUS, decode_hough, decode_peak, encode_offsets

DECODERS = ('peak', 'hough')


@MODELS.register_module()
class OffsetKeypointHead(BaseKeypointHead):
    """Light keypoint head of ISN (section 4.3.2): vicinity maps with 2-D offsets, no deconvolution.

    Eight 3x3 convolutions of 256 channels on 22x16 (h x w) features, then per keypoint a map that says whether a cell
    is in the vicinity of the keypoint and two that hold the vector to it, both with smooth L1. It needs 0.48 times the
    multiply-adds of ``KeypointRCNNHead``.

    The paper leaves open the radius, the unit of the offsets and the loss weights. Here both losses are averaged over
    the cells in vicinities, so that they do not depend on how small a part of the map these are.

    Args:
        num_keypoints: Keypoints of an object; COCO's persons have 17.
        num_convs: 3x3 convolutions.
        in_channels: Channels of the RoI features.
        conv_out_channels: Channels of the convolutions.
        radius: Radius of the vicinity in bins, at least the square root of 1/2, so that every keypoint has a cell. 2
            bins are 3.6 % of the 22x16 map (G-RMI: 3.1 of 44x33 cells, 2.1 %).
        offset_unit: Bins per unit of the predicted offsets; ``None`` is ``radius``, so that targets are in the unit
            disk.
        decode: ``peak``: best cell plus its offset (the paper). ``hough``: all cells vote for where they point to
            (G-RMI, Papandreou et al. 2017, which the paper follows), less sensitive to errors of single offsets.
        hough_cells_per_bin: Resolution of the votes per axis.
        loss_vicinity: Loss of the vicinity map, over all cells of the labelled keypoints in their RoI.
        loss_offset: Loss of the offsets, over the cells in the vicinity.
        conv_cfg: Kind of convolution.
        norm_cfg: Normalization after each convolution.
        init_cfg: Initial weights: He for the convolutions, close to 0 for the predictions.

    Raises:
        ValueError: If an option is invalid.
    """

    def __init__(
        self,
        num_keypoints: int = 17,
        num_convs: int = 8,
        in_channels: int = 256,
        conv_out_channels: int = 256,
        radius: float = 2.0,
        offset_unit: float | None = None,
        decode: str = 'peak',
        hough_cells_per_bin: int = 1,
        loss_vicinity: dict = dict(type='SmoothL1Loss', beta=1.0, loss_weight=1.0),  # noqa: B006
        loss_offset: dict = dict(type='SmoothL1Loss', beta=1.0, loss_weight=1.0),  # noqa: B006
        conv_cfg: dict | None = None,
        norm_cfg: dict | None = None,
        init_cfg: dict | list | None = (
            dict(type='Kaiming', layer='Conv2d', mode='fan_out', nonlinearity='relu'),
            dict(type='Normal', std=0.01, override=[dict(name='conv_vicinity'), dict(name='conv_offset')]),
        ),
    ) -> None:
        self._check(radius, offset_unit, decode, hough_cells_per_bin)
        init_cfg = list(init_cfg) if isinstance(init_cfg, tuple) else init_cfg
        super().__init__(num_keypoints, num_convs, in_channels, conv_out_channels, conv_cfg, norm_cfg, init_cfg)
        self.radius = float(radius)
        self.offset_unit = self.radius if offset_unit is None else float(offset_unit)
        self.decoder = decode
        self.hough_cells_per_bin = hough_cells_per_bin
        self.conv_vicinity = nn.Conv2d(self.feature_channels, num_keypoints, 1)
        self.conv_offset = nn.Conv2d(self.feature_channels, 2 * num_keypoints, 1)
        self.loss_vicinity = MODELS.build(loss_vicinity)
        self.loss_offset = MODELS.build(loss_offset)

    @staticmethod
    def _check(radius: float, offset_unit: float | None, decode: str, hough_cells_per_bin: int) -> None:
        if not radius >= SMALLEST_RADIUS:
            raise ValueError(f'radius must be at least {SMALLEST_RADIUS:.4f} bins, got {radius!r}')
        if offset_unit is not None and not offset_unit > 0:
            raise ValueError(f'offset_unit must be positive, or None for the radius, got {offset_unit!r}')
        if decode not in DECODERS:
            raise ValueError(f'decode must be one of {DECODERS}, got {decode!r}')
        if not isinstance(hough_cells_per_bin, int) or hough_cells_per_bin < 1:
            raise ValueError(f'hough_cells_per_bin must be a positive integer, got {hough_cells_per_bin!r}')

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Maps of N RoIs from their (N, C, h, w) features.

        Returns:
            vicinity: (N, K, h, w), aiming at 1 near the keypoint and at 0 elsewhere.
            offsets: (N, K, 2, h, w) vectors x, y to the keypoint, in ``offset_unit`` bins.
        """
        x = self.convs(x)
        offsets = self.conv_offset(x)
        return self.conv_vicinity(x), offsets.view(len(x), self.num_keypoints, 2, *offsets.shape[-2:])

    def loss(self, preds: tuple[Tensor, Tensor], rois: Tensor, keypoints: Tensor, visible: Tensor) -> dict[str, Tensor]:
        """``loss_keypoint_vicinity`` and ``loss_keypoint_offset``; see ``BaseKeypointHead.loss``."""
        vicinity, offsets = preds
        near, vectors, valid = encode_offsets(keypoints, visible, rois, tuple(vicinity.shape[-2:]), self.radius)
        in_vicinity = near > 0
        # Selected, not weighted: a value that overflowed in half precision must not reach the sum.
        pred_vicinity, near = vicinity[valid].float(), near[valid]
        pred_offsets = offsets.permute(0, 1, 3, 4, 2)[in_vicinity].float()
        vectors = vectors.permute(0, 1, 3, 4, 2)[in_vicinity] / self.offset_unit
        if len(vectors) == 0:
            return dict(loss_keypoint_vicinity=pred_vicinity.sum(), loss_keypoint_offset=pred_offsets.sum())
        cells = len(vectors)
        return dict(
            loss_keypoint_vicinity=self.loss_vicinity(pred_vicinity, near, avg_factor=cells),
            loss_keypoint_offset=self.loss_offset(pred_offsets, vectors, avg_factor=cells),
        )

    def decode(self, preds: tuple[Tensor, Tensor], rois: Tensor) -> tuple[Tensor, Tensor]:
        """Keypoints and scores; see ``decode_peak`` and ``decode_hough``."""
        vicinity, offsets = preds
        offsets = offsets.float() * self.offset_unit
        if self.decoder == 'hough':
            return decode_hough(vicinity, offsets, rois, self.radius, self.hough_cells_per_bin)
        return decode_peak(vicinity, offsets, rois)
