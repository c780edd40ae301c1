import pytest
from negative_records import ANNOTATIONS, GENERATOR, IMAGES, PIPELINE, write

from mmisn.datasets import ChipDataset


@pytest.fixture
def with_negatives(coco_folder, inner_cfg, tmp_path):
    """Function (negatives, changed arguments) -> data set over the images of ``negative_records``."""
    folder = coco_folder(IMAGES, ANNOTATIONS)

    def make(negatives='default', **changes):
        inner = inner_cfg(folder, filter_cfg=dict(filter_empty_gt=False))
        kwargs = dict(dataset=inner, generator=GENERATOR, pipeline=PIPELINE, cache_dir='')
        if negatives == 'default':
            negatives = dict(proposals=write(tmp_path / 'p.npz'), min_proposals=4)
        made = ChipDataset(**{**kwargs, **changes}, negatives=negatives)
        made.full_init()
        return made

    return make


@pytest.fixture
def filled(with_negatives):
    """A data set with a pool of 23 negative chips of four images."""
    return with_negatives()
