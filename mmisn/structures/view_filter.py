"""What a view may report: ISN's range rule and ScaleNet's edge and class rules are settings of one part."""

from dataclasses import dataclass, field
from typing import Any

from .chip import Chip
from .scale_range import ScaleRange


@dataclass(frozen=True)
class ViewFilter:
    """The rule that decides which detections of a view are kept.

    Args:
        scale_range: Only detections whose scale lies in it are kept (ISN section 3.3.1). Anything that
            ``ScaleRange.build`` takes.
        edge_margin: A detection within this many view pixels of a chip edge that is not an edge of the image is a
            partial object and dropped; ``None`` keeps all. 0 drops the boxes that touch the edge.
        classes: Labels that the view may report; ``None`` for all.

    Raises:
        ValueError: If the range is invalid, the margin is negative or not a number, or a class is negative.
    """

    scale_range: ScaleRange = field(default_factory=ScaleRange)
    edge_margin: float | None = None
    classes: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, 'scale_range', ScaleRange.build(self.scale_range))
        if self.edge_margin is not None and not self.edge_margin >= 0:
            raise ValueError(f'ViewFilter.edge_margin must be >= 0 view pixels or None, got {self.edge_margin}')
        if self.classes is not None:
            object.__setattr__(self, 'classes', tuple(int(c) for c in self.classes))
            if any(c < 0 for c in self.classes):
                raise ValueError(f'ViewFilter.classes must be labels >= 0, got {self.classes}')

    @classmethod
    def build(cls, cfg: Any) -> 'ViewFilter':
        """Make a filter of a ``ViewFilter``, a dict of its arguments, or ``None`` (keep everything)."""
        if isinstance(cfg, cls):
            return cfg
        if cfg is None:
            return cls()
        unknown = sorted(set(cfg) - {'scale_range', 'edge_margin', 'classes'})
        if unknown:
            raise ValueError(
                f'unknown keys {unknown} in view filter {dict(cfg)}; it has scale_range, edge_margin and classes'
            )
        return cls(**cfg)

    def keep(self, boxes_xyxy, labels, chip: Chip, image_wh: tuple[int, int]):
        """Tell which detections of a view are kept.

        Args:
            boxes_xyxy: (N, 4) tensor of boxes, mapped back to the original image.
            labels: (N,) tensor of labels.
            chip: The chip that the view shows.
            image_wh: Width and height of the original image.

        Returns:
            (N,) bool tensor.
        """
        keep = self.scale_range.in_original(chip).contains_boxes(boxes_xyxy)
        if self.edge_margin is not None:
            keep = keep & ~self._near_inner_edge(boxes_xyxy, chip, image_wh)
        if self.classes is not None:
            allowed = (labels[:, None] == labels.new_tensor(self.classes)).any(dim=1)
            keep = keep & allowed
        return keep

    def _near_inner_edge(self, boxes_xyxy, chip: Chip, image_wh: tuple[int, int]):
        x1, y1, x2, y2 = chip.xyxy
        margin_x, margin_y = (self.edge_margin / f for f in chip.factors)
        near = boxes_xyxy.new_zeros(boxes_xyxy.shape[:-1], dtype=bool)
        if x1 > 0:
            near = near | (boxes_xyxy[..., 0] - x1 <= margin_x)
        if y1 > 0:
            near = near | (boxes_xyxy[..., 1] - y1 <= margin_y)
        if x2 < image_wh[0]:
            near = near | (x2 - boxes_xyxy[..., 2] <= margin_x)
        if y2 < image_wh[1]:
            near = near | (y2 - boxes_xyxy[..., 3] <= margin_y)
        return near
