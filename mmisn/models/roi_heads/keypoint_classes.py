"""Which classes of a detector have keypoints."""

from collections.abc import Sequence

from mmdet.datasets import CocoDataset

# Score of each keypoint of a detection whose class has none; keypoints of classes that have some are in [0, 1].
NO_KEYPOINT_SCORE = -1.0


def keypoint_labels(
    keypoint_classes: Sequence[str | int] | None, num_classes: int, classes: Sequence[str] | None = None
) -> tuple[int, ...]:
    """Labels of the classes that have keypoints.

    Args:
        keypoint_classes: Names or indices; ``None`` for the only class of a detector that has one.
        num_classes: Classes of the detector.
        classes: Their names in the order of the labels, needed to find a name; COCO's by default where there are 80.

    Returns:
        Ascending.

    Raises:
        ValueError: If there are several classes and ``keypoint_classes`` is not given or empty, an index is no class, a
            name is unknown, a class is there twice, or there are not ``num_classes`` names.
    """
    if classes is None and num_classes == len(CocoDataset.METAINFO['classes']):
        classes = CocoDataset.METAINFO['classes']
    if classes is not None and len(classes) != num_classes:
        raise ValueError(f'classes must be the {num_classes} names of the classes, got {len(classes)}: {list(classes)}')
    if keypoint_classes is None and num_classes == 1:
        return (0,)
    if isinstance(keypoint_classes, (str, int)) or not keypoint_classes:
        raise ValueError(
            f'a detector of {num_classes} classes needs keypoint_classes, a list of the names or indices of those that '
            f'have keypoints, got {keypoint_classes!r}'
        )
    labels = [_label_of(given, num_classes, classes) for given in keypoint_classes]
    if len(set(labels)) != len(labels):
        raise ValueError(f'keypoint_classes has a class twice: {list(keypoint_classes)}')
    return tuple(sorted(labels))


def _label_of(given: str | int, num_classes: int, classes: Sequence[str] | None) -> int:
    if isinstance(given, str):
        if classes is None:
            raise ValueError(f'keypoint_classes names {given!r}: give classes, the names of the {num_classes} classes')
        if given not in classes:
            raise ValueError(f'keypoint_classes names {given!r}, the classes are {list(classes)}')
        return list(classes).index(given)
    if not isinstance(given, int) or isinstance(given, bool) or not 0 <= given < num_classes:
        raise ValueError(f'keypoint_classes must be names, or indices from 0 to {num_classes - 1}, got {given!r}')
    return given
