import math

import numpy as np
import pytest

from mmisn.models.scale_nets import ScaleClasses, octave_bounds


def test_paper_classes_of_mask_area():
    """0 is background, 1 below 2592, 2 below 2592 * 8, 3 below 2592 * 20, 4 below 2592 * 28, 5 the rest."""
    classes = ScaleClasses((2592, 2592 * 8, 2592 * 20, 2592 * 28), 'mask_area')
    assert classes.num_classes == 6
    areas = [0, 1, 2591, 2592, 20735, 20736, 51839, 51840, 72575, 72576, 512 * 512]
    assert classes.classes_of(areas).tolist() == [1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert classes.bounds_px == (0, math.sqrt(2592), 144, math.sqrt(51840), math.sqrt(72576), math.inf)
    assert classes.names == ('background', '0-50.9', '50.9-144', '144-227.7', '227.7-269.4', '269.4+')


def test_octaves_have_a_class_beyond_either_end():
    classes = ScaleClasses(octave_bounds(8, 512))
    assert classes.bounds_px == (0, 8, 16, 32, 64, 128, 256, 512, math.inf)
    assert classes.num_classes == len(classes.bounds_px) == len(classes.names) == 9
    scales = [0.5, 7.999, 8, 15.999, 16, 511.9, 512, 4000]
    assert classes.classes_of(np.array(scales)).tolist() == [1, 1, 2, 2, 3, 7, 8, 8]


def test_a_bound_belongs_to_one_class_exactly():
    bounds = (3.2, 6.4, 12.8)
    near = [b for bound in bounds for b in (math.nextafter(bound, 0), bound, math.nextafter(bound, math.inf))]
    assert ScaleClasses(bounds).classes_of(near).tolist() == [1, 2, 2, 2, 3, 3, 3, 4, 4]


def test_no_objects():
    found = ScaleClasses((8,)).classes_of(np.zeros(0))
    assert found.shape == (0,) and found.dtype == np.uint8


@pytest.mark.parametrize('bounds', [(), (0, 8), (8, 8), (16, 8), (8, math.inf), (math.nan,), ('8',), (True,), 8.0])
def test_bounds_that_make_no_classes(bounds):
    if bounds == 8.0:
        assert ScaleClasses(bounds).bounds == (8.0,)
        return
    with pytest.raises(ValueError, match='bounds of scale classes'):
        ScaleClasses(bounds)


def test_unknown_measure_and_scales():
    with pytest.raises(ValueError, match="measure must be one of .*'area'"):
        ScaleClasses((8,), 'area')
    with pytest.raises(ValueError, match='nan'):
        ScaleClasses((8,)).classes_of([4, math.nan])
    with pytest.raises(ValueError, match='-1'):
        ScaleClasses((8,)).classes_of([-1.0])


@pytest.mark.parametrize('lower, upper', [(8, 24), (0, 8), (8, 4), (-1, 8)])
def test_octaves_need_a_power_of_two(lower, upper):
    with pytest.raises(ValueError, match='octaves need'):
        octave_bounds(lower, upper)
