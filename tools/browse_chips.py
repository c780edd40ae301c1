"""Draw the training chips of a config's images, with trained, ignored and not enclosed objects told apart.

python tools/browse_chips.py configs/isn/isn-faster-rcnn_r50_fpn_8xb4-18e_coco.py --out work_dirs/chips --images 8
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import mmcv
import numpy as np
from mmdet.registry import DATASETS
from mmengine.config import Config, DictAction
from mmengine.registry import init_default_scope
from rich.progress import track

from mmisn.chips import level_name
from mmisn.datasets import ChipDataset, ChipIndex, chip_dataset_cfg, objects_of_image
from mmisn.datasets.negatives import chips_of_pass
from mmisn.datasets.transforms import FilterByScale
from mmisn.structures import ScaleRange
from mmisn.visualization import (
    ChipView,
    best_states,
    count_states,
    draw_chips,
    markdown_table,
    object_states,
    write_csv,
)
from mmisn.visualization.object_states import STATES


@dataclass(frozen=True)
class ImageChips:
    """An image and its chips in one epoch.

    Attributes:
        path: Image file.
        boxes_xyxy: (N, 4) in original pixels.
        best: (N,) of ``best_states``.
        views: The chips.
    """

    path: str
    boxes_xyxy: np.ndarray
    best: np.ndarray
    views: list[ChipView]


def training_range(dataset: ChipDataset, number: int) -> ScaleRange:
    """Scales that the dataset's pipeline trains on in a chip: as its ``FilterByScale`` says, or all without one."""
    filters = [t for t in dataset.pipeline.transforms if isinstance(t, FilterByScale)]
    if not filters:
        return ScaleRange()
    return filters[-1].scale_range or ScaleRange.build(tuple(dataset.plan.view_range[number].tolist()))


def chips_of_image(dataset: ChipDataset, image: int, seed: int = 0, epoch: int = 0) -> ImageChips:
    """The chips of an image in an epoch (a pass of the sampler), and what they make of its objects."""
    info = dataset.dataset.get_data_info(image)
    boxes, ignored = objects_of_image(info)
    plan, views = dataset.plan, []
    shown = np.arange(len(plan))
    if dataset.negatives is not None:
        shown = chips_of_pass(plan, dataset.negatives, seed, epoch)
    for number in shown[plan.image[shown] == image].tolist():
        chip = dataset.chip_at(ChipIndex(number, epoch, seed))
        scale_range = training_range(dataset, number)
        states = object_states(boxes, ignored, chip, scale_range)
        level, negative = int(plan.level[number]), bool(plan.negative[number])
        views.append(ChipView(number, level, chip, scale_range.in_view(chip), states, negative))
    # What is in range of a level does not depend on the draw.
    cover = dataset.generator.plan((info['width'], info['height']), boxes, np.random.default_rng(0))
    in_some_range = np.ones(len(boxes), bool)
    in_some_range[cover.out_of_range] = False
    return ImageChips(info['img_path'], boxes, best_states([v.states for v in views], ignored, in_some_range), views)


def level_names(dataset: ChipDataset) -> list[str]:
    """A short name for each level of the dataset's generator."""
    return [level_name(v) for v in dataset.generator.levels]


def choose_images(dataset: ChipDataset, names: Sequence[str] | None, number: int) -> list[int]:
    """Indices of the images named, or of ``number`` images evenly spread over the dataset.

    Raises:
        ValueError: If a name is not in the dataset.
    """
    if not names:
        return np.unique(np.linspace(0, dataset.num_images - 1, number).round().astype(int)).tolist()
    paths = [Path(dataset.dataset.get_data_info(i)['img_path']) for i in range(dataset.num_images)]
    known = {key: i for i, p in reversed(list(enumerate(paths))) for key in (str(p), p.name, p.stem)}
    missing = [n for n in names if n not in known]
    if missing:
        raise ValueError(
            f'{missing} not among the {len(paths)} images of the dataset (such as {paths[0].name}); images without '
            'objects may have been left out by its filter_cfg'
        )
    return [known[n] for n in names]


