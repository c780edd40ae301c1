from . import (  # noqa: F401
    backbones,
    classifiers,
    dense_heads,
    detectors,
    roi_heads,
    scale_nets,
    task_modules,
    test_time_augs,
)
