"""``browse_chips`` on a hand-made image: exact counts, a picture per image, clear errors."""

import importlib.util
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config

from mmisn.datasets.proposals import pack_proposals, save_proposals
from mmisn.structures import ScaleRange

TOOL = Path(__file__).resolve().parents[2] / 'tools' / 'browse_chips.py'

# One level of factor 1 and one of factor 0.5, range [16, 60] px as seen, chips of 100 px: in images of 200x160 px the
# first level needs chips of 100x100 px, the second shows the image whole.
BOXES = [
    [10, 10, 20, 20],  # x1 trained, x0.5 out of range (10 px)
    [150, 110, 40, 40],  # x1 trained, in a second chip; x0.5 trained
    [5, 70, 150, 12],  # 42 px: in range at x1, but longer than a chip; 21 px at x0.5, trained
    [60, 40, 8, 8],  # out of range at both
    [20, 20, 150, 120],  # 134 px at x1, 67 px at x0.5: out of range at both
]
CROWD = [100, 20, 60, 60]


@pytest.fixture(scope='module')
def tool():
    spec = importlib.util.spec_from_file_location('browse_chips', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _annotation(i, image, box, crowd=0):
    area = box[2] * box[3]
    return dict(id=i, image_id=image, category_id=1, bbox=box, area=area, iscrowd=crowd, segmentation=[])


@pytest.fixture
def cfg(tmp_path):
    annotations = [_annotation(1 + i, 3, box) for i, box in enumerate(BOXES)]
    annotations += [_annotation(20, 3, CROWD, 1), _annotation(21, 4, [10, 10, 30, 30])]
    images = [dict(id=i, file_name=f'{n}.png', width=200, height=160) for i, n in ((3, 'made'), (4, 'other'))]
    for image in images:
        pixels = np.random.default_rng(0).integers(0, 255, (160, 200, 3), np.uint8)
        cv2.imwrite(str(tmp_path / image['file_name']), pixels)
    content = dict(images=images, annotations=annotations, categories=[dict(id=1, name='thing')])
    (tmp_path / 'a.json').write_text(json.dumps(content))
    inner = dict(
        type='CocoDataset',
        data_root=str(tmp_path),
        ann_file='a.json',
        data_prefix=dict(img=''),
        metainfo=dict(classes=('thing',)),
        pipeline=[],
    )
    outer = dict(
        type='ChipDataset',
        dataset=inner,
        generator=dict(type='CoverChips', factors=[1.0, 0.5], scale_range=(16, 60), chip_size=100, stride=(20, 24)),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations', with_bbox=True),
            dict(type='FilterByScale'),
            dict(type='CropChip'),
            dict(type='PackInstanceInputs'),
        ],
        cache_dir='',
    )
    return Config(dict(default_scope='mmdet', train_dataloader=dict(dataset=outer)))


def test_counts_and_pictures(tool, cfg, tmp_path):
    out = tmp_path / 'out'
    header, rows = tool.browse_chips(cfg, out, ['made.png'])
    assert header == ['level', 'chips', 'trained', 'out of range', 'not enclosed', 'crowd']
    # At x1 no 100 px chip holds both small boxes; how much of the others they show depends on the draw.
    assert rows[0][:3] == ['x1', 2, 2] and rows[0][4] >= 1
    assert rows[1] == ['x0.5', 1, 2, 3, 0, 1]
    # The long box is trained at x0.5; of the two out of range at both levels none is.
    assert rows[2] == ['objects, by best chip', 3, 3, 2, 0, 1]
    assert (out / 'counts.csv').read_text().splitlines() == [
        ','.join(header),
        *(','.join(map(str, row)).replace('objects, by best chip', '"objects, by best chip"') for row in rows),
    ]
    assert sorted(p.name for p in out.glob('*.png')) == ['made.png']
    picture = cv2.imread(str(out / 'made.png'))
    assert picture.shape[1] == 1600
    green = (picture[..., ::-1] == (0x1F, 0xD6, 0x55)).all(axis=-1).sum()
    orange = (picture[..., ::-1] == (0xFF, 0x9F, 0x0A)).all(axis=-1).sum()
    assert green > 500 and orange > 50


