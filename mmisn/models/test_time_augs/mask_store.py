"""What passes between a detector that looks at views and the merge of their masks."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmisn.structures import Chip, ViewFilter


@dataclass(frozen=True)
class MaskRequest:
    """Which masks of a view are wanted.

    Args:
        image: Number of the image.
        view: Number of the image's view.
        chip: That the view shows.
        view_filter: What the view may report.
        boxes_view: (n, 4) boxes in view pixels whose masks are wanted; ``None`` for those of the view's own detections.
        labels: (n,) their classes.
        rows: Which detections of the view they are, for ``LeadingFeatures``.
    """

    image: int
    view: int
    chip: Chip
    view_filter: ViewFilter
    boxes_view: Tensor | None = None
    labels: Tensor | None = None
    rows: Sequence[int] | None = None


@dataclass(frozen=True)
class StoredMasks:
    """Masks of a view.

    Args:
        boxes_xyxy: (n, 4) boxes in pixels of the original image.
        labels: (n,) classes.
        probs: (n, m, m) probabilities on a grid that the box is divided into, not flipped; (0, 0, 0) if there are none.
    """

    boxes_xyxy: Tensor
    labels: Tensor
    probs: Tensor


class MaskStore:
    """Masks by image and view."""

    def __init__(self) -> None:
        self._stored: dict[tuple[int, int], StoredMasks] = {}

    def add(self, request: MaskRequest, boxes_xyxy: Tensor, labels: Tensor, probs: Sequence[Tensor]) -> Tensor:
        """Store masks of a view.

        Args:
            request: Names the view and its chip.
            boxes_xyxy: (n, 4) boxes in pixels of the original image.
            labels: (n,) classes.
            probs: n times (m, m) probabilities in chunks, flipped where the chip is.

        Returns:
            (n,) places of the masks in ``masks_of``.
        """
        before = self.masks_of(request.image, request.view)
        first = len(before.labels)
        ids = torch.arange(first, first + len(labels), device=labels.device)
        if len(labels):
            upright = [p.flip(-1) if request.chip.flip else p for p in probs]
            parts = [StoredMasks(boxes_xyxy, labels, torch.cat(upright))]
            parts = parts if first == 0 else [before, *parts]
            columns = zip(*((p.boxes_xyxy, p.labels, p.probs) for p in parts))
            self._stored[request.image, request.view] = StoredMasks(*map(torch.cat, columns))
        return ids

    def masks_of(self, image: int, view: int) -> StoredMasks:
        """Masks of a view, in the order in which they were added."""
        none = StoredMasks(torch.zeros(0, 4), torch.zeros(0, dtype=torch.long), torch.zeros(0, 0, 0))
        return self._stored.get((image, view), none)

    @property
    def num_bytes(self) -> int:
        """Memory that the stored probabilities take."""
        return sum(s.probs.numel() * s.probs.element_size() for s in self._stored.values())
