"""What the README tells people to write and run."""

import re
from pathlib import Path

from mmengine.config import Config

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / 'README.md').read_text()


def test_config_for_own_data(coco_folder, tmp_path):
    """The config of the README, its path and folder replaced, in at most 15 lines, plans chips of a user's data."""
    (text,) = re.findall(r'```python\n(_base_.*?)```', README, re.DOTALL)
    assert len([line for line in text.splitlines() if line.strip()]) <= 15
    folder = coco_folder([(100, 80)], [(0, 0, [10, 10, 30, 30], {})])
    for split in ('train', 'val'):
        (folder / f'{split}.json').write_text((folder / 'annotations.json').read_text())
        (folder / split).symlink_to(folder / 'images')
    text = text.replace("'configs/", f"'{ROOT}/configs/").replace("'data/mine/'", f"'{folder}/'")
    text = text.replace("('car', 'bus', 'bicycle')", "('ship', 'car', 'bird')")
    (tmp_path / 'my_config.py').write_text(text)
    cfg = Config.fromfile(tmp_path / 'my_config.py')

    from mmdet.registry import DATASETS, METRICS, MODELS

    cfg.model.backbone.init_cfg = None
    assert MODELS.build(cfg.model).roi_head.bbox_head.num_classes == 3
    dataset = DATASETS.build({**cfg.train_dataloader.dataset, 'cache_dir': ''})
    # In range at factors 4, 2 and 1.
    assert sorted(dataset.plan.level) == [0, 1, 2]
    assert dataset[0]['data_samples'].gt_instances.labels.tolist() == [0]
    for loader in (cfg.val_dataloader, cfg.test_dataloader):
        assert len(DATASETS.build(loader.dataset)) == 1
    assert METRICS.build(cfg.test_evaluator).scale_ranges


def test_linked_files_exist():
    for page in (ROOT / 'README.md', *ROOT.glob('configs/*/README.md')):
        for target in re.findall(r'\]\(([^)#]+)\)', page.read_text()):
            if '://' not in target:
                assert (page.parent / target).exists(), f'{page.name}: {target}'


def test_commands_name_files_that_exist():
    for page in (ROOT / 'README.md', *ROOT.glob('configs/*/README.md')):
        for target in re.findall(r'(?:tools|configs)/[\w./-]+\.(?:py|sh)', page.read_text()):
            assert (ROOT / target).is_file(), f'{page.name}: {target}'
