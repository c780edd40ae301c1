"""mmisn: object recognition under large scale variation, for MMDetection 3.x.

``custom_imports = dict(imports=['mmisn'])`` in a config registers everything. Where mmdet is not installed, only
``mmisn.structures`` can be used.
"""

from importlib.util import find_spec

from ._environment import check_environment
from ._version import __version__  # noqa: F401

if find_spec('mmdet') is not None:
    check_environment()

    from ._checkpoints import allow_mmengine_checkpoints
    from ._distributed import allow_cpu_processes

    allow_mmengine_checkpoints()
    allow_cpu_processes()

    from . import chips, datasets, engine, evaluation, models, visualization  # noqa: F401
else:

    def __getattr__(name: str):
        if name in ('chips', 'datasets', 'engine', 'evaluation', 'models', 'visualization'):
            check_environment()
        raise AttributeError(f'module mmisn has no attribute {name!r}')