def test_states_are_those_of_training(tool, cfg):
    dataset = tool.DATASETS.build(tool.chip_dataset_cfg(cfg))
    for epoch in range(3):
        image = tool.chips_of_image(dataset, 0, seed=5, epoch=epoch)
        for view in image.views:
            sample = dataset[tool.ChipIndex(view.number, epoch, 5)]['data_samples']
            assert sample.metainfo['chip'] == view.chip
            trained = np.sort(image.boxes_xyxy[view.states == 'trained'], axis=0)
            mapped = view.chip.boxes_to_image(sample.gt_instances.bboxes.numpy().astype(np.float64))
            np.testing.assert_allclose(np.sort(mapped, axis=0), trained, atol=1e-3)
            ignored = np.isin(view.states, ('out of range', 'not enclosed', 'crowd')).sum()
            assert len(sample.ignored_instances) == ignored


def test_without_filter_everything_whole_is_trained(tool, cfg, tmp_path):
    pipeline = cfg.train_dataloader.dataset.pipeline
    cfg.train_dataloader.dataset.pipeline = [t for t in pipeline if t['type'] != 'FilterByScale']
    _, rows = tool.browse_chips(cfg, tmp_path / 'out', ['made'])
    assert rows[1] == ['x0.5', 1, 5, 0, 0, 1]
    assert rows[2] == ['objects, by best chip', 3, 5, 0, 0, 1]


def test_negative_chips(tool, cfg, tmp_path):
    """Those of the pass are drawn and counted, not the whole pool."""
    corners = [np.arange(20, 110, 11), np.arange(110, 10, -11)]
    boxes = np.array([[x, y, x + 20, y + 20] for x in corners[0] for y in corners[1]], float)
    none = np.zeros((0, 4)), np.zeros(0)
    records = [(str(i), (200, 160), [(boxes, np.ones(len(boxes))), none]) for i in (3, 4)]
    save_proposals(pack_proposals(records, (1.0, 0.5), (ScaleRange(16, 60),) * 2), tmp_path / 'p.npz')
    options = dict(proposals=str(tmp_path / 'p.npz'), per_image=1, min_proposals=2)
    cfg.train_dataloader.dataset.negatives = options
    header, rows = tool.browse_chips(cfg, tmp_path / 'out', ['made'])
    assert header[:3] == ['level', 'chips', 'negative']
    assert [row[:3] for row in rows] == [['x1', 3, 1], ['x0.5', 1, 0], ['objects, by best chip', 4, 1]]
    dataset = tool.DATASETS.build(tool.chip_dataset_cfg(cfg))
    assert (dataset.plan.negative & (dataset.plan.image == 0)).sum() > 1
    shown = [v.number for e in range(8) for v in tool.chips_of_image(dataset, 0, 5, e).views if v.negative]
    assert len(shown) == 8 and len(set(shown)) > 1 and dataset.plan.negative[shown].all()


def test_wrapped_dataset_and_spread_images(tool, cfg, tmp_path):
    cfg.train_dataloader.dataset = dict(type='RepeatDataset', times=2, dataset=cfg.train_dataloader.dataset)
    tool.browse_chips(cfg, tmp_path / 'out', number=5)
    assert sorted(p.name for p in (tmp_path / 'out').glob('*.png')) == ['made.png', 'other.png']


def test_errors(tool, cfg, tmp_path):
    with pytest.raises(ValueError, match=r"\['none'\] not among the 2 images of the dataset \(such as made.png\)"):
        tool.browse_chips(cfg, tmp_path, ['none', 'made'])
    plain = Config(dict(train_dataloader=dict(dataset=dict(type='CocoDataset'))))
    with pytest.raises(ValueError, match='trains on CocoDataset, which has no chips'):
        tool.browse_chips(plain, tmp_path)
    with pytest.raises(ValueError, match='no train_dataloader'):
        tool.browse_chips(Config(dict(model=dict())), tmp_path)


def test_command_line(tool, cfg, tmp_path, capsys):
    cfg.dump(tmp_path / 'config.py')
    tool.main([str(tmp_path / 'config.py'), '--out', str(tmp_path / 'out'), '--image', 'made', '--panels', '1'])
    printed = capsys.readouterr().out
    assert '| x0.5                  |     1 |       2 |            3 |            0 |     1 |' in printed
    for wrong in (['--nonsense'], ['--images', '0'], ['--image', 'a', '--images', '2']):
        with pytest.raises(SystemExit) as error:
            tool.main([str(tmp_path / 'config.py'), '--out', 'o', *wrong])
        assert error.value.code == 2
    with pytest.raises(SystemExit) as error:
        tool.main(['--help'])
    assert error.value.code == 0
