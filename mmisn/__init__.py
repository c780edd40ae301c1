"""mmisn: object recognition under large scale variation, for MMDetection 3.x.

``custom_imports = dict(imports=['mmisn'])`` in a config registers everything. Where mmdet is not installed, only
``mmisn.structures`` can be used.
"""

from importlib.util import find_spec

from ._version import __version__  # noqa: F401

if find_spec('mmdet') is not None:
    from ._environment import check_environment

    check_environment()

    from . import chips, datasets, evaluation, models, visualization  # noqa: F401
