"""The config files under test, what their names say, and how to build them without weights."""

import copy
import re
from functools import cache
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config, ConfigDict
from mmengine.dataset import Compose

CONFIGS = Path(__file__).parents[2] / 'configs'
ALL_FILES = sorted(
    p.relative_to(CONFIGS).as_posix()
    for kind in ('isn', 'baselines', 'keypoint')
    for p in (CONFIGS / kind).glob('*.py')
)
# Those on a few real images of COCO have settings of their own and a test of their own.
COCO_MINI = [f for f in ALL_FILES if 'coco-mini' in f]
# SSDLite is MMDetection's own and has a test of its own, too.
SSDLITE = [f for f in ALL_FILES if 'ssdlite' in f]
FILES = [f for f in ALL_FILES if f not in COCO_MINI + SSDLITE]
FACTORS = (4.0, 2.0, 1.0, 0.5, 0.25)
NAME = re.compile(
    r'((?P<rule>isn|snip|sniper)-)?(?P<method>faster-rcnn|mask-rcnn|(offset-)?keypoint-rcnn|retinanet)_'
    r'(?P<backbone>(r18|r50|r101|mobilenetv2)(-small)?)_'
    r'(?P<neck>fpn|dc5)(?P<dcn>-dcn)?_(?P<gpus>\d)xb(?P<batch>\d)(-ms(?P<ms>|\d+-\d+))?(-(?P<epochs>\d+)e)?_'
    r'(?P<data>coco|scenes)(?P<person>-person)?(?P<chip_detector>_chip-detector)?'
)


def tokens(file):
    match = NAME.fullmatch(Path(file).stem)
    assert match, f'{file} does not follow the naming scheme'
    return match.groupdict()


def files_of(**wanted):
    """The configs whose file names have these tokens (True: any, False: none, a tuple: one of them)."""

    def fits(found, value):
        if isinstance(value, bool):
            return (found is not None) == value
        return found in value if isinstance(value, tuple) else found == value

    return [f for f in FILES if all(fits(tokens(f)[k], v) for k, v in wanted.items())]


def of(**wanted):
    """Parametrize over the configs of these tokens; see ``files_of``."""
    files = files_of(**wanted)
    assert files
    return pytest.mark.parametrize('file', files)


def without_init(cfg):
    """Set every ``init_cfg`` to ``None``: no weights are downloaded."""
    if isinstance(cfg, dict):
        return type(cfg)({k: None if k == 'init_cfg' else without_init(v) for k, v in cfg.items()})
    return type(cfg)(without_init(v) for v in cfg) if isinstance(cfg, (list, tuple)) else cfg


@cache
def _load(file):
    cfg = Config.fromfile(CONFIGS / file)
    cfg.starts_from_weights = 'Pretrained' in str(cfg.model)
    cfg.model = without_init(cfg.model)
    return cfg


def load(file):
    return copy.deepcopy(_load(file))


@cache
def build(file):
    """The model without memory for its weights."""
    with torch.device('meta'):
        return MODELS.build(load(file).model)


def detector_of(model):
    return getattr(model, 'detector', model)


def views(cfg):
    """The alternatives of a TTA pipeline: its first group of transforms; the other groups must have one each."""
    (tta,) = (step for step in cfg.tta_pipeline if step.type == 'TestTimeAug')
    assert all(len(group) == 1 for group in tta.transforms[1:])
    Compose(cfg.tta_pipeline)
    return tta.transforms[0]


def build_tta(cfg):
    # As mmdet's tools/test.py does it.
    with torch.device('meta'):
        return MODELS.build(ConfigDict(**cfg.tta_model, module=cfg.model))
