"""What ``tools/benchmark.py`` measures, one module per section of its table."""

from .coco_like import CocoFolder, coco_like_objects, find_coco_folder, write_coco_like
from .report import Row, Target, report_csv, report_markdown
from .timing import interleaved

__all__ = [
    'CocoFolder',
    'Row',
    'Target',
    'coco_like_objects',
    'find_coco_folder',
    'interleaved',
    'report_markdown',
    'write_coco_like',
    'report_csv',
]
