"""Mask features of the detections that lead among the views seen so far, kept until the merge has chosen.

Shape shorthand: n boxes, C channels, m side of the features of a box (14).
"""

from collections.abc import Callable, Sequence

import torch
from mmengine.structures import InstanceData
from torch import Tensor

from .mask_store import MaskRequest
from .merge import merge_views

# Per detection of an image that may be reported, so many keep their features, 200 kB each, at most.
_MOST_PER_REPORTED = 2.5

Place = tuple[int, int]  # of a detection: view, row


class LeadingFeatures:
    """Features of the leading detections of each image; those that fall behind are dropped.

    Those lead that a merge of the views seen so far reports. Others can come back: a box of a later view can suppress
    the one that suppresses them, in hard and in soft NMS alike. So of the suppressed ones, those whose own score is
    above that of the last one reported keep their features too, up to 2.5 times as many as may be reported in all. That
    is no proof: ``missing`` tells whose features are wanted but gone.

    Args:
        nms: Of ``merge_views``.
        max_per_img: Of ``merge_views``.
    """

    def __init__(self, nms: dict | None, max_per_img: int) -> None:
        self.nms = nms
        self.max_per_img = max_per_img
        self._seen: dict[int, list[tuple[MaskRequest, InstanceData]]] = {}
        self._features: dict[int, dict[Place, tuple[Tensor, ...]]] = {}

    def add(
        self,
        request: MaskRequest,
        detections: InstanceData,
        image_wh: tuple[int, int],
        extract: Callable[[Tensor], Sequence[Tensor]],
    ) -> None:
        """Take in a view.

        Args:
            request: Names the view.
            detections: As ``merge_views`` takes them: ``bboxes``, ``scores`` and ``labels``.
            image_wh: Width and height of the original image.
            extract: Gives, for rows of the detections, one (n, C, m, m) tensor per mask head.
        """
        seen = self._seen.setdefault(request.image, [])
        seen.append((request, detections))
        leading = self._leading(seen, image_wh)
        kept = {place: f for place, f in self._features.get(request.image, {}).items() if place in leading}
        self._features[request.image] = kept
        self.put(request, sorted(row for view, row in leading if view == request.view), extract)

    def _leading(self, seen: Sequence[tuple[MaskRequest, InstanceData]], image_wh: tuple[int, int]) -> set[Place]:
        views, filters = [(r.chip, found) for r, found in seen], [r.view_filter for r, _ in seen]
        most = int(_MOST_PER_REPORTED * self.max_per_img)
        merged = merge_views(views, image_wh, filters, self.nms, self.max_per_img)
        in_range = merge_views(views, image_wh, filters, None, most)
        if len(merged) == self.max_per_img:
            in_range = in_range[in_range.scores >= merged.scores[-1]]
        places = [p for found in (merged, in_range) for p in zip(found.view_ids.tolist(), found.view_rows.tolist())]
        return {(seen[number][0].view, row) for number, row in list(dict.fromkeys(places))[:most]}

    def put(self, request: MaskRequest, rows: Sequence[int], extract: Callable[[Tensor], Sequence[Tensor]]) -> None:
        """Extract and keep features of some rows of a view."""
        if len(rows) == 0:
            return
        extracted = extract(torch.as_tensor(rows))
        kept = self._features.setdefault(request.image, {})
        for i, row in enumerate(rows):
            # Copies: a part of a tensor would keep the whole of it in memory.
            kept[request.view, row] = tuple(f[i].clone() for f in extracted)

    def missing(self, image: int, places: Sequence[Place]) -> dict[int, list[int]]:
        """Of these detections, the numbers of those without features, by view."""
        numbers = {}
        for number, place in enumerate(places):
            if place not in self._features.get(image, {}):
                numbers.setdefault(place[0], []).append(number)
        return numbers

    def of(self, image: int, places: Sequence[Place]) -> list[Tensor]:
        """One (n, C, m, m) tensor per mask head."""
        kept = self._features[image]
        return [torch.stack(parts) for parts in zip(*(kept[place] for place in places))]

    @property
    def num_bytes(self) -> int:
        """Memory that the features take."""
        every = (f for kept in self._features.values() for features in kept.values() for f in features)
        return sum(f.numel() * f.element_size() for f in every)
