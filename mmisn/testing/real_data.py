"""Where tests find optional real data; nothing depends on it."""

import os
from pathlib import Path


def real_data_root() -> Path | None:
    """Folder with ``coco_mini`` and ``weights``: ``$MMISN_DATA``, else ``../shared/data`` beside the checkout.

    Returns:
        The folder, or ``None`` where there is none; tests on real data then skip.
    """
    named = os.environ.get('MMISN_DATA')
    root = Path(named) if named else Path(__file__).resolve().parents[3] / 'shared' / 'data'
    return root if (root / 'coco_mini').is_dir() else None
