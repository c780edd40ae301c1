"""Let torch read mmengine's own checkpoints without switching its safety check off.

torch 2.6 and later unpickle nothing but tensors and plain containers (``weights_only=True``). mmengine 0.10.7 saves its
log history in a checkpoint as well: ``HistoryBuffer`` objects, NumPy arrays of numbers, and references to the buffer's
own statistics. Exactly these are allowed here; anything else in a checkpoint is still refused before it runs.
"""

import pickle

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

_STATISTICS = ('min', 'max', 'mean', 'current')
_NUMBER_DTYPES = (
    'bool',
    'int8',
    'int16',
    'int32',
    'int64',
    'uint8',
    'uint16',
    'uint32',
    'uint64',
    'float16',
    'float32',
    'float64',
)


def _history_statistic(owner: type, name: str):
    """Stand in for ``getattr``, by which a pickle names ``HistoryBuffer.mean`` and the like; it serves nothing else."""
    if owner is not HistoryBuffer or name not in _STATISTICS:
        raise pickle.UnpicklingError(f'a checkpoint may not ask for attribute {name!r} of {owner!r}')
    return getattr(HistoryBuffer, name)


def allow_mmengine_checkpoints() -> None:
    """Allow the classes of mmengine's checkpoints in ``torch.load``; without effect before torch 2.6."""
    if not hasattr(torch.serialization, 'get_unsafe_globals_in_checkpoint'):  # torch < 2.6 checks nothing by default
        return
    scalar = np.float64(0).__reduce__()[0]
    reconstruct = np.empty(0).__reduce__()[0]
    allowed = [HistoryBuffer, np.ndarray, np.dtype, (_history_statistic, 'builtins.getattr')]
    # NumPy 2 moved the two functions; files written under NumPy 1 have the old name.
    for module in ('numpy.core.multiarray', 'numpy._core.multiarray'):
        allowed += [(scalar, f'{module}.scalar'), (reconstruct, f'{module}._reconstruct')]
    allowed += [type(np.dtype(name)) for name in _NUMBER_DTYPES]
    torch.serialization.add_safe_globals(allowed)
