"""A ScaleNet of the configs on a few real COCO images: its loss falls, its metric is the share of right pixels."""

from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.runner import Runner

from mmisn.testing import real_data_root

CONFIG = Path(__file__).parents[2] / 'configs' / 'scalenet' / 'scalenet_mobilenetv2_areas6_1xb8_coco-mini.py'
STEPS = 8


@pytest.mark.skipif(real_data_root() is None, reason='real data (MMISN_DATA) is not there')
def test_a_few_steps_on_real_masks(tmp_path, monkeypatch):
    monkeypatch.setenv('MMISN_DATA', str(real_data_root()))
    cfg = Config.fromfile(CONFIG)
    cfg.merge_from_dict(
        {
            'work_dir': str(tmp_path),
            'log_level': 'ERROR',
            # The same two images in every step, at a rate that shows in a few of them.
            'optim_wrapper.optimizer.lr': 4e-3,
            'train_dataloader': dict(batch_size=2, num_workers=0, persistent_workers=False, dataset=dict(indices=2)),
            'test_dataloader': dict(batch_size=2, num_workers=0, persistent_workers=False),
            'train_cfg.max_epochs': STEPS,
            'default_hooks.checkpoint.interval': STEPS,
            'randomness': dict(seed=0),
        }
    )
    cfg.param_scheduler = [dict(type='ConstantLR', factor=1.0)]
    # Those that it has been trained on.
    part = cfg.train_dataloader.dataset
    cfg.test_dataloader.dataset.update(ann_file=part.ann_file, indices=2)
    runner = Runner.from_cfg(cfg)
    model = runner.train()
    losses = runner.message_hub.get_scalar('train/loss').data[0]
    assert len(losses) == STEPS and np.isfinite(losses).all()
    assert np.mean(losses[-2:]) < 0.8 * np.mean(losses[:2])
    metrics = runner.test()

    right = known = 0
    model.eval()
    for item in runner.test_dataloader.dataset:
        # Masks as the network sees them, 256x256 px; the smallest object of a pixel counts.
        masks, crowds = (
            part.masks.to_ndarray().astype(bool)
            for part in (item['data_samples'].gt_instances, item['data_samples'].ignored_instances)
        )
        regions = [(m.sum(), 1 + sum(m.sum() >= 648 * n for n in (1, 8, 20, 28)), m) for m in masks]
        regions += [(m.sum(), 255, m) for m in crowds]
        truth = np.zeros((256, 256), int)
        for _, label, mask in sorted(regions, key=lambda r: -r[0]):
            truth[mask] = label
        (found,) = model.predict_maps([item['inputs'].permute(1, 2, 0).numpy()])
        assert found.shape == (6, 256, 256)
        right += ((found.argmax(axis=0) == truth) & (truth != 255)).sum()
        known += (truth != 255).sum()
    assert metrics['scale_map/accuracy'] == pytest.approx(right / known, abs=1e-3)
    assert metrics['scale_map/object_accuracy'] >= 0
