# Small pictures and plain models: an iteration takes milliseconds.
_base_ = './runtime_scenes.py'

default_hooks = dict(logger=dict(interval=100))
