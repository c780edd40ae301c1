"""Tell which view of a multi-scale test found or missed each object: do factors and range fit the data?

    python tools/diagnose.py CONFIG CHECKPOINT --out work_dirs/diagnosis
    python tools/diagnose.py CONFIG CHECKPOINT --out work_dirs/diagnosis --max-images 200 --iou-thr 0.75

Tests as ``mim test mmdet CONFIG --checkpoint CHECKPOINT --tta`` does. Writes to the folder ``diagnosis.md`` (table and
advice), ``diagnosis.csv`` (counts), ``diagnosis.png`` and ``objects.csv`` (a row per object).
"""

import argparse
from pathlib import Path

import torch
from mmengine.config import Config, DictAction

from mmisn.evaluation.diagnosis_advice import advise
from mmisn.evaluation.diagnosis_run import Diagnosis, diagnose
from mmisn.evaluation.diagnosis_summary import (
    count_octaves,
    count_rows,
    object_rows,
    octave_anchor,
    octave_rows,
)
from mmisn.visualization import markdown_table, write_csv
from mmisn.visualization.view_diagnosis_plot import plot_diagnosis

EXPLANATION = """\
Shares are of the objects of the octave. A view finds an object when testing with this view alone, range and suppression
included, would. Merged: found in the end; lost in merging: found by some view, not in the end; found out of range only:
seen by some view, but discarded by its range; found by no view: neither."""


def write_diagnosis(diagnosis: Diagnosis, out: str | Path, title: str, anchor: float | None = None) -> str:
    """Write all files of a diagnosis.

    Args:
        diagnosis: What was found.
        out: Folder; made if need be.
        title: Heading of report and picture.
        anchor: An edge of the octaves, original px; by default the smallest lower bound of a view's range, else 1.

    Returns:
        The report in Markdown.
    """
    out, views, states = Path(out), diagnosis.views, diagnosis.states
    out.mkdir(parents=True, exist_ok=True)
    table = count_octaves(states, octave_anchor(views.bounds) if anchor is None else anchor)
    write_csv(out / 'diagnosis.csv', *count_rows(table, views.names))
    write_csv(out / 'objects.csv', *object_rows(states, views.names, diagnosis.classes))
    plot_diagnosis(table, views, title).savefig(out / 'diagnosis.png')
    lines = [f'{title}: {len(states)} objects of {diagnosis.num_images} images']
    lines += [f'- {number} annotations left out: {reason}' for reason, number in sorted(diagnosis.left_out.items())]
    lines += ['', markdown_table(*octave_rows(table, views.names)), '', EXPLANATION, '']
    lines += [f'- {sentence}' for sentence in advise(states, table, views)]
    report = '\n'.join(lines)
    (out / 'diagnosis.md').write_text(report + '\n')
    return report


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line arguments."""
    parser = argparse.ArgumentParser(description='Tell which view of a multi-scale test found or missed each object')
    parser.add_argument('config', help='config with tta_model and tta_pipeline')
    parser.add_argument('checkpoint', help='weights of the detector')
    parser.add_argument('--out', required=True, help='folder for table, picture and objects')
    parser.add_argument('--score-thr', type=float, default=0.05, help='detections below do not count (%(default)s)')
    parser.add_argument('--iou-thr', type=float, default=0.5, help='smallest IoU of a match (default: %(default)s)')
    parser.add_argument('--max-images', type=int, help='images to test, evenly spread (default: all)')
    parser.add_argument(
        '--octave-edge',
        type=float,
        metavar='PX',
        help="original px, one of the octaves' edges (default: the smallest lower bound of a view's range, else 1)",
    )
    parser.add_argument('--device', help='default: cuda:0 if there is one, else cpu')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='key=value pairs that change the config')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Diagnose and report."""
    args = parse_args(argv)
    device = args.device or ('cuda:0' if torch.cuda.is_available() else 'cpu')
    try:
        cfg = Config.fromfile(args.config)
        cfg.merge_from_dict(args.cfg_options or {})
        diagnosis = diagnose(cfg, args.checkpoint, device, args.iou_thr, args.score_thr, args.max_images)
        print(write_diagnosis(diagnosis, args.out, f'{Path(args.config).stem}', args.octave_edge))
    except (ValueError, FileNotFoundError, RuntimeError) as error:
        raise SystemExit(f'error: {error}') from error
    print(f'\ndiagnosis.md, diagnosis.csv, diagnosis.png and objects.csv are in {args.out}')


if __name__ == '__main__':
    main()
