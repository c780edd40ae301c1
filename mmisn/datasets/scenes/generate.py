"""Write synthetic scenes as a data set in COCO's format."""

import json
import multiprocessing
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as mask_utils
from rich.progress import track

from .compose import SPLITS, Scene, SceneObject, make_scene
from .config import GENERATOR_VERSION, SceneConfig
from .person import KEYPOINTS, SKELETON

RECORD = 'scenes.json'
# Colour at full resolution: halved, as is usual, it would smear over the smallest objects.
_JPEG = [
    cv2.IMWRITE_JPEG_QUALITY,
    95,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
]


def categories(config: SceneConfig) -> list[dict[str, Any]]:
    """COCO's list of categories, with keypoint names and skeleton for the person."""
    found = []
    for index, name in enumerate(config.classes, 1):
        kind = 'person' if name == 'person' else 'rigid'
        category: dict[str, Any] = dict(id=index, name=name, supercategory=kind)
        if name == 'person':
            category.update(keypoints=list(KEYPOINTS), skeleton=[list(bone) for bone in SKELETON])
        found.append(category)
    return found


def _annotation(obj: SceneObject, config: SceneConfig) -> dict[str, Any]:
    """COCO's annotation of one object, without its ids; box and mask are of the visible part."""
    rle = mask_utils.encode(np.asfortranarray(obj.mask.astype(np.uint8)))
    annotation = dict(
        category_id=config.classes.index(obj.name) + 1,
        bbox=obj.box_xywh().tolist(),
        area=int(obj.mask.sum()),
        segmentation=dict(size=list(rle['size']), counts=rle['counts'].decode('ascii')),
        iscrowd=0,
        # The last digits of exp and log differ between processors; the file, and keys that follow from it, must not.
        drawn_scale=round(obj.scale_px, 3),
        visible_fraction=obj.visible,
    )
    if obj.keypoints is not None:
        points = np.round(obj.keypoints, 3)
        annotation['keypoints'] = [int(v) if i % 3 == 2 else v for i, v in enumerate(points.ravel().tolist())]
        annotation['num_keypoints'] = int(np.count_nonzero(points[:, 2]))
    return annotation


def _write_scene(index: int, config: SceneConfig, split: str, folder: Path) -> tuple[list[dict], list]:
    scene: Scene = make_scene(config, split, index)
    path = folder / _file_name(index)
    if not cv2.imwrite(str(path), scene.image, _JPEG):
        raise OSError(f'could not write {path}')
    return [_annotation(obj, config) for obj in scene.objects], scene.unplaced


def _file_name(index: int) -> str:
    return f'{index:06d}.jpg'


def _map(task: partial, num: int, num_workers: int) -> Iterator[Any]:
    """Results of ``task`` for 0 ... num - 1, in order, by ``num_workers`` processes."""
    if num_workers <= 1 or num <= 1:
        yield from map(task, range(num))
        return
    # One thread per process: OpenCV's pool does not survive a fork, and the processes fill the cores anyway.
    with multiprocessing.Pool(num_workers, initializer=cv2.setNumThreads, initargs=(0,)) as pool:
        yield from pool.imap(task, range(num), chunksize=8)


def _write_split(
    root: Path, split: str, num: int, config: SceneConfig, num_workers: int, progress: bool
) -> dict[str, Any]:
    """Write pictures and annotations of one split; returns its summary."""
    folder = root / split
    folder.mkdir()
    results: Iterable = _map(partial(_write_scene, config=config, split=split, folder=folder), num, num_workers)
    if progress:
        results = track(results, f'scenes: {split}', total=num)
    images, annotations, unplaced = [], [], []
    for index, (found, missing) in enumerate(results):
        width, height = config.image_wh
        images.append(dict(id=index + 1, file_name=_file_name(index), width=width, height=height))
        unplaced += missing
        for annotation in found:
            # From 1: pycocotools takes id 0 for "no match".
            annotations.append(dict(id=len(annotations) + 1, image_id=index + 1, **annotation))
    info = dict(
        description='synthetic scenes', generator_version=GENERATOR_VERSION, split=split, config=config.to_dict()
    )
    content = dict(info=info, licenses=[], images=images, annotations=annotations, categories=categories(config))
    with open(root / 'annotations' / f'instances_{split}.json', 'w') as file:
        json.dump(content, file)
    return summarize(annotations, unplaced, num, config)


