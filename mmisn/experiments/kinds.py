"""Kinds of data: which configs of a table are run on them, and how their metrics are called."""

# A folder in COCO's format is run as COCO is.
DETECTION_KINDS = ('coco', 'scenes')
# Small pictures of one object each; a table of these has one kind alone.
PICTURE_KINDS = ('mnist', 'cifar10')
DATA_KINDS = (*DETECTION_KINDS, *PICTURE_KINDS)


def kind_of_data(data: str) -> str:
    """The kind of an argument ``--data``: ``scenes``, or ``coco`` for COCO and any folder of its format."""
    return 'scenes' if data == 'scenes' else 'coco'


def metric_prefix(kind: str) -> str:
    """What stands before the metrics of a kind of data, ``coco`` in ``coco/bbox_mAP``."""
    return 'accuracy' if kind in PICTURE_KINDS else 'coco'


def digits_of(kind: str) -> int:
    """Decimals that a table of this kind has, as the paper's."""
    return 2 if kind in PICTURE_KINDS else 1
