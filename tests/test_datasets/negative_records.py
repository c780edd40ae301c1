"""Images, objects and made-up proposals for the tests of negative chips."""

import numpy as np

from mmisn.datasets.proposals import pack_proposals, save_proposals
from mmisn.structures import ScaleRange

GENERATOR = dict(type='CoverChips', factors=[2.0, 1.0, 0.5], scale_range=(16, 90), chip_size=96)
LEVELS, RANGES = (2.0, 1.0, 0.5), (ScaleRange(16, 90),) * 3
PIPELINE = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='FilterByScale'),
    dict(type='CropChip'),
    dict(type='PackInstanceInputs'),
]
IMAGES = [(240, 200), (250, 220), (60, 60), (230, 210)]
# The last class; a small object in a corner of the second image, and no object in the last one.
ANNOTATIONS = [(0, 1, [5.0, 5.0, 30.0, 40.0], {}), (1, 2, [10.0, 10.0, 20.0, 22.0], {}), (2, 0, [8.0, 8.0, 30, 30], {})]


def proposals_of(image_wh, rng, number=40):
    """Boxes in range of each level, everywhere."""
    per_level = []
    for factor in LEVELS:
        sides = np.minimum(rng.uniform(17, 60, (number, 2)) / factor, image_wh)
        corners = rng.uniform(0, 1, (number, 2)) * (image_wh - sides)
        per_level.append((np.concatenate([corners, corners + sides], axis=1), np.linspace(1, 0, number)))
    return per_level


def records(images=IMAGES, first_id=100):
    rng = np.random.default_rng(3)
    return [(str(first_id + i), wh, proposals_of(wh, rng)) for i, wh in enumerate(images)]


def write(path, found=None, levels=LEVELS, ranges=RANGES):
    save_proposals(pack_proposals(records() if found is None else found, levels, ranges), path)
    return str(path)
