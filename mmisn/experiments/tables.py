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
      - {name: SSD, backbone: MobileNet-v2, paper: {AP: 22.1}, paper_only: true}
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from .kinds import DATA_KINDS, DETECTION_KINDS, PICTURE_KINDS, kind_of_data

ROOT = Path(__file__).resolve().parents[2]
TABLES = ROOT / 'configs' / 'tables'
SMOKE_ONLY = 'smoke-only'

# Stem of COCO's annotation files: all objects, or persons with keypoints.
ANNOTATIONS = ('instances', 'person_keypoints')

TABLE_KEYS = ('title', 'source', 'annotations', 'metrics', 'rows', 'notes', 'scenes_notes')
ROW_KEYS = ('name', 'backbone', 'paper', *DATA_KINDS, 'negatives', 'paper_only')
ENTRY_KEYS = ('config', 'options', 'test', 'train')
TEST_KEYS = ('config', 'options', 'tta', 'weights')


@dataclass(frozen=True)
class Entry:
    """How a row is trained and tested on one kind of data.

    Attributes:
        config: Config file of the training, relative to the repository.
        options: Overrides of it, as ``--cfg-options`` takes them; they hold for the test, too.
        test_config: Config file of the test.
        test_options: Overrides of that one, besides ``options``.
        tta: Whether it is tested with ``--tta``.
        smoke_only: Whether only the budget ``smoke`` runs it.
        weights: Checkpoints that the test needs besides that of the training: the option of the test that takes each,
            and the config file that it is trained with, on the same data and with the same seed.
    """

    config: str
    options: dict[str, Any]
    test_config: str
    test_options: dict[str, Any]
    tta: bool = False
    smoke_only: bool = False
    weights: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        name: First cell.
        backbone: Second cell, may be empty.
        paper: The paper's numbers by heading.
        entries: How it is run, by kind of data.
        negatives: Whether it trains on negative chips, too.
        paper_only: Whether it is another people's network, of which there are the paper's numbers alone.
    """

    name: str
    backbone: str
    paper: dict[str, float]
    entries: dict[str, Entry]
    negatives: bool = False
    paper_only: bool = False

    @property
    def label(self) -> str:
        """What tells the row from all others of its table."""
        return f'{self.name}, {self.backbone}' if self.backbone else self.name


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
    """

    name: str
    title: str
    source: str
    metrics: dict[str, dict[str, str]]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    scenes_notes: tuple[str, ...] = ()
    annotations: str = 'instances'

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
    _check_keys(content, TABLE_KEYS, ('title', 'source', 'metrics', 'rows'), where)
    for key in ('title', 'source'):
        _check_type(content[key], str, f'{where}: {key}')
    annotations = content.get('annotations', ANNOTATIONS[0])
    if annotations not in ANNOTATIONS:
        raise ValueError(f'{where}: annotations must be one of {", ".join(ANNOTATIONS)}, got {annotations!r}')
    metrics = _metrics(content['metrics'], f'{where}: metrics')
    _check_type(content['rows'], list, f'{where}: rows')
    notes = [content.get(key, []) for key in ('notes', 'scenes_notes')]
    for key, sentences in zip(('notes', 'scenes_notes'), notes):
        _check_type(sentences, list, f'{where}: {key}')
    rows = tuple(_row(r, i, metrics, where, root) for i, r in enumerate(content['rows'], 1))
    if not rows:
        raise ValueError(f'{where}: rows is empty')
    labels = [row.label for row in rows]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise ValueError(f'{where}: two rows are called {twice[0]!r} (name, backbone)')
    return Table(path.stem, content['title'], content['source'], metrics, rows, *map(tuple, notes), annotations)


def _metrics(content: Any, where: str) -> dict[str, dict[str, str]]:
    _check_type(content, dict, where)
    pictures = next((kind for kind in PICTURE_KINDS if kind in content), None)
    kinds = DETECTION_KINDS if pictures is None else (pictures,)
    _check_keys(content, kinds, kinds, where)
    for kind, columns in content.items():
        _check_type(columns, dict, f'{where}.{kind}')
        for key, heading in columns.items():
            _check_type(key, str, f'{where}.{kind}')
            _check_type(heading, str, f'{where}.{kind}.{key}')
    headings = {kind: list(columns.values()) for kind, columns in content.items()}
    if any(h != headings[kinds[0]] or not h for h in headings.values()):
        raise ValueError(f'{where}: {" and ".join(kinds)} must have the same headings, in one order, got {headings}')
    return content


