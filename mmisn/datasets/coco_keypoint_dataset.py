"""``CocoKeypointDataset``: boxes, masks and keypoints of a COCO-format annotation file."""

from collections import Counter
from typing import Any

from mmdet.datasets import CocoDataset
from mmdet.registry import DATASETS
from mmengine.logging import print_log

from .keypoint_annotations import OTHER_CLASS, read_keypoints
from .skeleton import SKELETON_KEYS, Skeleton, build_skeleton


@DATASETS.register_module()
class CocoKeypointDataset(CocoDataset):
    """``CocoDataset`` that keeps keypoints and areas, and takes ``ignore`` as an ignored region.

    Names and limbs of the keypoints are read from the category of the annotation file, or from ``metainfo``:
    ``keypoint_names``, ``flip_pairs`` or ``flip_indices``, ``sigmas``, ``skeleton_links``, see ``build_skeleton``.
    COCO's person needs none of it. The dataset's own ``metainfo`` has ``keypoint_names``, ``flip_indices``, ``sigmas``
    and ``skeleton_links`` in the end. Classes without keypoints may be among the classes; one skeleton only. Classes
    that have keypoints are those whose category names some; if none does, those of which an annotation has some.
    ``KeypointRoIHead`` is told which these are by its own ``keypoint_classes``. A file without ``annotations``, as
    COCO's of its test images, has images without objects.

    Each instance has beside ``CocoDataset``'s keys:

    - keypoints: 3 K numbers, x, y (original pixels), visibility (0 not labelled, 1 hidden, 2 visible)
    - num_keypoints: how many are labelled
    - area: the annotation's
    - ignore_flag: 1 for ``ignore: 1`` as for crowds; ``CocoDataset`` leaves such annotations out, whereupon they are
      background. pycocotools knows crowds only: see ``ScaleRangeCocoMetric``'s ``ignore_as_crowd`` for the evaluation

    and each data info ``flip_indices``.

    Args:
        *args: ``CocoDataset``'s.
        keypoint_offset: Pixels to add to x and y. Boxes count from the image's corner, where the first pixel's centre
            is (0.5, 0.5); COCO's keypoints are whole numbers of pixels, for which 0.5 is right, and 0 for keypoints
            that count as boxes do. It is in the metainfo, and ``ScaleRangeCocoMetric`` takes it off again.
        **kwargs: ``CocoDataset``'s. ``metainfo`` may hold the keys named above.

    Attributes:
        keypoint_counts: Objects without keypoints, objects whose keypoints are not taken since their class is not
            described as others are, keypoints off the image and off their box, of annotations that are no ignored
            regions; logged as well.

    Raises:
        ValueError: If keypoints of an annotation are invalid (see ``read_keypoints``), the skeleton is, the offset
            is not in [0, 1], no class is in the annotation file, or the classes are in another order than there:
            labels follow the file.
    """

    # The whole palette: its first colour is the person's, other classes may be more than one.
    METAINFO = dict(classes=('person',), palette=CocoDataset.METAINFO['palette'])
    # For ``check_annotations``, which counts what a dataset leaves out.
    keeps_ignored = True

    def __init__(self, *args: Any, keypoint_offset: float = 0.0, **kwargs: Any) -> None:
        if not 0 <= keypoint_offset <= 1:
            raise ValueError(f'CocoKeypointDataset.keypoint_offset must be in [0, 1] px, got {keypoint_offset}')
        self.keypoint_offset = keypoint_offset
        self.keypoint_counts: Counter = Counter()
        self._skeleton: Skeleton | None = None
        self._with_keypoints: set[int] = set()
        super().__init__(*args, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Load the annotations; see ``CocoDataset``."""
        self.keypoint_counts.clear()
        data_list = super().load_data_list()
        for what, number in self.keypoint_counts.items():
            print_log(f'{self.ann_file}: {number} {what}', 'current')
        return data_list

    def parse_data_info(self, raw_data_info: dict) -> dict:
        """The data info of an image: ``CocoDataset``'s, with keypoints.

        Args:
            raw_data_info: ``raw_img_info`` and ``raw_ann_info`` of the annotation file.
        """
        if self._skeleton is None:
            self._read_skeleton()
        image = raw_data_info['raw_img_info']
        data_info = super().parse_data_info(dict(raw_img_info=image, raw_ann_info=[]))
        data_info['flip_indices'] = list(self._skeleton.flip_indices)
        for annotation in raw_data_info['raw_ann_info']:
            # One at a time: an instance does not say which annotation it comes from.
            raw = dict(raw_img_info=image, raw_ann_info=[{**annotation, 'ignore': 0}])
            for instance in super().parse_data_info(raw)['instances']:
                data_info['instances'].append(self._with_extras(instance, annotation, image))
        return data_info

    def _with_extras(self, instance: dict, annotation: dict, image: dict) -> dict:
        where = f'{self.ann_file}: annotation {annotation.get("id")}'
        has_keypoints = annotation['category_id'] in self._with_keypoints
        # The keypoints of a class without a skeleton would be others.
        read = annotation if has_keypoints else dict(bbox=annotation['bbox'])
        keypoints, counts = read_keypoints(read, len(self._skeleton.names), (image['width'], image['height']), where)
        instance['ignore_flag'] = int(bool(instance['ignore_flag'] or annotation.get('ignore')))
        if not has_keypoints:
            given = annotation.get('keypoints')
            counts = Counter({OTHER_CLASS: 1} if isinstance(given, list) and any(given[2::3]) else {})
        if not instance['ignore_flag']:
            self.keypoint_counts.update(counts)
        keypoints[keypoints[:, 2] > 0, :2] += self.keypoint_offset
        instance['keypoints'] = keypoints.ravel().tolist()
        instance['num_keypoints'] = int((keypoints[:, 2] > 0).sum())
        instance['area'] = float(annotation['area'])
        return instance

    def _read_skeleton(self) -> None:
        """Make the skeleton once the annotation file is open (``self.coco``)."""
        categories = self.coco.load_cats(self.cat_ids)
        self._check_order([c['name'] for c in categories])
        described = [c for c in categories if c.get('keypoints')]
        for category in described[1:]:
            if category['keypoints'] != described[0]['keypoints']:
                raise ValueError(
                    f'{self.ann_file}: categories {described[0]["name"]!r} and {category["name"]!r} have different '
                    'keypoints; a dataset has one skeleton, so choose among them by metainfo=dict(classes=...)'
                )
        self._with_keypoints = {c['id'] for c in described} or self._used_with_keypoints()
        given = {key: self._metainfo.pop(key) for key in SKELETON_KEYS if key in self._metainfo}
        self._skeleton = build_skeleton(given, described[0] if described else None, str(self.ann_file))
        self._metainfo.update(self._skeleton.metainfo(), keypoint_offset=self.keypoint_offset)

    def _used_with_keypoints(self) -> set[int]:
        """Categories of which an annotation has keypoints; all, where no annotation has any."""
        used = {a['category_id'] for a in self.coco.dataset.get('annotations', []) if a.get('keypoints')}
        return used & set(self.cat_ids) or set(self.cat_ids)

    def _check_order(self, names: list[str]) -> None:
        classes = list(self._metainfo['classes'])
        if not names:
            in_file = [c['name'] for c in self.coco.cats.values()]
            raise ValueError(
                f'{self.ann_file} has the categories {in_file}, the dataset the classes {classes}: none is the same. '
                'Give the dataset metainfo=dict(classes=...) with the names of the file'
            )
        if names != classes[: len(names)]:
            raise ValueError(
                f'{self.ann_file} has the classes {names} in this order, from which CocoDataset counts the labels; '
                f"metainfo['classes'] is {classes}, whose names would not belong to the labels. Give the classes of "
                'the file in its order'
            )
