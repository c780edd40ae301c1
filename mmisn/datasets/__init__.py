from . import samplers, transforms  # noqa: F401
from .annotation_check import check_annotations
from .chip_config import chip_dataset_cfg
from .chip_dataset import ChipDataset, ChipIndex
from .chip_plan import objects_of_image
from .cifar10 import read_cifar10
from .coco_keypoint_dataset import CocoKeypointDataset
from .idx_files import read_idx, read_mnist
from .pictures_at_sizes import CIFAR10AtSizes, MNISTAtSizes, PicturesAtSizes
from .sample_random import SampleIndex
from .scenes import SceneConfig, make_scene, make_scenes
from .skeleton import Skeleton, build_skeleton

__all__ = [
    'CIFAR10AtSizes',
    'ChipDataset',
    'ChipIndex',
    'CocoKeypointDataset',
    'MNISTAtSizes',
    'PicturesAtSizes',
    'SampleIndex',
    'SceneConfig',
    'Skeleton',
    'build_skeleton',
    'check_annotations',
    'chip_dataset_cfg',
    'make_scene',
    'make_scenes',
    'objects_of_image',
    'read_cifar10',
    'read_idx',
    'read_mnist',
]
