"""Several processes on a machine without accelerators."""

import os
import socket
from pathlib import Path

import mmengine.dist.utils as mmengine_dist
import pytest
import torch
import torch.distributed as torch_dist
import torch.multiprocessing as mp
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.dist import get_dist_info, init_dist
from mmengine.hooks import SyncBuffersHook
from mmengine.optim import OptimWrapper
from mmengine.registry import MODEL_WRAPPERS, init_default_scope
from mmengine.structures import InstanceData

from mmisn._distributed import allow_cpu_processes, init_dist_on_cpu

CONFIGS = Path(__file__).parents[1] / 'configs'
SCENES = CONFIGS / 'isn' / 'isn-faster-rcnn_r18-small_fpn_1xb8_scenes.py'

needs_cpu = pytest.mark.skipif(torch.cuda.is_available(), reason='MMEngine starts the processes itself on a GPU')


def test_other_init_backends_are_refused():
    with pytest.raises(ValueError, match='init_backend="torch", got \'deepspeed\''):
        init_dist_on_cpu('nccl', init_backend='deepspeed')


@needs_cpu
def test_mmengine_is_changed_on_the_cpu():
    assert mmengine_dist._init_dist_pytorch is init_dist_on_cpu


def test_mmengine_is_left_alone_on_a_gpu(monkeypatch):
    original = object()
    monkeypatch.setattr(mmengine_dist, '_init_dist_pytorch', original)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    allow_cpu_processes()
    assert mmengine_dist._init_dist_pytorch is original


def test_every_config_lets_ranks_differ():
    """A rank's batch without proposals leaves weights without gradient, which DDP has to be told."""
    assert Config.fromfile(CONFIGS / '_base_' / 'runtime.py').find_unused_parameters
    wrapper = Config.fromfile(CONFIGS / '_base_' / 'runtime_scenes.py').model_wrapper_cfg
    assert wrapper == dict(type='MMDistributedDataParallel', device_ids=None, find_unused_parameters=True)


def test_small_configs_share_the_statistics_of_batch_norm():
    """They train batch norm; the others have its statistics fixed."""
    assert Config.fromfile(SCENES).custom_hooks == [
        dict(type='NormEvalHook', begin=3),
        dict(type='SyncBuffersHook'),
    ]
    assert not Config.fromfile(SCENES).model.backbone.norm_eval
    assert Config.fromfile(CONFIGS / 'isn' / 'isn-faster-rcnn_r50_fpn_8xb4-18e_coco.py').model.backbone.norm_eval


def _view(empty):
    """A view with one object; or, with a range that no box is in, one without object and without proposals."""
    torch.manual_seed(int(empty))
    image = torch.randint(0, 256, (3, 64, 96), dtype=torch.uint8)
    metainfo = dict(img_shape=(64, 96), ori_shape=(64, 96), scale_factor=(1.0, 1.0))
    sample = DetDataSample(metainfo=dict(metainfo, scale_range=(1e5, 1e6) if empty else (6.4, 224.0)))
    boxes = torch.tensor([[20.0, 10, 50, 40]])[: 0 if empty else 1]
    sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.full((len(boxes),), 6))
    sample.ignored_instances = InstanceData(bboxes=torch.tensor([[60.0, 30, 68, 42]]), labels=torch.tensor([0]))
    return dict(inputs=[image], data_samples=[sample])


def _gradients(model, data):
    """Gradients of a step, zero where there is none, and the names of those where there is none."""
    torch.manual_seed(0)
    model.zero_grad()
    loss, _ = model.parse_losses(model(**model.data_preprocessor(data, True), mode='loss'))
    loss.backward()
    named = dict(model.named_parameters())
    without = [n for n, p in named.items() if p.grad is None]
    return {n: torch.zeros_like(p) if p.grad is None else p.grad.clone() for n, p in named.items()}, without


def _one_rank(rank, port, folder):
    torch.set_num_threads(1)
    os.environ.update(
        RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE='2', MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port)
    )
    # Configs for GPUs say nccl.
    init_dist('pytorch', backend='nccl')
    assert torch_dist.get_backend() == 'gloo' and get_dist_info() == (rank, 2)
    init_default_scope('mmdet')
    cfg = Config.fromfile(SCENES)
    torch.manual_seed(0)
    module = MODELS.build(cfg.model).train()
    data = _view(empty=rank == 1)
    plain, without = _gradients(module, data)
    for gradient in plain.values():
        torch_dist.all_reduce(gradient)
        gradient.div_(2)

    model = MODEL_WRAPPERS.build(cfg.model_wrapper_cfg, default_args=dict(module=module))
    steps = []
    for _ in range(2):  # DDP complains of a missing gradient one step later
        torch.manual_seed(0)
        wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.0))
        wrapper.zero_grad = lambda: None
        model.zero_grad()
        model.train_step(data, wrapper)
        steps.append({n: p.grad.clone() for n, p in module.named_parameters()})
    hook = SyncBuffersHook()
    before = module.backbone.bn1.running_mean.clone()
    hook.after_train_epoch(type('Runner', (), dict(model=model)))
    after = module.backbone.bn1.running_mean.clone()
    torch.save(dict(plain=plain, without=without, steps=steps, before=before, after=after), f'{folder}/{rank}.pth')
    torch_dist.destroy_process_group()


@needs_cpu
def test_a_step_with_an_empty_batch_on_one_rank(tmp_path):
    """Both ranks end with the mean of the two gradients, although one of them has no gradient for some weights."""
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        port = listener.getsockname()[1]
    mp.spawn(_one_rank, (port, str(tmp_path)), nprocs=2)
    first, second = (torch.load(tmp_path / f'{rank}.pth') for rank in (0, 1))
    assert first['without'] == []
    assert 'roi_head.bbox_head.fc_cls.weight' in second['without']
    assert first['plain']['roi_head.bbox_head.fc_cls.weight'].abs().sum() > 0
    for found in (first, second):
        for step in found['steps']:
            assert list(step) == list(first['plain'])
            for name, gradient in step.items():
                torch.testing.assert_close(gradient, first['plain'][name], rtol=1e-4, atol=1e-6)
    assert not torch.equal(first['before'], second['before'])
    assert torch.equal(first['after'], second['after'])
    torch.testing.assert_close(first['after'], (first['before'] + second['before']) / 2)
