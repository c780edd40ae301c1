from . import backbones, dense_heads, detectors, roi_heads, task_modules, test_time_augs  # noqa: F401
