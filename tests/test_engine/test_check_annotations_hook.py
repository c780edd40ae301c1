"""Bad annotations where whole images are trained on: one error or a count, before the first step."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from mmdet.registry import DATASETS
from mmengine.config import Config

from mmisn.datasets.annotation_check import NO_POLYGON, SHORT_POLYGON
from mmisn.engine import CheckAnnotationsHook, check_annotations_hook
from mmisn.experiments.keys import key_of_training

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
TRIANGLE = [10, 10, 50, 10, 50, 50]
BOX = [10, 10, 40, 40]
WITH_MASKS = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True, with_mask=True)]
WITHOUT = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True)]


@pytest.fixture
def check(coco_folder, inner_cfg, monkeypatch):
    """Function (extras of each object, pipeline, wrapper) -> what the hook logs."""

    def make(*ships, pipeline=WITH_MASKS, wrap=lambda cfg: cfg):
        folder = coco_folder([(100, 80)], [(0, 0, BOX, {'segmentation': [TRIANGLE], **s}) for s in ships])
        dataset = DATASETS.build(wrap(inner_cfg(folder, pipeline=pipeline)))
        lines = []
        monkeypatch.setattr(check_annotations_hook, 'print_log', lambda text, *args, **kwargs: lines.append(text))
        loader = SimpleNamespace(dataset=dataset)
        CheckAnnotationsHook().before_train(SimpleNamespace(train_dataloader=loader))
        return lines

    return make


def repeated(cfg):
    return dict(type='RepeatDataset', times=2, dataset=cfg)


def joined(cfg):
    return dict(type='ConcatDataset', datasets=[cfg, repeated(cfg)])


@pytest.mark.parametrize(('wrap', 'times'), [(lambda cfg: cfg, 1), (repeated, 1), (joined, 2)])
def test_what_is_left_out_is_counted(check, wrap, times):
    ships = {}, dict(segmentation=[TRIANGLE, TRIANGLE[:4]]), dict(segmentation=[TRIANGLE[:4]]), dict(ignore=1)
    lines = check(*ships, wrap=wrap)
    assert len(lines) == 3 * times and all('annotations.json: 1 ' in line for line in lines)
    for what in (SHORT_POLYGON, NO_POLYGON, 'left out: marked "ignore"'):
        assert sum(what in line for line in lines) == times


@pytest.mark.parametrize(
    ('ship', 'match'),
    [
        (
            dict(segmentation=dict(size=[100, 80], counts=[0, 8000])),
            r'run-length mask of size \[100, 80\], its image is',
        ),
        (dict(segmentation=[[10, 10, 50, 10, 50, float('nan')]]), 'mask polygon .* must be finite'),
        (dict(segmentation=[]), r'no mask, and LoadAnnotations\(with_mask=True\) stops there'),
        (dict(bbox=[10, 10, float('nan'), 40]), 'the box .* must be finite'),
    ],
)
@pytest.mark.parametrize('wrap', [lambda cfg: cfg, joined])
def test_errors_name_file_and_annotation(check, wrap, ship, match):
    with pytest.raises(ValueError, match=f'annotations.json: annotation 2 has .*{match}'):
        check({}, ship, wrap=wrap)


def test_boxes_alone_need_no_masks(check):
    assert check({}, dict(segmentation=[]), pipeline=WITHOUT) == []


def test_a_chip_dataset_and_other_data_are_left_alone(check):
    generator = dict(type='CoverChips', factors=(1.0,), scale_range=(1, 500), chip_size=128)
    chips = [*WITH_MASKS, *(dict(type=t) for t in ('FilterByScale', 'CropChip', 'PackInstanceInputs'))]
    broken = dict(segmentation=dict(size=[9, 9], counts=[81]))

    def chips_of(cfg):
        return repeated(dict(type='ChipDataset', dataset=cfg, generator=generator, pipeline=chips, cache_dir=''))

    # It says so itself, when it plans.
    with pytest.raises(ValueError, match='run-length mask'):
        check({}, broken, wrap=chips_of)
    loader = SimpleNamespace(dataset=[1, 2])
    CheckAnnotationsHook().before_train(SimpleNamespace(train_dataloader=loader))


@pytest.mark.parametrize('name', ['mask-rcnn_r18-small_fpn_1xb4-ms_scenes', 'faster-rcnn_r50_fpn_8xb4-ms-18e_coco'])
def test_baselines_have_it_and_their_results_keep_their_keys(name, monkeypatch):
    monkeypatch.setattr('mmisn.experiments.keys.file_digest', lambda path: path)
    cfg = Config.fromfile(CONFIGS / 'baselines' / f'{name}.py')
    assert cfg.default_hooks.check_annotations == dict(type='CheckAnnotationsHook')
    key = key_of_training(cfg)
    del cfg.default_hooks['check_annotations']
    assert key_of_training(cfg) == key
    assert cfg.default_hooks.checkpoint.type == 'CheckpointHook'
