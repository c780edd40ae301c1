"""Whole detectors with keypoints, trained until they know one picture by heart."""

import pytest
import torch
from keypoint_detectors import keypoint_cfg, sample
from mmengine.optim import OptimWrapper

from mmisn.models.roi_heads.keypoint_heads.keypoint_bins import keypoints_to_bins
from mmisn.testing.detectors import build_tiny_detector

BOX = [24.0, 16.0, 88.0, 112.0]
POINTS = [[40.0, 30.0], [72.0, 55.0], [45.0, 95.0]]


def picture():
    """A dark rectangle with a bright spot of its own colour at each keypoint."""
    image = torch.full((3, 128, 128), 200.0)
    image[:, 16:112, 24:88] = 60.0
    for channel, (x, y) in enumerate(POINTS):
        image[channel, int(y) - 6 : int(y) + 6, int(x) - 6 : int(x) + 6] = 255.0
    return image.to(torch.uint8)


@pytest.mark.parametrize(
    'kind, masks, changes',
    [('offset', False, {}), ('offset', True, dict(decode='hough')), ('one-hot', False, {})],
)
def test_one_picture_is_learned(kind, masks, changes):
    """The losses fall, and the best detection has its keypoints within a bin of the RoI features."""
    model = build_tiny_detector(keypoint_cfg(kind, masks=masks, **changes), spread=1.0).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    optim_wrapper = OptimWrapper(optimizer)

    def data():
        return dict(inputs=[picture()], data_samples=[sample([BOX], [POINTS], [[2, 2, 2]])])

    torch.manual_seed(0)
    history = [model.train_step(data(), optim_wrapper) for _ in range(65)]
    # Without a lower rate in the end, boxes still jump from step to step, and differ between processors.
    optimizer.param_groups[0]['lr'] /= 10
    history += [model.train_step(data(), optim_wrapper) for _ in range(35)]
    history = [{name: value.item() for name, value in h.items() if 'keypoint' in name} for h in history]
    for name, first in history[0].items():
        assert sum(h[name] for h in history[-5:]) / 5 < 0.3 * first, name
    found = model.eval().test_step(data())[0].pred_instances
    best = found[found.scores.argmax().item()]
    size = (22, 16) if kind == 'offset' else (14, 14)
    gt = torch.tensor([POINTS])
    error = keypoints_to_bins(best.keypoints, best.bboxes, size) - keypoints_to_bins(gt, best.bboxes, size)
    assert error.abs().max() < 1
    # The one-hot head's score is a probability among 3136 cells.
    assert (best.keypoint_scores > (0.5 if kind == 'offset' else 0.1)).all()