def summarize(annotations: list[dict], unplaced: list, num_images: int, config: SceneConfig) -> dict[str, Any]:
    """Counts of one split: pictures, objects, per class, per octave of the visible box's scale, without a place."""
    names = dict(enumerate(config.classes, 1))
    per_class = Counter(names[annotation['category_id']] for annotation in annotations)
    sides = np.array([annotation['bbox'][2:] for annotation in annotations], float).reshape(-1, 2)
    octaves = Counter(np.floor(np.log2(np.sqrt(sides.prod(1)))).astype(int).tolist())
    return dict(
        images=num_images,
        objects=len(annotations),
        objects_per_class={name: per_class[name] for name in config.classes},
        objects_per_octave={f'{2.0**o:g}-{2.0 ** (o + 1):g}': octaves[o] for o in sorted(octaves)},
        unplaced=len(unplaced),
        unplaced_per_class=dict(Counter(name for name, _ in unplaced)),
        largest_unplaced_px=max((round(scale, 3) for _, scale in unplaced), default=None),
    )


def _differences(found: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    flat = [
        {**{k: v for k, v in record.items() if k != 'config'}, **record.get('config', {})} for record in (found, wanted)
    ]
    keys = [key for key in {**flat[0], **flat[1]} if key != 'summary' and flat[0].get(key) != flat[1].get(key)]
    return [f'{key} is {flat[0].get(key)!r} there, {flat[1].get(key)!r} is asked for' for key in keys]


def _reusable(out_dir: Path, wanted: dict[str, Any], overwrite: bool) -> dict[str, Any] | None:
    """The record of a finished folder that is what is wanted, or None when one has to be made."""
    if not out_dir.exists() or (out_dir.is_dir() and not any(out_dir.iterdir())):
        return None
    record = out_dir / RECORD
    if not record.is_file():
        raise FileExistsError(f'{out_dir} holds something else than synthetic scenes (no {RECORD}); choose another one')
    found = json.loads(record.read_text())
    differences = _differences(found, wanted)
    if differences and not overwrite:
        raise ValueError(
            f'{out_dir} holds other scenes: {"; ".join(differences)}. Choose another folder, or overwrite=True'
        )
    return None if overwrite else found


def make_scenes(
    out_dir: str | Path,
    num_train: int,
    num_val: int,
    config: SceneConfig | None = None,
    num_workers: int = 1,
    overwrite: bool = False,
    progress: bool = False,
) -> dict[str, Any]:
    """Write ``train/``, ``val/`` and ``annotations/instances_{train,val}.json``, or find them already made.

    Picture i of a split is the same whatever the number of pictures and workers. All is written to a folder beside
    ``out_dir`` first, so that ``out_dir`` is complete as soon as it exists. Pictures are JPEG of quality 95
    with full colour resolution: a third of PNG's size, several times faster to write and to read, and 1.6 grey levels
    off on average, about as much as the scenes' own noise. ``make_scene`` gives exact pictures.

    Args:
        out_dir: The data set's folder.
        num_train: Pictures of the training split.
        num_val: Pictures of the validation split.
        config: What to draw; ``None`` for the defaults.
        num_workers: Processes that draw.
        overwrite: Make the scenes anew, in the place of whatever scenes are there; a folder of anything else is never
            touched.
        progress: Show a progress bar.

    Returns:
        The record that is also written to ``scenes.json``: generator_version, num_train, num_val, config, and summary,
        which has the counts of ``summarize`` per split, objects that found no place among them.

    Raises:
        ValueError: If a count is negative, or ``out_dir`` holds scenes of other settings and ``overwrite`` is False.
        FileExistsError: If ``out_dir`` holds anything else.
    """
    config = SceneConfig() if config is None else config
    for name, count in (('num_train', num_train), ('num_val', num_val), ('num_workers', num_workers)):
        if isinstance(count, bool) or not isinstance(count, int) or count < 0:
            raise ValueError(f'{name} must be an integer >= 0, got {count!r}')
    out_dir = Path(out_dir)
    record: dict[str, Any] = dict(
        generator_version=GENERATOR_VERSION, num_train=num_train, num_val=num_val, config=config.to_dict()
    )
    found = _reusable(out_dir, record, overwrite)
    if found is not None:
        return found
    out_dir.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f'.{out_dir.name}-', dir=out_dir.parent) as temporary:
        root = Path(temporary) / 'scenes'
        (root / 'annotations').mkdir(parents=True)
        record['summary'] = {
            split: _write_split(root, split, num, config, num_workers, progress)
            for split, num in zip(SPLITS, (num_train, num_val))
        }
        (root / RECORD).write_text(json.dumps(record, indent=1))
        if out_dir.exists():
            shutil.rmtree(out_dir)
        root.rename(out_dir)
    return record
