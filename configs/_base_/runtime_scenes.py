# Training on a CPU: few checkpoints, and a wrapper that several CPU processes can use (--launcher pytorch).
_base_ = './runtime.py'

default_hooks = dict(checkpoint=dict(interval=1, max_keep_ckpts=1), logger=dict(interval=20))

# DDP refuses device_ids, which MMEngine passes by default, where the model is on the CPU. With a wrapper of one's own
# find_unused_parameters of runtime.py is not read.
model_wrapper_cfg = dict(type='MMDistributedDataParallel', device_ids=None, find_unused_parameters=True)
env_cfg = dict(dist_cfg=dict(backend='gloo'))
