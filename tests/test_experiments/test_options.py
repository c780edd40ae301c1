"""Options below a part of a config that is not there: taken where a class reads them, refused elsewhere."""

import copy

import pytest
from mmengine.config import DictAction

from mmisn.experiments.options import apply_options, load_config, option_args
from mmisn.experiments.tables import ROOT

ISN = 'configs/isn/isn-faster-rcnn_r18-small_fpn_1xb8_scenes.py'


@pytest.fixture(autouse=True)
def in_root(monkeypatch):
    """Paths of configs are relative to the repository."""
    monkeypatch.chdir(ROOT)


def test_options_below_a_part_that_the_config_leaves_open():
    """``ChipDataset`` takes ``negatives``, of which the configs have none."""
    cfg = load_config(ISN)
    assert 'negatives' not in cfg.train_dataloader.dataset
    key = 'train_dataloader.dataset.negatives'
    apply_options(cfg, {f'{key}.proposals': 'p.npz', f'{key}.per_image': 3}, 'here')
    assert cfg.train_dataloader.dataset.negatives == dict(proposals='p.npz', per_image=3)
    # As mim reads it.
    other = load_config(ISN)
    _, *texts = option_args({f'{key}.proposals': 'p.npz', f'{key}.per_image': 3})
    other.merge_from_dict({k: DictAction._parse_iterable(v) for k, v in (text.split('=', 1) for text in texts)})
    assert other.train_dataloader.dataset.negatives == cfg.train_dataloader.dataset.negatives
    # Of an argument whose keys nobody declares, any may be given.
    del cfg.optim_wrapper.clip_grad
    apply_options(cfg, {'optim_wrapper.clip_grad.max_norm': 35}, 'here')
    assert cfg.optim_wrapper.clip_grad == dict(max_norm=35)


@pytest.mark.parametrize(
    ('key', 'message'),
    [
        ('train_dataloader.dataset.negatives.proposal', "negatives has no 'proposal', perhaps 'proposals' is meant"),
        ('train_dataloader.dataset.negatives.proposals.x', "negatives.proposals takes no further keys, got 'x'"),
        ('train_dataloader.dataset.negativ.proposals', "dataset has no 'negativ', perhaps 'negatives' is meant"),
        ('train_dataloader.dataset.redraw.x', "redraw is True by default, which has no 'x'"),
        ('train_dataloader.sampler.negatives.x', "sampler has no 'negatives'"),
    ],
)
def test_wrong_options_below_a_part_that_is_not_there(key, message):
    with pytest.raises(ValueError) as caught:
        apply_options(load_config(ISN), {key: 1}, 'row X')
    assert str(caught.value).startswith(f'row X: option {key}: ')
    assert message in str(caught.value)


def test_none_in_the_config_cannot_be_filled():
    """mmengine would raise a TypeError: it merges no key into None."""
    cfg = load_config(ISN)
    cfg.train_dataloader.dataset.negatives = None
    key = 'train_dataloader.dataset.negatives.proposals'
    with pytest.raises(TypeError):
        copy.deepcopy(cfg).merge_from_dict({key: 'p.npz'})
    with pytest.raises(ValueError, match='train_dataloader.dataset.negatives is None in the config.*leave it out'):
        apply_options(cfg, {key: 'p.npz'}, 'here')
