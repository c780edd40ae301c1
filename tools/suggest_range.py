"""Suggest factors and range of ISN's image pyramid from a data set's own histogram of scales.

    python tools/suggest_range.py CONFIG --out work_dirs/suggestion
    python tools/suggest_range.py instances_train2017.json --out work_dirs/suggestion --coverage 0.95
    python tools/suggest_range.py instances_train2017.json --out work_dirs/suggestion --factors 2 1 0.5

Of a config, the images that it trains on, and its chip size. The rule is that of ``mmisn.chips.suggest``. Writes to the
folder ``suggestion.md`` (reasons and table), ``suggestion.csv``, ``suggestion.png`` and ``suggestion.py`` (lines for a
config).
"""

import argparse
from pathlib import Path

from mmengine.config import Config, DictAction
from mmengine.registry import init_default_scope

import mmisn  # noqa: F401  registers everything
from mmisn.chips.scale_fit import CHIP_SIZE, MAX_FACTOR
from mmisn.chips.suggest import Suggestion, suggest
from mmisn.datasets.training_boxes import (
    TrainingBoxes,
    dataset_of_annotations,
    dataset_of_config,
    read_training_boxes,
)
from mmisn.visualization import ScaleRule, markdown_table, see_scales, write_csv
from mmisn.visualization.scale_histogram import SUMMARY_HEADER, summary_row
from mmisn.visualization.suggestion_plot import plot_suggestion

LEVEL_HEADER = ('factor', 'range, original px', 'in range %', 'at this level only %', 'Mpx per image', 'of all Mpx %')

CONFIG_LINES = """\
# Suggested from {source}: {covered:.1f} % of its objects are in range at some level.
scale_range = ({lower:g}, {upper:g})
factors = {factors}

train_dataloader = dict(
    dataset=dict(generator=dict(type='CoverChips', factors=factors, scale_range=scale_range, chip_size={chip_size}))
)
tta_model = dict(type='ScaleRangeTTAModel', scale_range=scale_range)
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='GenerateChips', generator=dict(type='PyramidChips', factors=[f])) for f in factors],
            [dict(type='CropChip')],
            [dict(type='LoadAnnotations', with_bbox=True)],
            [dict(type='PackInstanceInputs')],
        ],
    ),
]
"""


def read_source(source: str, cfg_options: dict | None = None) -> tuple[TrainingBoxes, int]:
    """The boxes of a config's training set or of a COCO json, and the chip size to suggest for."""
    if source.endswith('.json'):
        init_default_scope('mmdet')
        return read_training_boxes(dataset_of_annotations(source)), CHIP_SIZE
    cfg = Config.fromfile(source)
    cfg.merge_from_dict(cfg_options or {})
    init_default_scope(cfg.get('default_scope') or 'mmdet')
    dataset, outer = dataset_of_config(cfg)
    return read_training_boxes(dataset), outer.get('generator', {}).get('chip_size', CHIP_SIZE)


def level_rows(suggestion: Suggestion) -> list[list]:
    """A row per level and one of the whole, for the table whose header is ``LEVEL_HEADER``."""
    total = sum(level.megapixels for level in suggestion.levels)
    rows = [
        [
            f'{level.factor:g}',
            f'{level.range_original[0]:.4g} - {level.range_original[1]:.4g}',
            f'{100 * level.in_range:.1f}',
            f'{100 * level.only:.1f}',
            f'{level.megapixels:.4g}',
            f'{100 * level.megapixels / total:.3g}',
        ]
        for level in suggestion.levels
    ]
    return [*rows, ['all', '', f'{100 * suggestion.covered:.1f}', '', f'{total:.4g}', '100']]


def write_suggestion(suggestion: Suggestion, boxes: TrainingBoxes, out: str | Path, source: str) -> str:
    """Write all files of a suggestion.

    Returns:
        The report in Markdown.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    bounds, factors = suggestion.scale_range, list(suggestion.factors)
    rule = ScaleRule.build('suggested', factors, bounds, suggestion.chip_size)
    seen = see_scales(boxes.images, rule)
    plot_suggestion(suggestion, seen, Path(source).stem).savefig(out / 'suggestion.png')
    rows = level_rows(suggestion)
    write_csv(out / 'suggestion.csv', LEVEL_HEADER, rows)
    values = dict(lower=bounds.lower, upper=bounds.upper, factors=tuple(factors), chip_size=suggestion.chip_size)
    lines = CONFIG_LINES.format(source=source, covered=100 * suggestion.covered, **values)
    (out / 'suggestion.py').write_text(lines)
    report = [f'{source}: {len(boxes.scales)} objects of {len(boxes.images)} images', '']
    report += [f'- {number} annotations left out: {reason}' for reason, number in sorted(boxes.left_out.items())]
    report += [f'- {reason}' for reason in suggestion.reasons]
    report += ['', markdown_table(LEVEL_HEADER, rows), '', 'Trained with it:', '']
    report += [markdown_table(SUMMARY_HEADER, [summary_row(seen)]), '', '```python', lines.rstrip(), '```']
    text = '\n'.join(report)
    (out / 'suggestion.md').write_text(text + '\n')
    return text


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line arguments."""
    parser = argparse.ArgumentParser(description="Suggest factors and range from a data set's own scales")
    parser.add_argument('source', help='config (its training set) or COCO json')
    parser.add_argument('--out', required=True, help='folder for report, table, picture and lines for a config')
    parser.add_argument('--coverage', type=float, default=0.99, help='share of the objects (default: %(default)s)')
    fixed = parser.add_mutually_exclusive_group()
    fixed.add_argument('--range', nargs=2, type=float, metavar=('LOWER', 'UPPER'), help='choose the factors alone')
    fixed.add_argument('--factors', nargs='+', type=float, help='choose the range alone')
    parser.add_argument('--chip-size', type=int, help=f"view px; default: the config's, else {CHIP_SIZE}")
    parser.add_argument('--max-factor', type=float, default=MAX_FACTOR, help='largest factor (default: %(default)s)')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='key=value pairs that change the config')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Suggest and report."""
    args = parse_args(argv)
    try:
        boxes, chip_size = read_source(args.source, args.cfg_options)
        suggestion = suggest(
            boxes.scales,
            boxes.images_wh,
            args.coverage,
            args.factors,
            args.range,
            args.chip_size or chip_size,
            args.max_factor,
        )
        print(write_suggestion(suggestion, boxes, args.out, args.source))
    except (ValueError, FileNotFoundError) as error:
        raise SystemExit(f'error: {error}') from error
    print(f'\nsuggestion.md, suggestion.csv, suggestion.png and suggestion.py are in {args.out}')


if __name__ == '__main__':
    main()
