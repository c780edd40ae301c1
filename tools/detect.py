"""Detect on a picture, or a folder of them, at several scales, around any MMDetection detector.

    python tools/detect.py CONFIG CHECKPOINT FOLDER --out work_dirs/found
    python tools/detect.py CONFIG CHECKPOINT FOLDER --out work_dirs/found --factors 4 2 1 0.5 0.25 --range 16 560 --flip
    python tools/detect.py CONFIG CHECKPOINT FOLDER --out work_dirs/found --factors 2 --max-pixels 1000000 --overlap 64
    python tools/detect.py CONFIG CHECKPOINT FOLDER --out work_dirs/found --generator recursive --scale-net NET_CONFIG \
        NET_CHECKPOINT --window-range 0 225 --batch-size 8 --draw-windows
    python tools/detect.py CONFIG CHECKPOINT PICTURE.jpg --out work_dirs/found --compare

Writes ``results.json`` (COCO detections), for detectors with masks or keypoints also ``results.segm.json`` or
``results.keypoints.json``, ``images.json`` (COCO images and categories, to which the ids refer) and annotated pictures.
The test pipeline of the config is not run: pictures are read as they are.
"""

import argparse
import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, DictAction
from mmengine.registry import init_default_scope
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mmisn.chips import parse_level
from mmisn.datasets.picture_folder import find_pictures, read_picture
from mmisn.evaluation.coco_results import coco_results
from mmisn.models.detectors.wrap import (
    build_chip_detector,
    detect_image,
    restrict_classes,
    whole_image_alone,
    wrap_in_chip_detector,
)
from mmisn.models.detectors.wrap_generators import GENERATORS, read_scale_net, test_level
from mmisn.visualization import KeypointVisualizer, draw_picture, put_side_by_side
from mmisn.visualization.keypoint_visualizer import KEYPOINT_SCORE_THR


@dataclass
class Summary:
    """What ``detect_folder`` did.

    Attributes:
        num_images: Pictures looked at.
        num_detections: Detections in ``results.json``.
        megapixels: View pixels computed by the detector, in millions.
        scale_net_megapixels: Pixels that a scale net has looked at, in millions.
        seconds: Time in the detector.
        skipped: For each picture left out, why.
        num_unmapped: Detections of classes that the annotation file does not have, left out.
    """

    num_images: int = 0
    num_detections: int = 0
    megapixels: float = 0.0
    scale_net_megapixels: float = 0.0
    seconds: float = 0.0
    skipped: dict[str, str] = field(default_factory=dict)
    num_unmapped: int = 0

    def __str__(self) -> str:
        lines = [f'skipped {path}: {why}' for path, why in self.skipped.items()]
        if self.skipped:
            lines.append(f'{len(self.skipped)} pictures skipped')
        if self.num_unmapped:
            lines.append(f'{self.num_unmapped} detections left out: their classes are not in the annotation file')
        per_image = self.seconds / self.num_images if self.num_images else math.nan
        by_net = f' and {self.scale_net_megapixels:.2f} by the scale net' if self.scale_net_megapixels else ''
        lines.append(
            f'{self.num_images} images, {self.num_detections} detections, {self.megapixels:.2f} Mpix computed{by_net}, '
            f'{per_image:.2f} s per image'
        )
        return '\n'.join(lines)


class Ids:
    """Which image and category ids results get: those of an annotation file, or indices from 0."""

    def __init__(self, names: Sequence[str], classes: Sequence[str], ann_file: str | Path | None = None) -> None:
        self.categories = [dict(id=i, name=c) for i, c in enumerate(classes)]
        self.image_ids = {name: i for i, name in enumerate(names)}
        if ann_file is not None:
            with open(ann_file) as file:
                content = json.load(file)
            self.categories = [dict(id=c['id'], name=c['name']) for c in content['categories']]
            of_file = {i['file_name']: i['id'] for i in content['images']}
            self.image_ids = {n: of_file[n] for n in names if n in of_file}
        by_name = {c['name']: c['id'] for c in self.categories}
        self.category_ids = [by_name.get(c) for c in classes]
        if not any(i is not None for i in self.category_ids):
            raise ValueError(f'none of the classes {list(classes)} is a category of {ann_file}: {sorted(by_name)}')


