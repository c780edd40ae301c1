"""Training, resuming and testing through ``mim``."""

import json
from pathlib import Path

import numpy as np
import pytest
from mmdet.apis import DetInferencer
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

EPOCH_2 = 'epoch_2.pth'


def records(work_dir, rank=0):
    return [json.loads(line) for line in (work_dir / f'chips_{rank}.jsonl').read_text().splitlines()]


def of_epoch(found, epoch):
    return [r for r in found if r['epoch'] == epoch]


def chips_of(found):
    return [(*chip, pixels) for r in found for chip, pixels in zip(r['chips'], r['pixels'])]


def metrics_of(work_dir):
    """The metrics of the last test in a work folder, as MMEngine's logger keeps them."""
    (path,) = [p for p in work_dir.glob('*/*.json') if p.stem == p.parent.name]
    found = json.loads(path.read_text())
    return {k: v for k, v in found.items() if k.startswith('coco/')}


def detections_of(path):
    return json.loads(Path(path).read_text())


@pytest.fixture(scope='session')
def tested(project, trained):
    """Function (name, config, arguments) -> metrics and detections of a test of the trained weights."""
    done = {}

    def test(name, config, *args):
        if name not in done:
            work_dir = project.folder / f'test_{name}'
            prefix = project.folder / f'results_{name}'
            options = ['--cfg-options', f'test_evaluator.outfile_prefix={prefix}']
            checkpoint = ['--checkpoint', trained / EPOCH_2, '--work-dir', work_dir]
            project.run('test', 'mmdet', config, *checkpoint, *args, *options)
            done[name] = metrics_of(work_dir), f'{prefix}.bbox.json'
        return done[name]

    return test


@pytest.fixture(scope='session')
def pyramid(project, tested):
    return tested('tta', project.isn, '--tta')


def test_training_leaves_a_checkpoint_and_covers_the_epoch(trained):
    assert (trained / EPOCH_2).is_file()
    found = records(trained)
    first, second = (of_epoch(found, epoch) for epoch in (0, 1))
    assert len(first) == len(second) >= 3
    assert all(len(r['chips']) == 8 for r in found)
    # The second epoch has other chips.
    assert set(chips_of(first)) != set(chips_of(second))
    # The warm-up ends with the first epoch, at the lr of the config: base and real batch size are equal.
    assert [r['lr'] for r in first] == sorted({r['lr'] for r in first})
    assert {round(r['lr'], 9) for r in second} == {0.02}


def test_pycocotools_accepts_the_results(project, pyramid):
    metrics, results = pyramid
    coco = COCO(project.ann_file)
    detections = coco.loadRes(results)
    assert len(detections.anns) > 50
    evaluation = COCOeval(coco, detections, 'bbox')
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert metrics['coco/bbox_mAP'] == round(float(evaluation.stats[0]), 3)
    assert 'coco/bbox_mAP_6.4_224' in metrics
    image_wh = {i['id']: (i['width'], i['height']) for i in coco.dataset['images']}
    for found in detections.anns.values():
        x, y, w, h = found['bbox']
        width, height = image_wh[found['image_id']]
        assert min(x, y) >= 0 and x + w <= width + 1e-3 and y + h <= height + 1e-3


def test_chip_detector_equals_tta(project, tested, pyramid):
    metrics, results = tested('chip_detector', project.chip_detector)
    assert metrics == pyramid[0]
    assert detections_of(results) == detections_of(pyramid[1])


def test_det_inferencer_finds_what_the_test_finds(project, trained, pyramid, monkeypatch):
    monkeypatch.syspath_prepend(project.folder)
    inferencer = DetInferencer(
        model=str(project.chip_detector), weights=str(trained / EPOCH_2), device='cpu', show_progress=False
    )
    image = COCO(project.ann_file).dataset['images'][1]
    found = inferencer(str(project.scenes / 'val' / image['file_name']), no_save_vis=True)['predictions'][0]
    expected = [d for d in detections_of(pyramid[1]) if d['image_id'] == image['id']]
    assert len(expected) > 5
    np.testing.assert_allclose(found['scores'], [d['score'] for d in expected], rtol=1e-6)
    boxes = np.array([d['bbox'] for d in expected])
    boxes[:, 2:] += boxes[:, :2]
    np.testing.assert_allclose(found['bboxes'], boxes, rtol=1e-5, atol=1e-4)
    # The categories of the scenes are numbered from 1.
    assert found['labels'] == [d['category_id'] - 1 for d in expected]


def test_resume_after_a_kill(project, trained):
    """A training that is killed in its second epoch and resumed sees the chips that it would have seen."""
    work_dir = project.folder / 'killed'
    train = ('train', 'mmdet', project.isn, '--work-dir', work_dir)
    killed = project.mim(*train, KILL_AT='1,2')
    assert killed.returncode != 0
    before = records(work_dir)
    assert [r['batch'] for r in of_epoch(before, 1)] == [0, 1]
    assert not (work_dir / EPOCH_2).exists()

    project.run(*train, '--resume')
    resumed = records(work_dir)[len(before) :]
    assert (work_dir / EPOCH_2).is_file()
    uninterrupted = records(trained)
    assert before == uninterrupted[: len(before)]
    assert resumed == of_epoch(uninterrupted, 1)


def test_two_processes_share_the_chips(project, trained, two_processes):
    work_dir = project.folder / 'two_processes'
    project.run('train', 'mmdet', project.isn, '--work-dir', work_dir, *two_processes)
    alone = records(trained)
    ranks = [records(work_dir, rank) for rank in (0, 1)]
    for epoch in (0, 1):
        parts = [of_epoch(found, epoch) for found in ranks]
        assert len(parts[0]) == len(parts[1])
        shown = [chips_of(part) for part in parts]
        expected = set(chips_of(of_epoch(alone, epoch)))
        assert set(shown[0]) | set(shown[1]) == expected
        # One chip in two ranks, or twice in one, only where the last batch had to be filled up.
        padding = 16 * len(parts[0]) - len(expected)
        assert 0 <= padding < 16
        assert len(set(shown[0])) + len(set(shown[1])) - len(expected) <= padding
        # Both step together.
        assert [r['lr'] for r in parts[0]] == [r['lr'] for r in parts[1]]


def test_two_processes_test_alike(project, tested, pyramid, two_processes):
    metrics, results = tested('two_processes', project.isn, '--tta', *two_processes)
    assert metrics == pyramid[0]
    assert detections_of(results) == detections_of(pyramid[1])


@pytest.mark.parametrize(
    'change, message',
    [
        (['isn-faster-rcnn_r18-smal_fpn_1xb8_scenes.py'], 'can not find'),
        (['{isn}', '--cfg-options', 'train_dataloader.dataset.generator.chip_sise=232'], 'chip_sise'),
    ],
)
def test_mistakes_are_refused(project, change, message, tmp_path):
    args = [arg.format(isn=project.isn) for arg in change]
    done = project.mim('train', 'mmdet', args[0], '--work-dir', tmp_path, *args[1:])
    assert done.returncode != 0
    assert message in done.stderr + done.stdout
    assert not list(tmp_path.glob('*.pth'))
