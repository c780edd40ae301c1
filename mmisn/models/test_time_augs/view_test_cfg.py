"""Open up a detector's test settings, so that a view reports all that a filter and a merge want to see."""

import copy
from types import MappingProxyType

from mmengine.config import ConfigDict
from torch import nn

OPEN_TEST_CFG = MappingProxyType(dict(score_thr=1e-3, nms=None, max_per_img=10000))
"""No suppression and in effect no cut within a view. The score threshold is SNIPER's; at 0 a two-stage head would
report every proposal once per class."""


def open_test_cfg(model: nn.Module, view_test_cfg: dict | None = OPEN_TEST_CFG) -> None:
    """Change what a detector's last stage keeps, in place.

    The head that makes the final detections (``roi_head`` of two-stage and set-based detectors, else ``bbox_head``)
    holds its own ``test_cfg`` and reads it at every prediction; that one is changed, and the detector's ``test_cfg``
    with it. The RPN's settings stay as they are. Of ``score_thr``, ``nms`` and ``max_per_img``, those are set that the
    head has; for heads without NMS, which pick the best of their queries, ``max_per_img`` is at most their number.

    Args:
        model: An MMDetection detector.
        view_test_cfg: Settings to change; ``None`` leaves the detector as it is.

    Raises:
        ValueError: If the detector has no such head, or the head has none of the settings, or lacks one that is not of
            the three above.
    """
    if view_test_cfg is None:
        return
    name = next((n for n in ('roi_head', 'bbox_head') if getattr(model, n, None) is not None), None)
    head = None if name is None else getattr(model, name)
    if getattr(head, 'test_cfg', None) is None:
        raise ValueError(
            f'{type(model).__name__} has no roi_head or bbox_head with a test_cfg; set its test_cfg in the config and '
            'view_test_cfg=None'
        )
    opened = ConfigDict(copy.deepcopy(dict(head.test_cfg)))
    unknown = sorted(set(view_test_cfg) - set(opened) - set(OPEN_TEST_CFG))
    changes = {k: copy.deepcopy(v) for k, v in view_test_cfg.items() if k in opened}
    if unknown or not changes:
        raise ValueError(
            f'view_test_cfg {dict(view_test_cfg)} does not fit {type(head).__name__}, whose test_cfg has '
            f'{sorted(opened)}'
        )
    if 'max_per_img' in changes and 'nms' not in opened:
        changes['max_per_img'] = min(changes['max_per_img'], _num_queries(model, changes['max_per_img']))
    opened.update(changes)
    head.test_cfg = opened
    _mirror(model, name, opened)


def _num_queries(model: nn.Module, default: int) -> int:
    """Queries of a DETR or proposals of a Sparse R-CNN: their heads fail when asked for more."""
    if hasattr(model, 'num_queries'):
        return model.num_queries
    return getattr(getattr(model, 'rpn_head', None), 'num_proposals', default)


def _mirror(model: nn.Module, head_name: str, opened: ConfigDict) -> None:
    """Say the same in the detector's own ``test_cfg``; a copy, for the original may be the config of a runner."""
    whole = getattr(model, 'test_cfg', None)
    if whole is None:
        return
    if head_name == 'bbox_head':
        model.test_cfg = opened
    else:
        whole = ConfigDict(copy.deepcopy(dict(whole)))
        whole.rcnn = opened
        model.test_cfg = whole
