"""``DumpLevelProposals``: what the views of an image report reaches the file, level by level."""

import numpy as np
import pytest
import torch
from mmdet.registry import METRICS

from mmisn.datasets.proposals import load_proposals
from mmisn.structures import ScaleRange

OPTIONS = dict(levels=[2.0, (300, 200)], scale_ranges=[(16, 90), dict(lower=30, upper=None, frame='original')])


def sample(image_id, ori_shape, bboxes, view_ids):
    number = len(view_ids)
    found = dict(
        bboxes=torch.tensor(bboxes, dtype=torch.float32).reshape(-1, 4),
        scores=torch.linspace(0.9, 0.5, number) if number else torch.zeros(0),
        view_ids=torch.tensor(view_ids, dtype=torch.long),
    )
    return dict(img_id=image_id, ori_shape=ori_shape, pred_instances=found)


def metric(tmp_path, **changes):
    return METRICS.build(dict(type='DumpLevelProposals', out_file=str(tmp_path / 'p.npz'), **{**OPTIONS, **changes}))


BOXES = [[1, 2, 30, 40], [5, 5, 101, 60], [7, 8, 20, 22], [0, 0, 9, 9], [50, 60, 90, 81]]


def test_file_and_counts(tmp_path):
    dump = metric(tmp_path, max_per_level=2)
    dump.process({}, [sample(31, (80, 100), BOXES, [1, 0, 1, 1, 0]), sample(4, (48, 64), [], [])])
    dump.process({}, [sample(12, (80, 100, 3), BOXES[:1], [0])])
    assert dump.evaluate(3) == {'proposals/images': 3, 'proposals/x2': 3, 'proposals/300x200': 2}
    read = load_proposals(tmp_path / 'p.npz')
    assert read.levels == (2.0, (300, 200))
    assert read.scale_ranges == (ScaleRange(16, 90), ScaleRange(30, frame='original'))
    rows = {i: [b.tolist() for b in read.of_image(r)] for r, i in enumerate(read.image_ids.tolist())}
    # The two best of each level; boxes are clipped to the image.
    assert rows == {
        '31': [[[5, 5, 100, 60], [50, 60, 90, 80]], [[1, 2, 30, 40], [7, 8, 20, 22]]],
        '4': [[], []],
        '12': [[[1, 2, 30, 40]], []],
    }
    assert read.image_wh.tolist() == [[100, 80], [100, 80], [64, 48]]
    first = read.scores[read.offsets[2] : read.offsets[3]]
    np.testing.assert_allclose(first, [0.8, 0.5])


@pytest.mark.parametrize(
    ('changes', 'match'),
    [
        (dict(out_file='p.pkl'), r"out_file must end in .npz, got 'p.pkl'"),
        (dict(max_per_level=0), 'max_per_level must be at least 1, got 0'),
        (dict(scale_ranges=[(1, 2), (3, 4), (5, 6)]), '3 scale ranges for 2 levels'),
    ],
)
def test_bad_options(tmp_path, changes, match):
    with pytest.raises(ValueError, match=match):
        METRICS.build({**dict(type='DumpLevelProposals', out_file='p.npz'), **OPTIONS, **changes})


def test_more_views_than_levels(tmp_path):
    with pytest.raises(ValueError, match='view 2 of image 31: there are 2 levels'):
        metric(tmp_path).process({}, [sample(31, (80, 100), BOXES[:1], [2])])
