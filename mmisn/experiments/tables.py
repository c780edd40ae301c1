"""The paper's tables as small declarative files: which rows, how each is run, and the paper's numbers.

A table file (``configs/tables/table6.yml``)::

    title: Results on ResNet-18, ResNet-18-FPN and MobileNet-v2-FPN
    source: ISN, section 4.2.3, Table 6
    metrics:                                  # metric key -> heading, for each kind of data
      coco: {bbox_mAP: AP, bbox_mAP_s: AP_s}
      scenes: {bbox_mAP: AP, bbox_mAP_0_12.8: AP_s}
    rows:
      - name: +ISN
        backbone: ResNet-18-FPN
        paper: {AP: 38.7, AP_s: 26.5}
        coco: {config: configs/isn/....py, test: {tta: true}}
        scenes: {config: configs/isn/....py, options: {key: value}, test: {tta: true, options: {key: value}}}
      - name: Fine-tuned, behind a scale net
        scenes:
          config: configs/scalenet/...-upsampled_scenes.py
          start: configs/baselines/....py       # load_from: trained first, in the same job
          share: 0.5                            # of the budget of the scenes
          test:
            config: configs/scalenet/..._chip-detector.py
            weights: {model.scale_net.init_cfg.checkpoint: {config: configs/scalenet/....py, share: 0.7}}
      - name: Rescaling once                    # of another row's test the metrics with this prefix
        mnist: {config: configs/scalenet/....py, test: {config: configs/scalenet/....py, prefix: once_}}
      - {name: SSD, backbone: MobileNet-v2, paper: {AP: 22.1}, paper_only: true}
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from .columns import Curve, check_column
from .kinds import DATA_KINDS, DETECTION_KINDS, PICTURE_KINDS, kind_of_data
from .table_checks import check_config, check_keys, check_options, check_share, check_type
from .table_rows import Entry, Row, Source

ROOT = Path(__file__).resolve().parents[2]
TABLES = ROOT / 'configs' / 'tables'
SMOKE_ONLY = 'smoke-only'

# Stem of COCO's annotation files: all objects, or persons with keypoints.
ANNOTATIONS = ('instances', 'person_keypoints')

TABLE_KEYS = ('title', 'source', 'annotations', 'metrics', 'curve', 'rows', 'notes', 'scenes_notes')
CURVE_KEYS = ('x', 'y')
ROW_KEYS = ('name', 'backbone', 'paper', *DATA_KINDS, 'negatives', 'paper_only', 'series')
ENTRY_KEYS = ('config', 'options', 'start', 'share', 'test', 'train')
SOURCE_KEYS = ('config', 'share')
TEST_KEYS = ('config', 'options', 'tta', 'weights', 'prefix')


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        name: Stem of its file.
        title: What it shows.
        source: Where it is in the paper.
        metrics: By kind of data, the heading of each metric key.
        rows: In the paper's order.
        notes: Sentences printed below it.
        scenes_notes: Those below a table of the scenes.
        annotations: One of ``ANNOTATIONS``.
        curve: Columns that are drawn against each other, too; ``None`` for none.
    """

    name: str
    title: str
    source: str
    metrics: dict[str, dict[str, str]]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    scenes_notes: tuple[str, ...] = ()
    annotations: str = 'instances'
    curve: Curve | None = None

    def kind_of(self, data: str) -> str:
        """The kind of an argument ``--data`` for this table: one of pictures has only one."""
        (kind, *more) = self.metrics
        return kind_of_data(data) if more else kind

    def headings(self) -> list[str]:
        """Headings of the metrics, in order."""
        return list(next(iter(self.metrics.values())).values())

    def choose(self, wanted: Sequence[str] | None) -> list[Row]:
        """The rows that are called so: by label, name or backbone; all for ``None``.

        Raises:
            ValueError: If a word fits no row.
        """
        if wanted is None:
            return list(self.rows)
        unknown = [w for w in wanted if not any(w in (r.label, r.name, r.backbone) for r in self.rows)]
        if unknown:
            known = '; '.join(r.label for r in self.rows)
            raise ValueError(f'{self.name} has no row {unknown[0]!r}; its rows are: {known}')
        return [r for r in self.rows if any(w in (r.label, r.name, r.backbone) for w in wanted)]


def table_names(folder: Path = TABLES) -> list[str]:
    """Names of the tables that there are."""
    return sorted(path.stem for path in folder.glob('*.yml'))


def find_table(name: str, root: Path = ROOT) -> Table:
    """Load a table by its name, or by the path of its file.

    Raises:
        ValueError: If there is no such table, or its file is invalid.
    """
    path = Path(name) if name.endswith(('.yml', '.yaml')) else root / 'configs' / 'tables' / f'{name}.yml'
    if not path.is_file():
        known = ', '.join(table_names(root / 'configs' / 'tables'))
        raise ValueError(f'no table {name!r}; there are {known}, or give the path of a table file')
    return load_table(path, root)


