"""Random small images with boxes, for the tests of chips."""

import numpy as np
from hypothesis import strategies as st


@st.composite
def scenes(draw, max_side=200, max_objects=8):
    """A small image and boxes, some of them beyond its border and some with whole coordinates."""
    image_wh = draw(st.tuples(st.integers(1, max_side), st.integers(1, max_side)))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    num = draw(st.integers(0, max_objects))
    corners = rng.uniform(-5, image_wh, (num, 2))
    boxes = np.concatenate([corners, corners + np.exp(rng.uniform(0, 5, (num, 2)))], axis=1)
    if draw(st.booleans()):
        boxes = np.round(boxes)
    return image_wh, boxes, seed
