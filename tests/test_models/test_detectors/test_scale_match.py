"""``ScaleMatch`` on soft maps: what a softmax says, not the 0 and 1 of a perfect net."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mmisn.models.detectors.scale_maps import ScaleMatch
from mmisn.structures import Chip

# Classes of 0-16, 16-32 and 32 px and more; the view is the image, 40x20 px.
NET = SimpleNamespace(class_bounds=(0.0, 16.0, 32.0, float('inf')))
LOOK = Chip.full((40, 20))
SMALL, FAR = (2, 2, 10, 10), (28, 4, 36, 12)


def soft_map(*painted):
    """(4, 20, 40) probabilities: background of 0.99 and 0.008 for class 1, but for what is painted."""
    found = np.empty((4, 20, 40), np.float32)
    found[:] = np.reshape([0.99, 0.008, 0.001, 0.001], (4, 1, 1))
    for (x1, y1, x2, y2), probabilities in painted:
        found[:, y1:y2, x1:x2] = np.reshape(probabilities, (4, 1, 1))
    return found


def agree(rule, scale_map, *boxes):
    return rule.agrees(torch.tensor(boxes, dtype=torch.float32), LOOK, scale_map, NET).tolist()


def test_a_box_on_nothing_but_background_does_not_agree():
    found = soft_map((SMALL, (0.2, 0.7, 0.1, 0.0)))
    assert agree(ScaleMatch(), found, SMALL, FAR, (36, 16, 44, 24), (50, 0, 58, 8)) == [True, False, False, False]


def test_a_pixel_votes_where_its_classes_have_more_than_the_share():
    """As ``ClassRule``'s threshold: 0.3 is enough to be looked at, though background is more probable."""
    weak = soft_map((SMALL, (0.6, 0.35, 0.05, 0.0)))
    assert agree(ScaleMatch(), weak, SMALL) == [True]
    assert agree(ScaleMatch(min_object=0.4), weak, SMALL) == [False]
    # Exactly the share is not more than it.
    half = soft_map((SMALL, (0.5, 0.5, 0.0, 0.0)))
    assert agree(ScaleMatch(min_object=0.5), half, SMALL) == [False]
    assert agree(ScaleMatch(min_object=0.49), half, SMALL) == [True]
    # 0 is the rule for maps of 0 and 1.
    assert agree(ScaleMatch(min_object=0.0), soft_map(), SMALL) == [True]


def test_pixels_of_background_have_no_vote_beside_those_of_objects():
    """A large object's eight pixels decide, not what 120 of background add up to."""
    found = soft_map(((2, 2, 10, 3), (0.05, 0.0, 0.0, 0.95)))
    # By hand: class 1 has 120 * 0.008 = 0.96 of background, class 3 has 8 * 0.95 = 7.6.
    large, small = (0, 0, 16, 8), (2, 2, 10, 3)
    assert agree(ScaleMatch(tolerance=0), found, large, small) == [False, False]
    found = soft_map(((2, 2, 4, 3), (0.6, 0.0, 0.0, 0.4)))
    # Two pixels of 0.4 for class 3; the 0.008 of 194 pixels of background would outvote them.
    assert agree(ScaleMatch(tolerance=0), found, (0, 0, 14, 14)) == [False]
    assert agree(ScaleMatch(tolerance=0, min_object=0.0), found, (0, 0, 14, 14)) == [True]


def test_votes_are_shares_of_the_probabilities():
    """By hand: of a box's 64 pixels a half says (0.1, 0.6, 0.3, 0), a half (0.1, 0.0, 0.5, 0.4)."""
    found = soft_map(((2, 2, 10, 6), (0.1, 0.6, 0.3, 0.0)), ((2, 6, 10, 10), (0.1, 0.0, 0.5, 0.4)))
    share = 0.6 / 1.8
    for rule, expected in ((share - 0.01, True), (share + 0.01, False)):
        assert agree(ScaleMatch(tolerance=0, min_share=rule), found, SMALL) == [expected]
    near = 1.4 / 1.8
    for rule, expected in ((near - 0.01, True), (near + 0.01, False)):
        assert agree(ScaleMatch(tolerance=1, min_share=rule), found, SMALL) == [expected]


@pytest.mark.parametrize('share', [-0.1, 1.0, float('nan')])
def test_bad_share(share):
    with pytest.raises(ValueError, match='min_object must be a probability in'):
        ScaleMatch(min_object=share)


def test_unknown_keys_name_the_known_ones():
    with pytest.raises(ValueError, match='tolerance, min_share, min_object, ratio and unit'):
        ScaleMatch.build(dict(near=1))