def load_table(path: Path, root: Path = ROOT) -> Table:
    """Read and check a table file.

    Args:
        path: The file.
        root: What the paths of its configs are relative to.

    Raises:
        ValueError: If something in it is wrong; the message names file, row and key.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding='utf-8'))
    except yaml.YAMLError as error:
        raise ValueError(f'{path}: no valid YAML: {error}') from error
    where = str(path)
    check_keys(content, TABLE_KEYS, ('title', 'source', 'metrics', 'rows'), where)
    for key in ('title', 'source'):
        check_type(content[key], str, f'{where}: {key}')
    annotations = content.get('annotations', ANNOTATIONS[0])
    if annotations not in ANNOTATIONS:
        raise ValueError(f'{where}: annotations must be one of {", ".join(ANNOTATIONS)}, got {annotations!r}')
    metrics = _metrics(content['metrics'], f'{where}: metrics')
    check_type(content['rows'], list, f'{where}: rows')
    notes = [content.get(key, []) for key in ('notes', 'scenes_notes')]
    for key, sentences in zip(('notes', 'scenes_notes'), notes):
        check_type(sentences, list, f'{where}: {key}')
    rows = tuple(_row(r, i, metrics, where, root) for i, r in enumerate(content['rows'], 1))
    if not rows:
        raise ValueError(f'{where}: rows is empty')
    labels = [row.label for row in rows]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise ValueError(f'{where}: two rows are called {twice[0]!r} (name, backbone)')
    curve = _curve(content.get('curve'), list(next(iter(metrics.values())).values()), f'{where}: curve')
    return Table(path.stem, content['title'], content['source'], metrics, rows, *map(tuple, notes), annotations, curve)


def _metrics(content: Any, where: str) -> dict[str, dict[str, str]]:
    check_type(content, dict, where)
    pictures = next((kind for kind in PICTURE_KINDS if kind in content), None)
    kinds = DETECTION_KINDS if pictures is None else (pictures,)
    check_keys(content, kinds, kinds, where)
    for kind, columns in content.items():
        check_type(columns, dict, f'{where}.{kind}')
        for key, heading in columns.items():
            check_type(key, str, f'{where}.{kind}')
            check_type(heading, str, f'{where}.{kind}.{key}')
            check_column(key, kind, f'{where}.{kind}')
    headings = {kind: list(columns.values()) for kind, columns in content.items()}
    if any(h != headings[kinds[0]] or not h for h in headings.values()):
        raise ValueError(f'{where}: {" and ".join(kinds)} must have the same headings, in one order, got {headings}')
    return content


def _row(content: Any, number: int, metrics: Mapping[str, dict[str, str]], where: str, root: Path) -> Row:
    check_type(content, dict, f'{where}: row {number}')
    named = f' ({content["name"]})' if isinstance(content.get('name'), str) else ''
    where = f'{where}: row {number}{named}'
    check_keys(content, [k for k in ROW_KEYS if k not in DATA_KINDS or k in metrics], ('name',), where)
    check_type(content['name'], str, f'{where}: name')
    for key in ('backbone', 'series'):
        check_type(content.get(key, ''), str, f'{where}: {key}')
    for key in ('negatives', 'paper_only'):
        check_type(content.get(key, False), bool, f'{where}: {key}')
    paper = content.get('paper', {})
    check_keys(paper, list(next(iter(metrics.values())).values()), (), f'{where}: paper')
    for heading, value in paper.items():
        check_type(value, (int, float), f'{where}: paper.{heading}')
    entries = {k: _entry(content[k], k, f'{where}: {k}', root) for k in metrics if k in content}
    paper_only = content.get('paper_only', False)
    if paper_only == bool(entries):
        raise ValueError(
            f'{where}: a row either has paper_only: true or is run on {" or ".join(metrics)}, got '
            f'paper_only={paper_only} and {sorted(entries) or "neither"}'
        )
    backbone, negatives, series = (
        content.get('backbone', ''),
        content.get('negatives', False),
        content.get('series', ''),
    )
    return Row(content['name'], backbone, paper, entries, negatives, paper_only, series)


def _entry(content: Any, kind: str, where: str, root: Path) -> Entry:
    check_keys(content, ENTRY_KEYS, ('config',), where)
    test = content.get('test', {})
    check_keys(test, TEST_KEYS, (), f'{where}.test')
    check_type(test.get('tta', False), bool, f'{where}.test.tta')
    check_type(test.get('prefix', ''), str, f'{where}.test.prefix')
    train = content.get('train', SMOKE_ONLY)
    if train != SMOKE_ONLY:
        raise ValueError(f'{where}.train can only be {SMOKE_ONLY!r}, got {train!r}')
    return Entry(
        config=check_config(content['config'], f'{where}.config', root),
        options=check_options(content.get('options', {}), f'{where}.options'),
        test_config=check_config(test.get('config', content['config']), f'{where}.test.config', root),
        test_options=check_options(test.get('options', {}), f'{where}.test.options'),
        tta=test.get('tta', False),
        smoke_only='train' in content,
        weights=_weights(test.get('weights', {}), kind, f'{where}.test.weights', root),
        start=_source(content['start'], kind, f'{where}.start', root) if 'start' in content else None,
        share=_share(content, kind, where),
        prefix=test.get('prefix', ''),
    )


def _weights(content: Any, kind: str, where: str, root: Path) -> dict[str, Source]:
    check_type(content, dict, where)
    for key in content:
        check_type(key, str, where)
    return {key: _source(value, kind, f'{where}.{key}', root) for key, value in content.items()}


def _source(value: Any, kind: str, where: str, root: Path) -> Source:
    content = value if isinstance(value, dict) else dict(config=value)
    check_keys(content, SOURCE_KEYS, ('config',), where)
    return Source(check_config(content['config'], f'{where}.config', root), _share(content, kind, where))


def _share(content: Mapping[str, Any], kind: str, where: str) -> float:
    if 'share' in content and kind != 'scenes':
        raise ValueError(f'{where}.share: {kind} is trained as the config says; only the scenes have a budget to share')
    return check_share(content.get('share', 1.0), f'{where}.share')


def _curve(content: Any, headings: Sequence[str], where: str) -> Curve | None:
    if content is None:
        return None
    check_keys(content, CURVE_KEYS, CURVE_KEYS, where)
    for key, heading in content.items():
        if heading not in headings:
            raise ValueError(f'{where}.{key}: no heading {heading!r}; there are {", ".join(headings)}')
    return Curve(**content)
