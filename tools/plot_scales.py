"""Plot how large a data set's objects are: in the original, and trained against ignored as the network sees them.

    python tools/plot_scales.py configs/isn/isn-faster-rcnn_r50_fpn_8xb4-18e_coco.py --out work_dirs/scales
    python tools/plot_scales.py instances_train2017.json --rule isn snip --out work_dirs/isn_snip
    python tools/plot_scales.py instances_train2017.json --levels 2 1 0.5 --ranges 16,560 --out work_dirs/mine

The first draws ISN's Figure 1e and 1f for the rule that the config trains with, the second ISN's beside SNIP's.
"""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmengine.config import Config, DictAction
from mmengine.registry import init_default_scope
from rich.progress import track

from mmisn.chips import parse_level
from mmisn.datasets.training_boxes import dataset_of_annotations, dataset_of_config, read_training_boxes
from mmisn.structures import ScaleRange
from mmisn.visualization import (
    PAPER_RULES,
    ScaleRule,
    SeenScales,
    histogram,
    markdown_table,
    octave_edges,
    plot_scales,
    rule_of_generator,
    rule_of_pipeline,
    see_scales,
    write_csv,
)
from mmisn.visualization.scale_histogram import HISTOGRAM_COLUMNS, SUMMARY_HEADER, histogram_rows, summary_row


def see_source(
    source: str, rules: Sequence[ScaleRule], cfg_options: dict | None = None
) -> list[tuple[str, SeenScales]]:
    """Measure the objects of a config's training set or of an annotation file.

    Args:
        source: Config or COCO json.
        rules: Rules to see them with; without any, the rule that the config trains with, or one level of factor 1.
        cfg_options: Changes to a config.

    Returns:
        Per rule a heading and the scales.
    """
    if source.endswith('.json'):
        init_default_scope('mmdet')
        dataset = dataset_of_annotations(source)
        own = [] if rules else [ScaleRule.build('as they are', [1.0])]
    else:
        cfg = Config.fromfile(source)
        cfg.merge_from_dict(cfg_options or {})
        init_default_scope(cfg.get('default_scope', 'mmdet'))
        dataset, outer = dataset_of_config(cfg)
        own = [] if rules else [_rule_of_config(outer)]
    images = read_training_boxes(dataset).images
    name = Path(source).stem
    seen = []
    for rule in (*rules, *own):
        scales = see_scales(track(images, f'Measuring for {rule.name or "its own rule"}'), rule)
        seen.append((f'{name}, {rule.name}' if rule.name else name, scales))
    return seen


def _rule_of_config(outer: dict) -> ScaleRule:
    if outer.get('type') == 'ChipDataset':
        return rule_of_generator('', outer['generator'])
    return rule_of_pipeline('', outer.get('pipeline', []))


def write_scales(seen: Sequence[tuple[str, SeenScales]], prefix: str | Path) -> str:
    """Write PREFIX.png and PREFIX.csv; all rows of the CSV have the same bins.

    Returns:
        The summary in Markdown.
    """
    prefix = Path(prefix)
    prefix.parent.mkdir(parents=True, exist_ok=True)
    edges = octave_edges(np.concatenate([np.r_[s.original, s.seen.ravel()] for _, s in seen]))
    rows = [[name, *row] for name, s in seen for row in histogram_rows(edges, histogram(s, edges)[1])]
    write_csv(f'{prefix}.csv', ['rule', 'lower_px', 'upper_px', *HISTOGRAM_COLUMNS], rows)
    plot_scales([s for _, s in seen], [name for name, _ in seen]).savefig(f'{prefix}.png')
    return markdown_table(SUMMARY_HEADER, [summary_row(s, name) for name, s in seen])


def parse_range(text: str) -> tuple[float, float]:
    """``16,560`` or ``120,inf``."""
    lower, upper = text.split(',')
    return float(lower), float(upper)


def rules_of_args(args: argparse.Namespace) -> list[ScaleRule]:
    """The rules that the command line names."""
    rules = [PAPER_RULES[name] for name in args.rule or ()]
    if args.levels is None:
        if args.ranges or args.frame or args.chip_size:
            raise ValueError('--ranges, --frame and --chip-size need --levels')
        return rules
    frame = args.frame or 'view'
    ranges = [ScaleRange(*r, frame=frame) for r in args.ranges or [(0.0, math.inf)]]
    return [*rules, ScaleRule.build('given', args.levels, ranges[0] if len(ranges) == 1 else ranges, args.chip_size)]


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line arguments."""
    parser = argparse.ArgumentParser(description="Plot how large a data set's objects are, for the network and in fact")
    parser.add_argument('sources', nargs='+', help='configs (their training sets and rules) or COCO json files')
    parser.add_argument('--out', required=True, metavar='PREFIX', help='writes PREFIX.png and PREFIX.csv')
    parser.add_argument('--rule', nargs='+', choices=sorted(PAPER_RULES), help='rules of papers')
    parser.add_argument('--levels', nargs='+', type=parse_level, help='factors (0.5) or sizes (1333x800) of a rule')
    parser.add_argument('--ranges', nargs='+', type=parse_range, help='one range LOWER,UPPER, or one per level; inf')
    parser.add_argument('--frame', choices=('view', 'original'), help='pixels of --ranges (default: view)')
    parser.add_argument('--chip-size', type=int, help='longest side of chips, view px; whole images by default')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='key=value pairs that change configs')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Plot, and print the summary."""
    args = parse_args(argv)
    try:
        rules = rules_of_args(args)
        seen = [pair for source in args.sources for pair in see_source(source, rules, args.cfg_options)]
        print(write_scales(seen, args.out))
    except ValueError as error:
        raise SystemExit(f'error: {error}') from error
    print(f'{args.out}.png and {args.out}.csv are written')


if __name__ == '__main__':
    main()
