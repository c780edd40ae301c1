"""The boxes that a config trains on, or that an annotation file holds; no pipeline is run and no image read."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mmdet.registry import DATASETS
from mmengine.config import Config
from rich.progress import track

from mmisn.structures import scales_of_boxes

from .annotation_check import check_annotations, is_coco_dataset
from .chip_plan import objects_of_image


@dataclass(frozen=True)
class TrainingBoxes:
    """Objects of a data set.

    Attributes:
        images: Per image its width and height, and the (N, 4) boxes that may be trained on, in original pixels and
            clipped to the image.
        left_out: For each reason the number of annotations that are not among them.
    """

    images: list[tuple[tuple[int, int], np.ndarray]]
    left_out: dict[str, int]

    @property
    def scales(self) -> np.ndarray:
        """Of all objects, sqrt(w * h) in original pixels."""
        return np.concatenate([np.zeros(0), *(scales_of_boxes(boxes) for _, boxes in self.images)])

    @property
    def images_wh(self) -> np.ndarray:
        """(I, 2) widths and heights."""
        return np.array([wh for wh, _ in self.images], np.int64).reshape(-1, 2)


def read_training_boxes(dataset: Any) -> TrainingBoxes:
    """Gather the boxes of a built dataset, with a progress bar.

    Args:
        dataset: A dataset of mmdet; with COCO annotations, what it leaves out is counted.

    Raises:
        ValueError: If the annotation file is invalid, see ``check_annotations``.
    """
    left_out, images = Counter(), []
    if is_coco_dataset(dataset):
        # First, for a dataset would load a box of NaN without a word.
        keeps_ignored = getattr(dataset, 'keeps_ignored', False)
        left_out.update(check_annotations(dataset.ann_file, dataset.metainfo['classes'], keeps_ignored).left_out)
    dataset.full_init()
    for i in track(range(len(dataset)), f'Reading {Path(dataset.ann_file).name}'):
        info = dataset.get_data_info(i)
        boxes, ignored = objects_of_image(info)
        flat = ~ignored & (scales_of_boxes(boxes) == 0)
        left_out.update({'crowds': int(ignored.sum()), 'a box without area in the image': int(flat.sum())})
        images.append(((info['width'], info['height']), boxes[~ignored & ~flat]))
    return TrainingBoxes(images, {k: v for k, v in left_out.items() if v})


def dataset_of_annotations(ann_file: str | Path) -> Any:
    """A ``CocoDataset`` with all classes of a COCO json, not loaded yet.

    Raises:
        ValueError: If the file is no COCO annotation file or is invalid, see ``check_annotations``.
    """
    check_annotations(ann_file)
    classes = tuple(c['name'] for c in json.loads(Path(ann_file).read_text())['categories'])
    cfg = dict(type='CocoDataset', ann_file=str(ann_file), metainfo=dict(classes=classes), data_prefix=dict(img=''))
    return DATASETS.build(dict(cfg, pipeline=[], lazy_init=True))


def dataset_of_config(cfg: Config) -> tuple[Any, dict]:
    """The dataset whose images a config trains on, without its pipeline and not loaded yet.

    Returns:
        The dataset, and the config of what is trained with it: a ``ChipDataset`` or the dataset itself.

    Raises:
        ValueError: If the config trains on nothing, or on several datasets at once.
    """
    if cfg.get('train_dataloader') is None:
        raise ValueError(f'{cfg.filename} has no train_dataloader')
    outer = cfg.train_dataloader.dataset
    while outer.get('type') != 'ChipDataset' and 'dataset' in outer:
        outer = outer.dataset
    inner = dict(outer.dataset if outer.get('type') == 'ChipDataset' else outer)
    if 'datasets' in inner:
        raise ValueError(f'{cfg.filename} trains on a {inner["type"]} of several datasets; give their annotation files')
    return DATASETS.build(dict(inner, pipeline=[], lazy_init=True)), outer
