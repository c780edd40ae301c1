"""The data that a table is run on: synthetic scenes, COCO, or a folder in COCO's format."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmisn._config_files import read_config
from mmisn.datasets import SceneConfig, make_scenes
from mmisn.datasets.scenes.config import CLASSES

from .budget import SMOKE_IMAGES, Budget, check_budget
from .keys import file_digest
from .kinds import kind_of_data
from .options import inner_dataset_key, load_config

SPLITS = ('train', 'val')
COCO_ROOT = Path('data/coco')


@dataclass(frozen=True)
class Data:
    """Images and annotations of both splits.

    Attributes:
        name: ``scenes``, ``coco``, or the name of the folder.
        kind: ``scenes`` or ``coco``: which configs of a table are run on it.
        ann_files: Annotation file of each split.
        image_folders: Folder of the images of each split.
        folder: Where config files that point at it are written; ``None`` where options, or nothing, suffice.
        classes: Class names in the order of their ids; ``None`` where the configs have them.
    """

    name: str
    kind: str
    ann_files: Mapping[str, Path]
    image_folders: Mapping[str, Path]
    folder: Path | None = None
    classes: tuple[str, ...] | None = None

    @property
    def digest(self) -> None:
        """Their annotation files stand in the configs, and so in the keys; see ``PictureData`` for others."""
        return

    @property
    def root(self) -> Path | None:
        """Folder that commands name; only configs name others than those of scenes."""
        return self.ann_files['val'].parents[1] if self.kind == 'scenes' else None

    def num_images(self, split: str) -> int:
        """Number of images of a split."""
        return len(json.loads(self.ann_files[split].read_text())['images'])

    def options(self, cfg: Config) -> dict[str, Any]:
        """Overrides that point a config of the scenes at these."""
        if self.kind != 'scenes':
            return {}
        root, ann_file = f'{self.root}/', str(self.ann_files['val'])
        return {
            f'{inner_dataset_key(cfg)}.data_root': root,
            'val_dataloader.dataset.data_root': root,
            'test_dataloader.dataset.data_root': root,
            **{f'{key}.ann_file': ann_file for key in _evaluators_of_files(cfg)},
        }

    def config_file(self, config: str) -> str:
        """The config file to run: the table's own, or a child of it that points at these data.

        Class names with blanks cannot be passed as options, so that data of one's own need a file.
        """
        if self.folder is None:
            return config
        path = self.folder / 'configs' / Path(config).name
        base = os.path.relpath(config, path.parent)
        text = f'# Made by tools/ablate.py.\n_base_ = {base!r}\n{Config(self._changes(config)).pretty_text}'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return str(path)

    def _changes(self, config: str) -> dict[str, Any]:
        cfg = read_config(config)
        splits = {split: self._split(split) for split in SPLITS}
        train: dict[str, Any] = splits['train']
        for _ in range(inner_dataset_key(cfg).count('.') - 1):
            train = dict(dataset=train)
        ann_file = str(self.ann_files['val'])
        changes: dict[str, Any] = dict(
            train_dataloader=dict(dataset=train),
            val_dataloader=dict(dataset=splits['val']),
            test_dataloader=dict(dataset=splits['val']),
            **{key: dict(ann_file=ann_file) for key in _evaluators_of_files(cfg)},
        )
        if self.classes is not None:
            changes['model'] = num_classes_changes(cfg.model, len(self.classes))
        return changes

    def _split(self, split: str) -> dict[str, Any]:
        # Paths as seen from the repository, where mim is run; the root of the base config would come before them.
        changes = dict(data_root='', ann_file=str(self.ann_files[split]))
        changes['data_prefix'] = dict(img=f'{self.image_folders[split]}/')
        if self.classes is not None:
            changes['metainfo'] = dict(classes=self.classes)
        return changes


def _evaluators_of_files(cfg: Config) -> list[str]:
    """The evaluators that read an annotation file; those of scale maps have the truth from the pipeline."""
    return [key for key in ('val_evaluator', 'test_evaluator') if 'ann_file' in (cfg.get(key) or {})]


def num_classes_changes(model: Mapping[str, Any], number: int) -> dict[str, Any]:
    """The changes of a model config that give every head the number of classes; an RPN has none."""
    changes: dict[str, Any] = {}
    for key, value in model.items():
        if key == 'num_classes':
            changes[key] = number
        elif isinstance(value, Mapping) and key != 'rpn_head' and (inner := num_classes_changes(value, number)):
            changes[key] = inner
    return changes


def prepare_data(wanted: str, budget: Budget, out: Path, jobs: int, annotations: str = 'instances') -> Data:
    """Find or make the data.

    Args:
        wanted: ``scenes``, ``coco``, or a folder in COCO's format.
        budget: The budget; it says how many images.
        out: Folder for scenes and for the subsets of smoke runs.
        jobs: Processes that draw scenes.
        annotations: ``instances``, or ``person_keypoints``: persons with keypoints alone, on the scenes too.

    Raises:
        ValueError: If data are missing, or the budget is none for them.
    """
    kind = kind_of_data(wanted)
    check_budget(budget, kind)
    if kind == 'scenes':
        name, classes = ('scenes', CLASSES) if annotations == 'instances' else ('scenes-person', ('person',))
        return scenes_data(budget, out / f'{name}_{budget.images}_{budget.val_images}', jobs, name, classes)
    if wanted == 'coco':
        data = coco_data(annotations=annotations)
    else:
        data = folder_data(Path(wanted), out / 'data', annotations)
    return subset(data, SMOKE_IMAGES, out / 'data') if budget.name == 'smoke' else data


def scenes_data(
    budget: Budget, folder: Path, jobs: int, name: str = 'scenes', classes: tuple[str, ...] = CLASSES
) -> Data:
    """Make the small scenes of a budget, or find them made; the seed of scenes is always 0."""
    config = SceneConfig.small(classes=classes)
    make_scenes(folder, budget.images, budget.val_images, config, num_workers=jobs, progress=True)
    return Data(name, 'scenes', _ann_files(folder), {split: folder / split for split in SPLITS})


def coco_data(root: Path = COCO_ROOT, annotations: str = 'instances') -> Data:
    """COCO 2017 where the configs look for it.

    Raises:
        ValueError: If it is not there.
    """
    ann_files = {split: root / 'annotations' / f'{annotations}_{split}2017.json' for split in SPLITS}
    folders = {split: root / f'{split}2017' for split in SPLITS}
    _check_there('coco', ann_files, folders)
    return Data('coco', 'coco', ann_files, folders)


def config_data(config: str) -> Data:
    """The data that a config itself names.

    Args:
        config: Config file.

    Raises:
        ValueError: If it does not train on images with a COCO annotation file, or a file is missing.
    """
    cfg = load_config(config)
    key, splits = inner_dataset_key(cfg), {}
    train = cfg
    for part in key.split('.'):
        train = train[part]
    for split, dataset in (('train', train), ('val', cfg.test_dataloader.dataset)):
        if not dataset.get('ann_file'):
            raise ValueError(f'{config}: --data config needs an ann_file in {key if split == "train" else "test"}')
        splits[split] = dataset
    ann_files = {s: Path(d.get('data_root') or '') / d.ann_file for s, d in splits.items()}
    folders = {
        s: Path(d.get('data_root') or '') / (d.get('data_prefix') or {}).get('img', '') for s, d in splits.items()
    }
    _check_there('config', ann_files, folders)
    return Data(Path(config).stem, 'coco', ann_files, folders)


def folder_data(root: Path, made: Path, annotations: str = 'instances') -> Data:
    """A folder in COCO's format: ``annotations/instances_{train,val}.json`` and ``train/``, ``val/`` or ``images/``.

    Args:
        root: The folder.
        made: Where config files that point at it are written.
        annotations: Stem of the annotation files.

    Raises:
        ValueError: If something of it is missing, or the splits have different classes.
    """
    if not root.is_dir():
        raise ValueError(f'--data is scenes, coco or a folder in COCO format, got {str(root)!r}, which is no folder')
    ann_files = _ann_files(root, annotations)
    folders = {split: root / ('images' if (root / 'images').is_dir() else split) for split in SPLITS}
    _check_there(str(root), ann_files, folders)
    classes = {split: _classes(path) for split, path in ann_files.items()}
    if classes['train'] != classes['val']:
        raise ValueError(f'{root}: classes of train and val differ: {classes["train"]} and {classes["val"]}')
    name = root.resolve().name if annotations == 'instances' else f'{root.resolve().name}-{annotations}'
    return Data(name, 'coco', ann_files, folders, made / name, classes['train'])


def _ann_files(root: Path, annotations: str = 'instances') -> dict[str, Path]:
    return {split: root / 'annotations' / f'{annotations}_{split}.json' for split in SPLITS}


def _classes(ann_file: Path) -> tuple[str, ...]:
    return tuple(c['name'] for c in sorted(json.loads(ann_file.read_text())['categories'], key=lambda c: c['id']))


def _check_there(name: str, ann_files: Mapping[str, Path], folders: Mapping[str, Path]) -> None:
    missing = [str(p) for p in ann_files.values() if not p.is_file()]
    missing += [str(p) for p in dict.fromkeys(folders.values()) if not p.is_dir()]
    if missing:
        raise ValueError(f'--data {name}: {", ".join(missing)} missing')


def subset(data: Data, numbers: Mapping[str, int], made: Path) -> Data:
    """The first images that have objects, for smoke runs.

    Args:
        data: The data.
        numbers: Images of each split.
        made: Where the annotation files are written.

    Raises:
        ValueError: If a split has no image with objects.
    """
    digest = file_digest(str(data.ann_files['train']))[:8]
    folder = made / f'{data.name}_{numbers["train"]}_{numbers["val"]}_{digest}'
    for split in SPLITS:
        path = _ann_files(folder)[split]
        content = json.loads(data.ann_files[split].read_text())
        objects = {a['image_id'] for a in content['annotations'] if not a.get('iscrowd')}
        images = [image for image in content['images'] if image['id'] in objects][: numbers[split]]
        if not images:
            raise ValueError(f'{data.ann_files[split]} has no image with objects')
        kept = {image['id'] for image in images}
        annotations = [a for a in content['annotations'] if a['image_id'] in kept]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(dict(content, images=images, annotations=annotations)))
    return Data(data.name, data.kind, _ann_files(folder), data.image_folders, folder, data.classes)