def count_table(images: Sequence[ImageChips], names: Sequence[str]) -> tuple[list[str], list[list]]:
    """Counts per level and state over images: an object counts once per chip that shows it, in the last row once.

    Where there are negative chips, a column says how many of the chips they are.
    """
    views = [v for image in images for v in image.views]
    counts = count_states([v.states for v in views], [v.level for v in views], len(names))
    rows = [[name, sum(v.level == i for v in views), *counts[i].tolist()] for i, name in enumerate(names)]
    best = np.concatenate([image.best for image in images])
    rows.append(['objects, by best chip', len(views), *(int((best == state).sum()) for state in STATES)])
    header = ['level', 'chips', *STATES]
    if any(v.negative for v in views):
        negative = [sum(v.negative for v in views if v.level == i) for i in range(len(names))]
        rows = [[*row[:2], number, *row[2:]] for row, number in zip(rows, [*negative, sum(negative)])]
        header.insert(2, 'negative')
    return header, rows


def browse_chips(
    cfg: Config,
    out: str | Path,
    names: Sequence[str] | None = None,
    number: int = 8,
    seed: int = 0,
    epoch: int = 0,
    panels_per_level: int = 12,
) -> tuple[list[str], list[list]]:
    """Write one picture per image, and ``counts.csv``.

    Returns:
        Header and rows of the table of counts.
    """
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    dataset = DATASETS.build(chip_dataset_cfg(cfg))
    dataset.full_init()
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    images, drawn = [], set()
    for i in track(choose_images(dataset, names, number), 'Drawing chips'):
        image = chips_of_image(dataset, i, seed, epoch)
        pixels = mmcv.imread(image.path, channel_order='rgb')
        title = f'{Path(image.path).name}   {pixels.shape[1]}x{pixels.shape[0]} px, {len(image.views)} chips'
        if dataset.negatives is not None:
            pool = int((dataset.plan.image[dataset.plan.negative] == i).sum())
            title += f', {sum(v.negative for v in image.views)} of them negative, drawn from {pool}'
        title += f' (seed {seed}, epoch {epoch})'
        figure = draw_chips(
            pixels, image.boxes_xyxy, image.best, image.views, level_names(dataset), title, panels_per_level
        )
        picture = out / f'{Path(image.path).stem}.png'
        # Pictures of different folders may have the same name.
        figure.savefig(out / f'{Path(image.path).stem}_{i}.png' if picture in drawn else picture)
        drawn.add(picture)
        images.append(image)
    header, rows = count_table(images, level_names(dataset))
    write_csv(out / 'counts.csv', header, rows)
    return header, rows


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line arguments."""
    parser = argparse.ArgumentParser(description="Draw the training chips of a config's images")
    parser.add_argument('config', help='config that trains on a ChipDataset')
    parser.add_argument('--out', required=True, help='folder for one PNG per image and counts.csv')
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument('--images', type=int, default=8, help='number of images, evenly spread (default: %(default)s)')
    chosen.add_argument('--image', nargs='+', metavar='NAME', help='images by file name, with or without suffix')
    parser.add_argument('--seed', type=int, default=0, help='seed of the sampler (default: %(default)s)')
    parser.add_argument('--epoch', type=int, default=0, help='epoch whose chips are drawn (default: %(default)s)')
    parser.add_argument(
        '--panels', type=int, default=12, help='chips of a level to show on their own, at most (default: %(default)s)'
    )
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='key=value pairs that change the config')
    args = parser.parse_args(argv)
    if args.images < 1 or args.panels < 1:
        parser.error(f'--images and --panels must be at least 1, got {args.images} and {args.panels}')
    return args


def main(argv: list[str] | None = None) -> None:
    """Draw and print the counts."""
    args = parse_args(argv)
    cfg = Config.fromfile(args.config)
    if args.cfg_options:
        cfg.merge_from_dict(args.cfg_options)
    try:
        header, rows = browse_chips(cfg, args.out, args.image, args.images, args.seed, args.epoch, args.panels)
    except ValueError as error:
        raise SystemExit(f'error: {error}') from error
    print(markdown_table(header, rows))
    print('\nAn object counts in each chip that shows it; in the last row once, by what its best chip makes of it.')
    print(f'Pictures and counts.csv are in {args.out}')


if __name__ == '__main__':
    main()
