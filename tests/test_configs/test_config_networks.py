"""Every config loads, builds and says what its file name and the paper (ISN section 4.1) say."""

import pytest
import torch
from config_files import CONFIGS, FILES, build, detector_of, files_of, load, of, tokens
from mmcv.ops import DeformConv2d, ModulatedDeformConv2d
from mmdet.models.backbones import MobileNetV2, ResNet
from mmengine.config import Config


def depth_of(name):
    """18, 50 or 101 for a ResNet, ``None`` for MobileNetV2; and whether it is of the small profile."""
    kind, small = name['backbone'].removesuffix('-small'), name['backbone'].endswith('-small')
    return (int(kind[1:]) if kind.startswith('r') else None), small


@pytest.mark.parametrize('file', FILES)
def test_name_says_the_network(file):
    name, model = tokens(file), detector_of(build(file))
    cfg = load(file).model
    cfg = cfg.get('detector', cfg)
    assert cfg.type == {'retinanet': 'RetinaNet', 'mask-rcnn': 'MaskRCNN'}.get(name['method'], 'FasterRCNN')
    depth, small = depth_of(name)
    assert small == (name['data'] == 'scenes')
    if depth is None:
        assert isinstance(model.backbone, MobileNetV2)
    else:
        assert type(model.backbone) is ResNet and model.backbone.depth == depth
    # Stage 1 is frozen where weights are pretrained, and only there.
    assert model.backbone.frozen_stages == (-1 if small else 0 if depth is None else 1)
    # So are the statistics of batch norm.
    assert model.backbone.norm_eval == load(file).starts_from_weights == (not small)
    if name['neck'] == 'fpn':
        assert cfg.neck.type == 'FPN' and cfg.neck.num_outs == 5
    else:
        assert cfg.neck is None
        assert model.rpn_head.prior_generator.strides == [(16, 16)]
        assert cfg.roi_head.bbox_roi_extractor.featmap_strides == [16]


