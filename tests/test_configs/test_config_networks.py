"""Every config loads, builds and says what its file name and the paper (ISN section 4.1) say."""

import re

import pytest
from config_files import FILES, build, detector_of, load, of, tokens
from mmcv.ops import DeformConv2d, ModulatedDeformConv2d


@pytest.mark.parametrize('file', FILES)
def test_name_says_the_network(file):
    name, model = tokens(file), detector_of(build(file))
    cfg = load(file).model
    cfg = cfg.get('detector', cfg)
    assert cfg.type == {'faster-rcnn': 'FasterRCNN', 'retinanet': 'RetinaNet'}[name['method']]
    if name['backbone'] == 'mobilenetv2':
        assert cfg.backbone.type == ('DeformMobileNetV2' if name['dcn'] else 'MobileNetV2')
    else:
        assert cfg.backbone.type == 'ResNet'
        assert cfg.backbone.depth == int(re.match(r'r(\d+)', name['backbone'])[1])
    # Stage 1 is frozen where weights are pretrained, and only there.
    assert model.backbone.frozen_stages == {'r18-small': -1, 'mobilenetv2': 0}.get(name['backbone'], 1)
    if name['neck'] == 'fpn':
        assert cfg.neck.type == 'FPN' and cfg.neck.num_outs == 5
    else:
        assert cfg.neck is None
        # The dilated conv5: one map of stride 16.
        assert tuple(cfg.backbone.out_indices) == (3,) and tuple(cfg.backbone.strides) == (1, 2, 2, 1)
        assert tuple(cfg.backbone.dilations) == (1, 1, 1, 2)
        assert model.rpn_head.prior_generator.strides == [(16, 16)]
        assert cfg.roi_head.bbox_roi_extractor.featmap_strides == [16]


@of(method='faster-rcnn')
def test_box_head_widths(file):
    widths = {'r18': [512, 256], 'mobilenetv2': [512, 256], 'r18-small': [128, 64]}
    head = detector_of(build(file)).roi_head.bbox_head
    assert [fc.out_features for fc in head.shared_fcs] == widths.get(tokens(file)['backbone'], [1024, 1024])
    assert head.num_classes == (7 if tokens(file)['data'] == 'scenes' else 80)


@pytest.mark.parametrize('file', FILES)
def test_deformable_convolutions(file):
    """Version 1, on every 3x3 convolution of c3 to c5 and nowhere else."""
    name, model = tokens(file), detector_of(build(file))
    deformable = {n for n, m in model.named_modules() if isinstance(m, DeformConv2d)}
    assert not any(isinstance(m, ModulatedDeformConv2d) for m in model.modules())
    if not name['dcn']:
        assert deformable == set()
        return
    if name['backbone'] == 'mobilenetv2':
        # Layers 3 (c3), 4 and 5 (c4), 6 and 7 (c5).
        blocks = {3: 3, 4: 4, 5: 3, 6: 3, 7: 1}
        conv = 'backbone.layer{}.{}.depthwise_conv.conv'
    else:
        blocks = {2: 4, 3: {'r50': 6, 'r101': 23}[name['backbone']], 4: 3}
        conv = 'backbone.layer{}.{}.conv2'
    assert deformable == {conv.format(layer, i) for layer, number in blocks.items() for i in range(number)}


@pytest.mark.parametrize('file', FILES)
def test_name_says_the_batch_and_the_epochs(file):
    name, cfg = tokens(file), load(file)
    assert cfg.train_dataloader.batch_size == int(name['batch'])
    assert cfg.auto_scale_lr == dict(enable=False, base_batch_size=int(name['gpus']) * int(name['batch']))
    if name['epochs']:
        assert cfg.train_cfg.max_epochs == int(name['epochs'])
    dataset = cfg.train_dataloader.dataset
    dataset = dataset.get('dataset', dataset)
    assert dataset.type == 'CocoDataset'
    assert ('coco' in dataset.data_root) == (name['data'] == 'coco')
    assert 'train' in dataset.ann_file and 'val' in cfg.val_dataloader.dataset.ann_file


def test_every_network_has_its_two_baselines():
    def networks(**wanted):
        files = [tokens(f) for f in FILES]
        keys = ('backbone', 'neck', 'dcn', 'data')
        return {tuple(f[k] for k in keys) for f in files if all(bool(f[k]) == v for k, v in wanted.items())}

    isn = networks(isn=True, chip_detector=False)
    assert len(isn) == 10
    assert isn == networks(isn=False, ms=False) == networks(isn=False, ms=True)
