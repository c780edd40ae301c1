import pytest
from mmengine.registry import init_default_scope

import mmisn  # noqa: F401  registers everything, as custom_imports does


@pytest.fixture(autouse=True)
def mmdet_scope():
    """Configs set ``default_scope = 'mmdet'``; here no runner does it."""
    init_default_scope('mmdet')