@pytest.mark.parametrize('file', files_of(dcn=False, chip_detector=False))
def test_maps_of_the_network_have_the_strides_of_its_anchors(file):
    """Computed without values: 192x320 px leave 12x20 at stride 16 (DC5), 48x80 to 3x5 at strides 4 to 64 (FPN)."""
    model = build(file)
    maps = model.extract_feat(torch.empty(1, 3, 192, 320, device='meta'))
    head = getattr(model, 'rpn_head', model.bbox_head if tokens(file)['method'] == 'retinanet' else None)
    first = 8 if tokens(file)['method'] == 'retinanet' else 4
    strides = [16] if tokens(file)['neck'] == 'dc5' else [first * 2**i for i in range(5)]
    assert [m.shape[-2:] for m in maps] == [(-(-192 // s), -(-320 // s)) for s in strides]
    assert head.prior_generator.strides == [(s, s) for s in strides]
    assert {m.shape[1] for m in maps} == {head.in_channels}


@of(neck='dc5', chip_detector=False)
def test_anchors_without_fpn_are_those_of_an_fpn(file):
    """Five sizes with ratio 1: 32 to 512 px, times 0.4 in the small profile."""
    (anchors,) = build(file).rpn_head.prior_generator.base_anchors
    sides = (anchors[:, 2:] - anchors[:, :2]).prod(dim=1).sqrt()
    factor = 0.4 if tokens(file)['data'] == 'scenes' else 1
    expected = [factor * side for side in (32, 64, 128, 256, 512) for _ in range(3)]
    assert sorted(sides.tolist()) == pytest.approx(expected)


@of(method=('faster-rcnn', 'mask-rcnn', 'keypoint-rcnn', 'offset-keypoint-rcnn'))
def test_box_head_widths(file):
    widths = {
        'r18': [512, 256],
        'mobilenetv2': [512, 256],
        'r18-small': [128, 64],
        'mobilenetv2-small': [128, 64],
        'r50-small': [256, 256],
        'r101-small': [256, 256],
    }
    head = detector_of(build(file)).roi_head.bbox_head
    assert [fc.out_features for fc in head.shared_fcs] == widths.get(tokens(file)['backbone'], [1024, 1024])
    several = 7 if tokens(file)['data'] == 'scenes' else 80
    assert head.num_classes == (1 if tokens(file)['person'] else several)


@of(data='scenes')
def test_small_networks_have_a_part_of_the_width(file):
    """A quarter of ResNet's 64 and 512 or 2048 channels; 0.35 of MobileNetV2's 320."""
    backbone = detector_of(build(file)).backbone
    depth, _ = depth_of(tokens(file))
    if depth is None:
        assert backbone.layer7[-1].linear_conv.out_channels == 0.35 * 320
    else:
        assert backbone.conv1.out_channels == 64 / 4
        assert backbone.feat_dim == (512 if depth == 18 else 2048) / 4


@of(data='scenes', rule=('isn', 'sniper', 'snip'))
def test_statistics_of_batches_of_one_level_are_slow(file):
    assert load(file).model.get('detector', load(file).model).backbone.norm_cfg.momentum == 0.01


@pytest.mark.parametrize('file', FILES)
def test_deformable_convolutions(file):
    """Version 1, on every 3x3 convolution of c3 to c5 and nowhere else."""
    name, model = tokens(file), detector_of(build(file))
    deformable = {n for n, m in model.named_modules() if isinstance(m, DeformConv2d)}
    assert not any(isinstance(m, ModulatedDeformConv2d) for m in model.modules())
    if not name['dcn']:
        assert deformable == set()
        return
    depth, _ = depth_of(name)
    if depth is None:
        # Layers 3 (c3), 4 and 5 (c4), 6 and 7 (c5).
        blocks = {3: 3, 4: 4, 5: 3, 6: 3, 7: 1}
        conv = 'backbone.layer{}.{}.depthwise_conv.conv'
    else:
        blocks = {2: 4, 3: {50: 6, 101: 23}[depth], 4: 3}
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
    assert dataset.type == ('CocoKeypointDataset' if name['person'] else 'CocoDataset')
    assert ('coco' in dataset.data_root) == (name['data'] == 'coco')
    assert 'train' in dataset.ann_file and 'val' in cfg.val_dataloader.dataset.ann_file


def test_every_network_has_its_two_baselines():
    def networks(**wanted):
        boxes = ('faster-rcnn', 'retinanet')
        found = [tokens(f) for f in files_of(data='coco', method=boxes, chip_detector=False, **wanted)]
        return {(f['backbone'], f['neck'], f['dcn']) for f in found}

    assert len(networks(rule='isn')) == 9
    assert networks(rule='isn') == networks(rule=False, ms=False) == networks(rule=False, ms='')


def test_the_tables_networks_of_the_small_profile():
    def networks(**wanted):
        found = [tokens(f) for f in files_of(data='scenes', method='faster-rcnn', chip_detector=False, **wanted)]
        return {f['backbone'].removesuffix('-small') + '_' + f['neck'] + (f['dcn'] or '') for f in found}

    isn = {'r18_fpn', 'r18_dc5', 'mobilenetv2_fpn', 'mobilenetv2_fpn-dcn', 'r50_fpn', 'r50_fpn-dcn', 'r101_fpn-dcn'}
    multi_scale = isn - {'mobilenetv2_fpn-dcn', 'r101_fpn-dcn'}
    assert networks(rule='isn') == isn
    assert networks(rule=False, ms='') == multi_scale
    assert networks(rule=False, ms=False) == multi_scale | {'r50_dc5'}
    assert networks(rule='snip') == {'r18_dc5', 'r50_dc5-dcn'}
    assert networks(rule='sniper') == {'r18_dc5', 'r50_dc5-dcn', 'r101_dc5-dcn', 'mobilenetv2_dc5'}
    assert networks(ms='640-800') == networks(ms='160-1600') == {'r18_dc5'}


@pytest.mark.parametrize('data', ['coco', 'scenes'])
def test_the_networks_of_masks_and_keypoints(data):
    """Tables 8 and 9: three networks each with multi-scale training and ISN, and Mask R-CNN's keypoint head once."""

    def networks(**wanted):
        found = [tokens(f) for f in files_of(data=data, chip_detector=False, **wanted)]
        return sorted(f['backbone'].removesuffix('-small') + (f['dcn'] or '') for f in found)

    for method in ('mask-rcnn', 'offset-keypoint-rcnn'):
        assert networks(method=method, rule='isn') == networks(method=method, rule=False) == ['r18', 'r50', 'r50-dcn']
        assert networks(method=method, ms='') == networks(method=method, rule=False)
    assert networks(method='keypoint-rcnn') == networks(method='keypoint-rcnn', ms='') == ['r50']


@of(method='mask-rcnn', chip_detector=False)
def test_mask_heads(file):
    head, small = build(file).roi_head.mask_head, tokens(file)['data'] == 'scenes'
    assert len(head.convs) == 4 and head.conv_logits.out_channels == (7 if small else 80)
    assert head.convs[0].conv.out_channels == (48 if small else 256)
    extractor = build(file).roi_head.mask_roi_extractor
    assert extractor.finest_scale == (22 if small else 56) and extractor.roi_layers[0].output_size == (14, 14)


@of(method=('keypoint-rcnn', 'offset-keypoint-rcnn'), chip_detector=False)
def test_keypoint_heads(file):
    """Section 4.3.2: 22x16 features and eight convolutions of 256, against Mask R-CNN's 14x14 and 512."""
    roi_head, small = build(file).roi_head, tokens(file)['data'] == 'scenes'
    light = tokens(file)['method'] == 'offset-keypoint-rcnn'
    head, extractor = roi_head.keypoint_head, roi_head.keypoint_roi_extractor
    assert type(head).__name__ == ('OffsetKeypointHead' if light else 'KeypointRCNNHead')
    assert extractor.roi_layers[0].output_size == ((22, 16) if light else (14, 14))
    assert extractor.finest_scale == (22 if small else 56)
    assert len(head.convs) == 8 and head.num_keypoints == 17
    assert head.feature_channels == (256 if light else 512) / (8 if small else 1)


@pytest.mark.parametrize('file', [f for f in FILES if 'mobilenetv2_' in f])
def test_pretrained_mobilenet_has_the_names_of_mmdets(file):
    """torchvision calls its weights ``features.0.0.weight``, mmdet ``conv1.conv.weight``: nothing would be loaded."""
    init = Config.fromfile(CONFIGS / file).model.backbone.init_cfg
    assert init == dict(type='Pretrained', checkpoint='open-mmlab://mmdet/mobilenet_v2')
