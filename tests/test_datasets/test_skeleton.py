import numpy as np
import pytest
from pycocotools.cocoeval import Params

from mmisn.datasets.scenes.person import KEYPOINTS, SKELETON
from mmisn.datasets.skeleton import build_skeleton, flip_indices_of_names

DOG = dict(name='dog', keypoints=['nose', 'l_ear', 'r_ear', 'tail'], skeleton=[[1, 2], [1, 3], [1, 4]])
DOG_SIGMAS = [0.03, 0.04, 0.05, 0.1]


def test_coco_person_needs_no_metainfo():
    person = build_skeleton({})
    assert person.names == KEYPOINTS
    assert person.flip_indices == (0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15)
    assert np.array_equal(person.sigmas, Params('keypoints').kpt_oks_sigmas)
    assert person.links == tuple((a - 1, b - 1) for a, b in SKELETON)
    assert build_skeleton({}, dict(name='person', keypoints=list(KEYPOINTS), skeleton=SKELETON)) == person


def test_custom_skeleton_of_the_category():
    dog = build_skeleton(dict(sigmas=DOG_SIGMAS), DOG)
    assert dog.metainfo() == dict(
        keypoint_names=DOG['keypoints'],
        flip_indices=[0, 2, 1, 3],
        sigmas=DOG_SIGMAS,
        skeleton_links=[[0, 1], [0, 2], [0, 3]],
    )


def test_custom_skeleton_of_the_metainfo():
    info = dict(
        keypoint_names=['a', 'b', 'c'], flip_pairs=[('a', 2)], sigmas=[0.1] * 3, skeleton_links=[('a', 'b'), (1, 2)]
    )
    made = build_skeleton(info)
    assert (made.flip_indices, made.links) == ((2, 1, 0), ((0, 1), (1, 2)))
    # What it says of itself makes the same skeleton again.
    assert build_skeleton(made.metainfo()) == made


def test_some_of_cocos_keypoints_have_cocos_sigmas():
    made = build_skeleton({}, dict(name='face', keypoints=['nose', 'left_eye', 'right_eye']))
    assert made.sigmas == (pytest.approx(0.026), 0.025, 0.025)
    assert made.links == ()


@pytest.mark.parametrize(
    ('names', 'expected'),
    [
        (('eye_left', 'eye_right', 'nose'), (1, 0, 2)),
        (('LeftEye', 'Nose', 'RightEye'), (2, 1, 0)),
        (('eyeL', 'eyeR'), (1, 0)),
        (('l-hip', 'R-hip'), (1, 0)),
        (('left_paw_1', 'left_paw_2', 'right_paw_1', 'right_paw_2'), (2, 3, 0, 1)),
        (('left', 'right', 'leftover', 'bright'), (1, 0, 2, 3)),
        (('head', 'tail'), (0, 1)),
    ],
)
def test_pairs_by_name(names, expected):
    assert flip_indices_of_names(names) == expected


@pytest.mark.parametrize(
    ('names', 'match'),
    [
        (('left_ear', 'nose'), r"'left_ear' needs one partner on the other side, found \[\]"),
        (('left_ear', 'right_ear', 'ear_right'), r"'ear_right' needs one partner on the other side, found \[\]"),
        (('left_of_right_ear', 'nose'), "'left_of_right_ear' names more than one side"),
        (('left_ear', 'right_ear', 'Right-Ear'), r"found \['right_ear', 'Right-Ear'\]"),
    ],
)
def test_pairs_that_names_do_not_tell(names, match):
    with pytest.raises(ValueError, match=match):
        flip_indices_of_names(names)
    assert build_skeleton(dict(keypoint_names=names, flip_pairs=[], sigmas=[0.1] * len(names))).flip_indices == tuple(
        range(len(names))
    )


@pytest.mark.parametrize(
    ('change', 'match'),
    [
        (dict(keypoint_names=['nose', 'r_ear', 'l_ear', 'tail']), 'in the same order'),
        (dict(flip_pairs=[('l_ear', 'r_eer')]), r"flip pair \['l_ear', 'r_eer'\] names \['r_eer'\]"),
        (dict(flip_pairs=[(1, 4)]), r'flip pair \[1, 4\] must be two different keypoints of the 4'),
        (dict(flip_pairs=[(1, 1)]), 'must be two different keypoints'),
        (dict(flip_pairs=[(1, 2), (2, 3)]), r'flip pair \[2, 3\] has a keypoint that is in another pair'),
        (dict(flip_pairs=[(1, 2)], flip_indices=[0, 2, 1, 3]), 'not both'),
        (dict(flip_indices=[0, 2, 1]), 'flip_indices must name for each of the 4'),
        (dict(flip_indices=[1, 2, 0, 3]), 'and the partner that keypoint again'),
        (dict(sigmas=None), r"no OKS sigma is known of \['l_ear', 'r_ear', 'tail'\]"),
        (dict(sigmas=[0.1] * 3), 'sigmas must be 4 numbers > 0'),
        (dict(sigmas=[0.1, 0.1, 0, 0.1]), 'sigmas must be 4 numbers > 0'),
        (dict(skeleton_links=[(0, 4)]), r'skeleton link \(0, 4\) must join'),
        (dict(skeleton_links=[(0, 'tale')]), r"skeleton link \[0, 'tale'\] names \['tale'\]"),
    ],
)
def test_errors_name_the_file_and_what_is_wrong(change, match):
    with pytest.raises(ValueError, match=f'a.json: .*{match}'):
        build_skeleton({'sigmas': DOG_SIGMAS, **change}, DOG, 'a.json')


def test_a_skeleton_of_the_file_whose_pairs_match_no_keypoint():
    with pytest.raises(ValueError, match=r'a.json: skeleton link \(0, 4\) must join two different keypoints of the 4'):
        build_skeleton(dict(sigmas=DOG_SIGMAS), {**DOG, 'skeleton': [[1, 5]]}, 'a.json')
    with pytest.raises(ValueError, match="twice: .*'nose'"):
        build_skeleton(dict(sigmas=[0.1, 0.1]), dict(name='x', keypoints=['nose', 'nose']))
