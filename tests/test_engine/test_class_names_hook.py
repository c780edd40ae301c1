"""``ClassNamesHook``: as many classes by other names are no silent success."""

import json

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mmisn._class_names import class_names_of_checkpoint, other_class_names
from mmisn.testing.detectors import build_tiny_detector, tiny_retinanet_cfg

CLASSES = ('ship', 'car', 'bird')


@pytest.mark.parametrize(
    ('meta', 'expected'),
    [
        (dict(dataset_meta=dict(classes=CLASSES)), CLASSES),
        (dict(dataset_meta=dict(CLASSES=list(CLASSES))), CLASSES),
        (dict(CLASSES=CLASSES), CLASSES),
        (dict(dataset_meta=dict(classes='person')), ('person',)),
        (dict(dataset_meta=None), None),
        ({}, None),
    ],
)
def test_names_of_a_checkpoint(meta, expected):
    assert class_names_of_checkpoint(dict(meta=meta)) == expected
    assert class_names_of_checkpoint({}) is None


def test_what_differs():
    assert other_class_names(CLASSES, list(CLASSES)) is None
    # Another number does not fit the weights; no names tell nothing.
    assert other_class_names(CLASSES, ('a', 'b')) is None and other_class_names(None, CLASSES) is None
    swapped = ('car', 'ship', 'bird')
    assert other_class_names(CLASSES, swapped) == (
        "the checkpoint has the classes of the data in another order: ['ship', 'car', 'bird'] against "
        "['car', 'ship', 'bird']"
    )
    assert 'by other names' in other_class_names(CLASSES, ('ship', 'car', 'plane'))


def runner_of(folder, classes, hook, checkpoint, work_dir):
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape')),
    ]
    dataset = dict(
        type='CocoDataset',
        data_root=str(folder),
        ann_file='annotations.json',
        data_prefix=dict(img='images/'),
        metainfo=dict(classes=classes),
        test_mode=True,
        pipeline=pipeline,
    )
    generator = dict(type='PyramidChips', factors=[1.0])
    cfg = dict(
        default_scope='mmdet',
        work_dir=str(work_dir),
        model=dict(type='ChipDetector', detector=tiny_retinanet_cfg(), generator=generator),
        test_dataloader=dict(
            batch_size=1, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False), dataset=dataset
        ),
        test_evaluator=dict(type='ScaleRangeCocoMetric', ann_file=str(folder / 'annotations.json'), metric='bbox'),
        test_cfg=dict(type='TestLoop'),
        custom_hooks=[dict(type=hook)],
        load_from=str(checkpoint),
        log_level='ERROR',
    )
    return Runner.from_cfg(Config(cfg))


@pytest.fixture
def checkpoint(tmp_path):
    content = dict(
        state_dict=build_tiny_detector(tiny_retinanet_cfg()).state_dict(),
        meta=dict(dataset_meta=dict(classes=CLASSES)),
    )
    torch.save(content, tmp_path / 'tiny.pth')
    return tmp_path / 'tiny.pth'


@pytest.mark.parametrize('hook', ['ClassNamesHook', 'ViewCostHook'])
def test_a_test_by_other_names_stops(coco_folder, checkpoint, tmp_path, hook):
    folder = coco_folder([(64, 48)], [(0, 0, [5, 5, 30, 30], {})])
    metrics = runner_of(folder, CLASSES, hook, checkpoint, tmp_path / 'same').test()
    assert any(key.startswith('coco/') for key in metrics)
    annotations = json.loads((folder / 'annotations.json').read_text())
    annotations['categories'][2]['name'] = 'plane'
    (folder / 'annotations.json').write_text(json.dumps(annotations))
    for names, kind in ((('car', 'ship', 'plane'), 'by other names'), (('ship', 'car', 'plane'), 'by other names')):
        with pytest.raises(ValueError, match=rf"{kind}: \['ship', 'car', 'bird'\] against \['{names[0]}', "):
            runner_of(folder, names, hook, checkpoint, tmp_path / names[0]).test()


def test_a_training_from_a_checkpoint_of_other_classes_may_test(checkpoint):
    from mmisn.engine import ClassNamesHook

    class Data:
        metainfo = dict(classes=('a', 'b', 'c'))

    class Stand:
        class test_dataloader:  # noqa: N801
            dataset = Data()

    hook = ClassNamesHook()
    hook.after_load_checkpoint(Stand, torch.load(checkpoint, weights_only=True))
    with pytest.raises(ValueError, match='by other names'):
        hook.before_test(Stand)
    hook.before_train(Stand)
    hook.before_test(Stand)
    # A checkpoint without names.
    hook.after_load_checkpoint(Stand, dict(state_dict={}))
    hook.before_test(Stand)