def _row(content: Any, number: int, metrics: Mapping[str, dict[str, str]], where: str, root: Path) -> Row:
    _check_type(content, dict, f'{where}: row {number}')
    named = f' ({content["name"]})' if isinstance(content.get('name'), str) else ''
    where = f'{where}: row {number}{named}'
    _check_keys(content, [k for k in ROW_KEYS if k not in DATA_KINDS or k in metrics], ('name',), where)
    _check_type(content['name'], str, f'{where}: name')
    _check_type(content.get('backbone', ''), str, f'{where}: backbone')
    for key in ('negatives', 'paper_only'):
        _check_type(content.get(key, False), bool, f'{where}: {key}')
    paper = content.get('paper', {})
    _check_keys(paper, list(next(iter(metrics.values())).values()), (), f'{where}: paper')
    for heading, value in paper.items():
        _check_type(value, (int, float), f'{where}: paper.{heading}')
    entries = {k: _entry(content[k], f'{where}: {k}', root) for k in metrics if k in content}
    paper_only = content.get('paper_only', False)
    if paper_only == bool(entries):
        raise ValueError(
            f'{where}: a row either has paper_only: true or is run on {" or ".join(metrics)}, got '
            f'paper_only={paper_only} and {sorted(entries) or "neither"}'
        )
    return Row(
        content['name'], content.get('backbone', ''), paper, entries, content.get('negatives', False), paper_only
    )


def _entry(content: Any, where: str, root: Path) -> Entry:
    _check_keys(content, ENTRY_KEYS, ('config',), where)
    test = content.get('test', {})
    _check_keys(test, TEST_KEYS, (), f'{where}.test')
    _check_type(test.get('tta', False), bool, f'{where}.test.tta')
    train = content.get('train', SMOKE_ONLY)
    if train != SMOKE_ONLY:
        raise ValueError(f'{where}.train can only be {SMOKE_ONLY!r}, got {train!r}')
    return Entry(
        config=_config(content['config'], f'{where}.config', root),
        options=_options(content.get('options', {}), f'{where}.options'),
        test_config=_config(test.get('config', content['config']), f'{where}.test.config', root),
        test_options=_options(test.get('options', {}), f'{where}.test.options'),
        tta=test.get('tta', False),
        smoke_only='train' in content,
        weights=_weights(test.get('weights', {}), f'{where}.test.weights', root),
    )


def _weights(value: Any, where: str, root: Path) -> dict[str, str]:
    return {key: _config(config, f'{where}.{key}', root) for key, config in _options(value, where).items()}


def _config(value: Any, where: str, root: Path) -> str:
    _check_type(value, str, where)
    if not (root / value).is_file():
        # mim would look for a file of that name inside mmdet.
        raise ValueError(f'{where}: no such config file: {value!r} (paths are relative to {root})')
    return value


def _options(value: Any, where: str) -> dict[str, Any]:
    _check_type(value, dict, where)
    for key, option in value.items():
        _check_type(key, str, where)
        if isinstance(option, dict):
            raise ValueError(f'{where}.{key}: --cfg-options has no dicts; give the path of each value, got {option!r}')
    return value


def _check_keys(content: Any, known: Sequence[str], needed: Sequence[str], where: str) -> None:
    _check_type(content, dict, where)
    for key in content:
        if key not in known:
            raise ValueError(f'{where}: unknown key {key!r}; there are {", ".join(known)}')
    for key in needed:
        if key not in content:
            raise ValueError(f'{where}: the key {key!r} is missing')


def _check_type(value: Any, kind: type | tuple[type, ...], where: str) -> None:
    wrong_bool = isinstance(value, bool) and kind is not bool
    if not isinstance(value, kind) or wrong_bool:
        kinds = kind if isinstance(kind, tuple) else (kind,)
        raise ValueError(f'{where}: must be {" or ".join(k.__name__ for k in kinds)}, got {value!r}')
