"""Masks of mmdet's two kinds, cut by a chip."""

import numpy as np
from mmdet.structures.mask import BitmapMasks, PolygonMasks

from mmisn.structures import Chip, masks_to_view


def crop_masks(masks: BitmapMasks | PolygonMasks, chip: Chip) -> BitmapMasks | PolygonMasks:
    """Map the masks of an image to the view that a chip shows.

    Args:
        masks: N masks of the original image. Run-length codes, of crowds too, are bitmaps once they are loaded
            (``LoadAnnotations(with_mask=True)``).
        chip: Lies inside the image.

    Returns:
        N masks of the same kind and of the view's size. Bitmaps are resampled as ``masks_to_view`` does it. The corners
        of polygons are mapped exactly; polygons that reach beyond the view are cut at its border.
    """
    width, height = chip.size_wh
    if isinstance(masks, BitmapMasks):
        return BitmapMasks(masks_to_view(masks.masks, chip), height, width)
    mapped = [[chip.points_to_view(p.reshape(-1, 2)) for p in polygons] for polygons in masks.masks]
    return PolygonMasks([_cut(polygons, chip.size_wh) for polygons in mapped], height, width)


def _cut(polygons_view: list[np.ndarray], size_wh: tuple[int, int]) -> list[np.ndarray]:
    """(P, 2) polygons of one object as mmdet's flat arrays, cut at the view's border where they reach beyond it."""
    inside = [[p.reshape(-1)] for p in polygons_view if (p >= 0).all() and (p <= size_wh).all()]
    beyond = [[p.reshape(-1)] for p in polygons_view if not ((p >= 0).all() and (p <= size_wh).all())]
    if beyond:
        # Polygons wholly inside are spared this: it splits the ones that cross themselves and loses parts of them.
        beyond = PolygonMasks(beyond, size_wh[1], size_wh[0]).crop(np.array([0, 0, *size_wh])).masks
        beyond = [[p for p in parts if p.any()] for parts in beyond]  # mmdet's stand-ins for nothing
    left = [p for parts in (*inside, *beyond) for p in parts]
    return left or [np.zeros(6)]
