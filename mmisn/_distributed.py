"""Let ``--launcher pytorch`` start several processes on a machine without accelerators."""

import mmengine.dist.utils as mmengine_dist
import torch
import torch.distributed as torch_dist
from mmengine.device import get_device


def init_dist_on_cpu(backend: str, init_backend: str = 'torch', **kwargs) -> None:
    """What MMEngine's ``_init_dist_pytorch`` does, without choosing a CUDA device.

    Args:
        backend: Ignored; gloo is the one that works on the CPU. Configs usually say nccl.
        init_backend: ``torch`` is the only one that works on the CPU.
        **kwargs: Passed on to ``init_process_group``.

    Raises:
        ValueError: If ``init_backend`` is another one.
    """
    if init_backend != 'torch':
        raise ValueError(f'processes on the CPU need init_backend="torch", got {init_backend!r}')
    torch_dist.init_process_group(backend='gloo', **kwargs)


def allow_cpu_processes() -> None:
    """Replace MMEngine's start-up where no accelerator is there: it calls ``torch.cuda.set_device`` in any case."""
    if not torch.cuda.is_available() and get_device() == 'cpu':
        mmengine_dist._init_dist_pytorch = init_dist_on_cpu
