"""Rows of a table and how they are run."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Source:
    """A training whose checkpoint another training, or a test, needs; on the same data and with the same seed.

    Attributes:
        config: Config file.
        share: Part of the budget of the scenes that it has.
    """

    config: str
    share: float = 1.0

    @property
    def spelled(self) -> str | dict[str, Any]:
        """As table files and results have it: the config alone where the share is the whole."""
        return self.config if self.share == 1 else asdict(self)


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
        weights: Trainings whose checkpoints the test needs besides that of its own, by the option that takes each.
        start: The training from whose checkpoint this one continues; ``None`` for what the config says.
        share: Part of the budget of the scenes that the training has.
        prefix: Of the metrics that the row shows, of those that the test reports: ``once_`` for ``once_28`` and so on.
            Rows that differ in nothing else are one trial.
    """

    config: str
    options: dict[str, Any]
    test_config: str
    test_options: dict[str, Any]
    tta: bool = False
    smoke_only: bool = False
    weights: Mapping[str, Source] = field(default_factory=dict)
    start: Source | None = None
    share: float = 1.0
    prefix: str = ''


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
        series: Rows of one series are joined by a line where the table is drawn as a curve; empty for none.
    """

    name: str
    backbone: str
    paper: dict[str, float]
    entries: dict[str, Entry]
    negatives: bool = False
    paper_only: bool = False
    series: str = ''

    @property
    def label(self) -> str:
        """What tells the row from all others of its table."""
        return f'{self.name}, {self.backbone}' if self.backbone else self.name