def detect_folder(
    config: str | Path | Config,
    checkpoint: str | Path,
    folder: str | Path,
    out: str | Path,
    device: str | None = None,
    ann_file: str | Path | None = None,
    classes: Sequence[str] | None = None,
    score_thr: float | None = 0.3,
    cfg_options: dict | None = None,
    draw_windows: bool = False,
    keypoint_thr: float | None = None,
    compare: bool = False,
    **views: Any,
) -> Summary:
    """Detect on all pictures of a folder, or on a single one.

    Args:
        config: Config of a detector, or its file.
        checkpoint: Its weights.
        folder: Pictures; subfolders are looked into. Or a single picture file.
        out: Folder for ``results*.json``, ``images.json`` and ``pictures/``.
        device: By default ``cuda:0`` if there is one, else ``cpu``.
        ann_file: COCO json whose image and category ids the results get; pictures that it does not name are skipped.
            Without one, ids are indices from 0, of the pictures by name and of the classes.
        classes: Report these only.
        score_thr: Draw detections with a higher score; ``None`` draws no pictures. The results hold all.
        cfg_options: Changes to the config.
        draw_windows: Whether pictures show the chips that were looked into.
        keypoint_thr: Draw keypoints with at least this score; by default the ``keypoint_score_thr`` of the config's
            visualizer, else 0.2.
        compare: Whether pictures show, to the left, what the detector finds in the whole picture alone: at the level
            of the generator, else at the size at which the config tests, else as it is.
        **views: Arguments of ``wrap_in_chip_detector``.

    Raises:
        ValueError: If an option is invalid, or there are no pictures.
        RuntimeError: If the checkpoint lacks weights.
    """
    pictures = find_pictures(folder, out)
    cfg = config if isinstance(config, Config) else Config.fromfile(config)
    cfg.merge_from_dict(cfg_options or {})
    init_default_scope(cfg.get('default_scope') or 'mmdet')
    model_cfg, notes = wrap_in_chip_detector(cfg, **views)
    print('\n'.join(notes))
    device = device or ('cuda:0' if torch.cuda.is_available() else 'cpu')
    model = build_chip_detector(model_cfg, cfg, checkpoint, device)
    if classes is not None:
        restrict_classes(model, classes)
    root = Path(folder).parent if Path(folder).is_file() else folder
    names = [p.relative_to(root).as_posix() for p in pictures]
    ids = Ids(names, model.dataset_meta['classes'], ann_file)
    if keypoint_thr is None:
        keypoint_thr = (cfg.get('visualizer') or {}).get('keypoint_score_thr', KEYPOINT_SCORE_THR)
    visualizer = KeypointVisualizer(name='detect', keypoint_score_thr=keypoint_thr)
    alone = whole_image_alone(model, test_level(cfg) or 1.0) if compare else None
    return _detect_all(model, dict(zip(names, pictures)), ids, Path(out), visualizer, score_thr, draw_windows, alone)


