"""What a view is and what it may report, as read from configs and from the meta information of data samples."""

from collections.abc import Sequence
from typing import Any

from mmisn.structures import Chip, ScaleRange, ViewFilter, is_range_list

# Meta information that holds for a view but not for the image that it shows.
_VIEW_KEYS = (
    'chip',
    'chip_is_cropped',
    'gts_in_original',
    'scale_range',
    'mask_request',
    'pad_shape',
    'batch_input_shape',
    'keep_ratio',
)


def build_view_filters(scale_range: Any = None, view_filter: Any = None) -> ViewFilter | list[ViewFilter]:
    """Read one rule for all views, or one per view, from a config.

    Args:
        scale_range: Anything that ``ScaleRange.build`` takes, or a list of these, one per view.
        view_filter: Anything that ``ViewFilter.build`` takes, or a list of these, one per view.

    Raises:
        ValueError: If both are given or one is invalid.
    """
    if scale_range is not None and view_filter is not None:
        raise ValueError(
            f'give scale_range or view_filter (which has a scale_range), not both, got {scale_range!r} and '
            f'{view_filter!r}'
        )
    if view_filter is not None:
        if isinstance(view_filter, (list, tuple)):
            return [ViewFilter.build(f) for f in view_filter]
        return ViewFilter.build(view_filter)
    if is_range_list(scale_range):
        return [ViewFilter(ScaleRange.build(r)) for r in scale_range]
    return ViewFilter(ScaleRange.build(scale_range))


def filters_of_views(view_filters: ViewFilter | Sequence[ViewFilter] | None, num_views: int) -> list[ViewFilter]:
    """One rule per view.

    Raises:
        ValueError: If there are several rules but not one per view.
    """
    if view_filters is None or isinstance(view_filters, ViewFilter):
        return [ViewFilter.build(view_filters)] * num_views
    if len(view_filters) != num_views:
        raise ValueError(
            f'{len(view_filters)} view filters or scale ranges for {num_views} views; give one for all views or one '
            'per view, in their order'
        )
    return list(view_filters)


def chip_of_view(metainfo: dict) -> Chip:
    """The chip that a view shows.

    Args:
        metainfo: Of the view's data sample. ``chip`` if there is one; else the view is the whole image, resized and
            perhaps flipped by mmdet's own transforms, and ``ori_shape`` and ``scale_factor`` (or, without it,
            ``img_shape``), ``flip`` and ``flip_direction`` tell how.

    Raises:
        ValueError: If the view has no chip and is flipped other than left to right, or was cropped.
    """
    if metainfo.get('chip') is not None:
        return metainfo['chip']
    for key in ('ori_shape', 'img_shape'):
        if key not in metainfo:
            raise ValueError(f'a view without a chip needs {key} in its meta keys, got {sorted(metainfo)}')
    flip = bool(metainfo.get('flip', False))
    if flip and metainfo.get('flip_direction', 'horizontal') != 'horizontal':
        raise ValueError(f'only horizontal flips can be merged, got flip_direction={metainfo["flip_direction"]!r}')
    height, width = metainfo['ori_shape'][:2]
    shown_h, shown_w = metainfo['img_shape'][:2]
    # mmcv's Pad adds its border to img_shape; scale_factor still tells the size before it.
    fx, fy = metainfo.get('scale_factor', (shown_w / width, shown_h / height))
    size_wh = (max(1, round(width * fx)), max(1, round(height * fy)))
    if shown_w < size_wh[0] or shown_h < size_wh[1]:
        raise ValueError(
            f'a view of {shown_w}x{shown_h} px cannot be the whole image at {size_wh[0]}x{size_wh[1]} px; a cropped '
            'view needs its chip in the meta keys'
        )
    return Chip.full((width, height), size_wh, flip)


def metainfo_of_image(metainfo: dict) -> dict:
    """Meta information of the original image, from that of one of its views."""
    kept = {k: v for k, v in metainfo.items() if k not in _VIEW_KEYS}
    shape = tuple(metainfo['ori_shape'][:2])
    return dict(kept, img_shape=shape, scale_factor=(1.0, 1.0), flip=False, flip_direction=None)
