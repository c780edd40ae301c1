"""Tell which view of a multi-scale test found or missed each object: do factors and range fit the data?

    python tools/diagnose.py CONFIG CHECKPOINT --out work_dirs/diagnosis
    python tools/diagnose.py CONFIG CHECKPOINT --out work_dirs/diagnosis --max-images 200 --iou-thr 0.75

Tests as ``mim test mmdet CONFIG --checkpoint CHECKPOINT --tta`` does. Writes to the folder ``diagnosis.md`` (tables and
advice), ``diagnosis.csv`` (counts), ``diagnosis.png`` and ``objects.csv`` (a row per object). The report also tells
which view reports false positives of which scale, and what they are: second boxes of an object, boxes of an object of
another class, loose boxes, parts of larger objects or background; ``false_positives.csv`` (counts) and
``false_positives.png``. With ``--keypoints`` it tells, too, how good keypoints are in the annotated boxes, at the
factor of each view (``keypoints.csv``): are keypoints to blame for a low AP, or boxes?
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config, DictAction

from mmisn.evaluation.diagnosis_advice import advise, advise_on_false_positives
from mmisn.evaluation.diagnosis_run import Diagnosis, diagnose
from mmisn.evaluation.diagnosis_summary import (
    count_octaves,
    count_rows,
    object_rows,
    octave_anchor,
    octave_rows,
)
from mmisn.evaluation.false_positive_summary import count_kinds, kind_count_rows, kind_rows, kind_rows_of_views
from mmisn.evaluation.keypoint_diagnosis import TrueBoxKeypoints, diagnose_keypoints, octave_means
from mmisn.visualization import markdown_table, write_csv
from mmisn.visualization.false_positive_plot import plot_false_positives
from mmisn.visualization.view_diagnosis_plot import plot_diagnosis

EXPLANATION = """\
Shares are of the objects of the octave. A view finds an object when testing with this view alone, range and suppression
included, would. Merged: found in the end; lost in merging: found by some view, not in the end; found out of range only:
seen by some view, but discarded by its range; found by no view: neither."""
FALSE_POSITIVES = """\
Detections of the merged result with a score of at least {}, by their own scale. True: matched with an object; twice: a
better detection has it; other class: fits an object of another class; loose: overlaps one of its class, but fits badly;
part: lies in a larger object of any class; background: none of these."""
KEYPOINTS = """\
Mean object keypoint similarity (OKS) of the keypoints that the head puts into the annotated boxes, by scale of the
object and factor of the view. Where these are high and the keypoint AP is not, boxes are to blame."""


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
    lines += ['', '## False positives', '', write_false_positives(diagnosis, out, title, table.edges)]
    report = '\n'.join(lines)
    (out / 'diagnosis.md').write_text(report + '\n')
    return report


def write_false_positives(diagnosis: Diagnosis, out: Path, title: str, edges: np.ndarray) -> str:
    """Write table and picture of the false positives.

    Args:
        diagnosis: What was found.
        out: Folder.
        title: Heading of the picture.
        edges: Of the octaves of the objects.

    Returns:
        The report in Markdown.
    """
    views, detections = diagnosis.views, diagnosis.detections
    table = count_kinds(detections, len(views.names), edges)
    write_csv(out / 'false_positives.csv', *kind_count_rows(table, views.names))
    heading = f'{title}: false positives with a score of at least {diagnosis.fp_score_thr:g}'
    plot_false_positives(table, views, heading).savefig(out / 'false_positives.png')
    lines = [FALSE_POSITIVES.format(f'{diagnosis.fp_score_thr:g}'), '']
    if detections.num_ignored:
        lines += [f'- {detections.num_ignored} detections left out: in a crowd or what is marked "ignore"', '']
    lines += [markdown_table(*kind_rows(table)), '', markdown_table(*kind_rows_of_views(table, views.names)), '']
    return '\n'.join(lines + [f'- {sentence}' for sentence in advise_on_false_positives(table, views)])


def write_keypoints(found: TrueBoxKeypoints, out: str | Path, anchor: float) -> str:
    """Write the table of keypoints in the annotated boxes.

    Args:
        found: What was found.
        out: Folder of the diagnosis, whose report gets the table as well.
        anchor: An edge of the octaves, original px.

    Returns:
        The report in Markdown.
    """
    header, rows = octave_means(found, anchor)
    write_csv(Path(out) / 'keypoints.csv', header, rows)
    report = '\n'.join(['', '## Keypoints in the annotated boxes', '', KEYPOINTS, '', markdown_table(header, rows)])
    with open(Path(out) / 'diagnosis.md', 'a') as file:
        file.write(report + '\n')
    return report


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line arguments."""
    parser = argparse.ArgumentParser(description='Tell which view of a multi-scale test found or missed each object')
    parser.add_argument('config', help='config with tta_model and tta_pipeline')
    parser.add_argument('checkpoint', help='weights of the detector')
    parser.add_argument('--out', required=True, help='folder for table, picture and objects')
    parser.add_argument('--score-thr', type=float, default=0.05, help='detections below do not count (%(default)s)')
    parser.add_argument('--iou-thr', type=float, default=0.5, help='smallest IoU of a match (default: %(default)s)')
    parser.add_argument(
        '--fp-score-thr',
        type=float,
        default=0.3,
        metavar='SCORE',
        help='false positives below are not looked at; they hardly change AP (default: %(default)s)',
    )
    parser.add_argument('--max-images', type=int, help='images to test, evenly spread (default: all)')
    parser.add_argument(
        '--octave-edge',
        type=float,
        metavar='PX',
        help="original px, one of the octaves' edges (default: the smallest lower bound of a view's range, else 1)",
    )
    parser.add_argument('--keypoints', action='store_true', help='look at keypoints in the annotated boxes, too')
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
        thresholds = (args.iou_thr, args.score_thr, args.max_images, args.fp_score_thr)
        diagnosis = diagnose(cfg, args.checkpoint, device, *thresholds)
        print(write_diagnosis(diagnosis, args.out, f'{Path(args.config).stem}', args.octave_edge))
        if args.keypoints:
            factors = sorted(set(np.round(diagnosis.views.factors, 3).tolist()))
            found = diagnose_keypoints(cfg, args.checkpoint, factors, device, args.max_images)
            print(write_keypoints(found, args.out, args.octave_edge or octave_anchor(diagnosis.views.bounds)))
    except (ValueError, FileNotFoundError, RuntimeError) as error:
        raise SystemExit(f'error: {error}') from error
    print(
        f'\ndiagnosis.md, diagnosis.csv, diagnosis.png, objects.csv and false_positives.{{csv,png}} are in {args.out}'
    )


if __name__ == '__main__':
    main()