def _detect_all(
    model: torch.nn.Module,
    pictures: dict[str, Path],
    ids: Ids,
    out: Path,
    visualizer: KeypointVisualizer,
    score_thr: float | None,
    draw_windows: bool = False,
    alone: torch.nn.Module | None = None,
) -> Summary:
    summary, results, images = Summary(), dict(bbox=[]), []
    visualizer.dataset_meta = model.dataset_meta
    keypoint_offset = model.dataset_meta.get('keypoint_offset', 0.0)
    out.mkdir(parents=True, exist_ok=True)
    columns = TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns) as progress:
        for name, path in progress.track(pictures.items(), description='Detecting'):
            if name not in ids.image_ids:
                summary.skipped[name] = 'not in the annotation file'
                continue
            try:
                pixels = read_picture(path)
            except (OSError, SyntaxError, ValueError) as error:
                summary.skipped[name] = str(error)
                continue
            start = time.perf_counter()
            sample = detect_image(model, pixels, str(path))
            summary.seconds += time.perf_counter() - start
            found, unmapped = coco_results(sample, ids.image_ids[name], ids.category_ids, keypoint_offset)
            for kind, entries in found.items():
                results.setdefault(kind, []).extend(entries)
            height, width = pixels.shape[:2]
            images.append(dict(id=ids.image_ids[name], file_name=name, width=width, height=height))
            summary.num_images += 1
            summary.num_unmapped += unmapped
            summary.megapixels += sample.view_pixels / 1e6
            summary.scale_net_megapixels += sample.get('scale_net_pixels', 0) / 1e6
            if score_thr is not None:
                target = out / 'pictures' / name
                draw_picture(visualizer, pixels, sample, score_thr, target, draw_windows)
                if alone is not None:
                    before = target.with_stem(f'{target.stem}_without')
                    draw_picture(visualizer, pixels, detect_image(alone, pixels, str(path)), score_thr, before)
                    put_side_by_side([before, target], target)
                    before.unlink()
    summary.num_detections = len(results['bbox'])
    for kind, entries in results.items():
        (out / ('results.json' if kind == 'bbox' else f'results.{kind}.json')).write_text(json.dumps(entries))
    content = dict(images=images, annotations=[], categories=ids.categories)
    (out / 'images.json').write_text(json.dumps(content, indent=1))
    return summary


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line arguments."""
    parser = argparse.ArgumentParser(
        description='Detect on a picture, or a folder of them, at several scales, around any MMDetection detector'
    )
    parser.add_argument('config', help='config of a detector, or of a ChipDetector, which is then taken as it is')
    parser.add_argument('checkpoint')
    parser.add_argument('folder', help='a picture, or a folder of pictures; subfolders too')
    parser.add_argument('--out', required=True, help='folder for results.json, images.json and pictures/')
    parser.add_argument(
        '--factors',
        '--levels',
        nargs='+',
        type=parse_level,
        dest='levels',
        help="factors (2 0.5) or sizes (1333x800); by default those of the config's tta_pipeline, else 1 and 2",
    )
    parser.add_argument(
        '--range',
        nargs=2,
        type=float,
        metavar=('LOWER', 'UPPER'),
        help="scales that a view may report, in its pixels; by default the config's tta_model's, else all ('0 inf')",
    )
    parser.add_argument(
        '--window-range',
        nargs=2,
        type=float,
        metavar=('LOWER', 'UPPER'),
        help="with --generator recursive: scales that a window may report, in its pixels ('0 inf' for all); by default "
        "--range, else the paper's rule, from 0 to 9/32 of the short side of a level given as a size",
    )
    parser.add_argument('--flip', action=argparse.BooleanOptionalAction, help='look at mirrored views as well')
    parser.add_argument('--score-thr', type=float, default=0.3, help='for the pictures (default: %(default)s)')
    parser.add_argument(
        '--keypoint-thr',
        type=float,
        help="draw keypoints with at least this score (default: that of the config's visualizer, else 0.2)",
    )
    parser.add_argument('--no-pictures', action='store_true', help='write the json files only')
    parser.add_argument('--batch-size', type=int, help='views of equal size that are computed together')
    parser.add_argument('--max-pixels', type=int, help='cut larger views into overlapping tiles of so many pixels')
    parser.add_argument(
        '--overlap',
        type=int,
        help='with --max-pixels: view px that tiles share at least (default: a quarter of a tile)',
    )
    parser.add_argument('--edge-margin', type=float, help='drop boxes so near to a tile edge, view px (default: 2)')
    parser.add_argument('--max-per-img', type=int, help='detections per image (default: 100)')
    parser.add_argument('--no-masks', action='store_true', help='leave out the mask head, boxes alone are detected')
    parser.add_argument('--average-masks', action='store_true', help='average masks over the views that hold the box')
    parser.add_argument('--generator', choices=list(GENERATORS), help='which chips are looked at (default: pyramid)')
    parser.add_argument(
        '--generator-options', nargs='+', action=DictAction, help='key=value pairs: further arguments of the generator'
    )
    parser.add_argument(
        '--scale-net', nargs=2, metavar=('CONFIG', 'CHECKPOINT'), help='for the generators recursive and focus'
    )
    parser.add_argument(
        '--match', action='store_true', help='keep boxes of windows that agree with the predicted scale'
    )
    parser.add_argument('--draw-windows', action='store_true', help='draw the chips that were looked into, too')
    parser.add_argument(
        '--compare', action='store_true', help='draw to the left what the detector finds in the whole picture alone'
    )
    parser.add_argument('--device', help='default: cuda:0 if there is one, else cpu')
    parser.add_argument('--classes', nargs='+', help='report these classes only')
    parser.add_argument('--ann', help='COCO json whose image and category ids the results get')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='key=value pairs that change the config')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Detect and report."""
    args = parse_args(argv)
    views = {k: getattr(args, k) for k in ('levels', 'flip', 'max_pixels', 'overlap', 'edge_margin')}
    views.update({k: v for k in ('batch_size', 'max_per_img') if (v := getattr(args, k)) is not None})
    if args.no_masks:
        views['masks'] = False
    if args.average_masks:
        views['average_masks'] = True
    if args.range is not None:
        views['scale_range'] = tuple(args.range)
    if args.window_range is not None:
        views['window_range'] = tuple(args.window_range)
    views.update(generator=args.generator, generator_options=args.generator_options)
    if args.match:
        views['match'] = {}
    try:
        if args.scale_net is not None:
            views['scale_net'] = read_scale_net(*args.scale_net)
        summary = detect_folder(
            args.config,
            args.checkpoint,
            args.folder,
            args.out,
            args.device,
            args.ann,
            args.classes,
            None if args.no_pictures else args.score_thr,
            args.cfg_options,
            args.draw_windows,
            args.keypoint_thr,
            args.compare,
            **views,
        )
    except (ValueError, FileNotFoundError) as error:
        raise SystemExit(f'error: {error}') from error
    print(summary)


if __name__ == '__main__':
    main()
