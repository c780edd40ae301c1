"""Set methods side by side: a table, AP by scale octave, and their detections on the same pictures."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use('Agg')
import cv2  # noqa: E402
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402

from .tables import markdown_table, percent, spell_mean, spread, write_csv  # noqa: E402

AP_IN_RANGE = re.compile(r'coco/bbox_mAP_([\d.]+)_([\d.]+|inf)$')
# Columns of the table before those of the scale ranges.
MAIN_COLUMNS = {'coco/bbox_mAP': 'AP', 'coco/bbox_mAP_50': 'AP50', 'coco/bbox_mAP_75': 'AP75'}


def scale_bounds(key: str) -> tuple[float, float] | None:
    """(lower, upper) in pixels of a metric key such as ``coco/bbox_mAP_16_560``; ``None`` for other keys."""
    found = AP_IN_RANGE.match(key)
    return (float(found[1]), float(found[2])) if found else None


def range_columns(results: Sequence[Mapping]) -> dict[str, str]:
    """Metric key and heading of every scale range that the results have, in their order."""
    bounds = {k: scale_bounds(k) for k in results[0]['metrics']}
    return {k: f'AP [{b[0]:g}, {b[1]:g}]' for k, b in bounds.items() if b}


def by_method(results: Sequence[Mapping], key: str) -> dict[str, np.ndarray]:
    """Values of a metric over the seeds of each method, in percent; a range without objects is NaN."""
    values: dict[str, list[float]] = {}
    for result in results:
        values.setdefault(result['method'], []).append(result['metrics'][key])
    return {m: percent(v) for m, v in values.items()}


def write_table(results: Sequence[Mapping], prefix: Path) -> str:
    """Write ``prefix``.md and ``prefix``.csv: a row per method, mean and, of several seeds, standard deviation.

    Args:
        results: One per method and seed, with the keys ``method``, ``seed``, ``metrics`` and ``seconds``.
        prefix: Where to write, without suffix.

    Returns:
        The table in Markdown.
    """
    columns = {**MAIN_COLUMNS, **range_columns(results)}
    header = ['method', 'seeds', *columns.values(), 'training s', 'test s']
    rows = []
    for method in dict.fromkeys(r['method'] for r in results):
        own = [r for r in results if r['method'] == method]
        cells = [spell_mean(by_method(own, key)[method]) for key in columns]
        seconds = [_mean_seconds(own, step) for step in ('train', 'test')]
        rows.append([method, str(len(own)), *cells, *seconds])
    write_csv(prefix.with_suffix('.csv'), header, rows)
    text = markdown_table(header, rows)
    prefix.with_suffix('.md').write_text(text + '\n')
    return text


def _mean_seconds(results: Sequence[Mapping], step: str) -> str:
    known = [r['seconds'][step] for r in results if step in r['seconds']]
    return f'{np.mean(known):.0f}' if known else '-'


def plot_octaves(results: Sequence[Mapping], path: Path) -> None:
    """Draw AP against object scale, one line per method; bars show the standard deviation over seeds."""
    octaves = [k for k in range_columns(results) if (b := scale_bounds(k))[0] > 0 and b[1] <= 2 * b[0] + 1e-6]
    figure, axes = plt.subplots(figsize=(7, 4), layout='constrained')
    for method in dict.fromkeys(r['method'] for r in results):
        values = [by_method(results, key)[method] for key in octaves]
        centres = [float(np.sqrt(np.prod(scale_bounds(k)))) for k in octaves]
        spreads = np.nan_to_num([spread(v) for v in values])
        axes.errorbar(centres, [np.nanmean(v) for v in values], spreads, marker='o', capsize=3, label=method)
    edges = sorted({b for k in octaves for b in scale_bounds(k)})
    axes.set_xscale('log')
    axes.set_xticks(edges, [f'{e:g}' for e in edges])
    axes.minorticks_off()
    axes.set(xlabel='object scale sqrt(w·h), original px', ylabel='AP (%)', ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=130)
    plt.close(figure)


def draw_comparison(
    ann_file: Path,
    image_folder: Path,
    predictions: Mapping[str, Path],
    path: Path,
    num_images: int = 4,
    score_thr: float = 0.5,
    zoom: int = 2,
) -> None:
    """Draw ground truth and each method's detections on the images with the widest spread of object scales.

    Args:
        ann_file: COCO ground truth.
        image_folder: Where its images are.
        predictions: COCO result json of each method.
        path: Picture to write.
        num_images: Rows of the picture.
        score_thr: Detections below it are not drawn.
        zoom: Magnification of the images.
    """
    coco = json.loads(Path(ann_file).read_text())
    names = {c['id']: c['name'] for c in coco['categories']}
    truth = _group(coco['annotations'])
    columns = {'ground truth': truth}
    for method, file in predictions.items():
        columns[method] = _group(r for r in json.loads(Path(file).read_text()) if r['score'] >= score_thr)
    images = sorted(coco['images'], key=lambda i: -_scale_spread(truth.get(i['id'], [])))[:num_images]
    colours = {c: tuple(int(255 * v) for v in plt.cm.tab10(n % 10)[:3]) for n, c in enumerate(names)}
    rows = []
    for image in images:
        pixels = cv2.imread(str(Path(image_folder) / image['file_name']))[..., ::-1]
        rows.append([_draw_boxes(pixels, c.get(image['id'], []), colours, zoom) for c in columns.values()])
    width, height = rows[0][0].shape[1], rows[0][0].shape[0]
    size = (3.4 * len(columns), 3.4 * height / width * len(rows) + 0.6)
    figure, axes = plt.subplots(len(rows), len(columns), figsize=size, squeeze=False, layout='constrained')
    for row, pictures in zip(axes, rows):
        for axis, picture in zip(row, pictures):
            axis.imshow(picture)
            axis.axis('off')
    for axis, title in zip(axes[0], columns):
        axis.set_title(title)
    handles = [plt.Line2D([], [], color=np.array(colours[c]) / 255, label=n, linewidth=3) for c, n in names.items()]
    figure.legend(handles=handles, loc='outside lower center', ncols=len(handles), fontsize='small')
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _group(records) -> dict[int, list[dict]]:
    grouped: dict[int, list[dict]] = {}
    for record in records:
        grouped.setdefault(record['image_id'], []).append(record)
    return grouped


def _scale_spread(annotations: Sequence[Mapping]) -> float:
    scales = [np.sqrt(a['bbox'][2] * a['bbox'][3]) for a in annotations]
    return np.log(max(scales) / min(scales)) + 0.2 * len(scales) if scales else -1.0


def _draw_boxes(pixels: np.ndarray, records: Sequence[Mapping], colours: Mapping, zoom: int) -> np.ndarray:
    canvas = cv2.resize(pixels, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_CUBIC)
    for record in records:
        x, y, w, h = (round(zoom * v) for v in record['bbox'])
        cv2.rectangle(canvas, (x, y), (x + w, y + h), (0, 0, 0), 3)
        cv2.rectangle(canvas, (x, y), (x + w, y + h), colours[record['category_id']], 2)
    return canvas
