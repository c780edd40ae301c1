# What ScaleNet predicts. The paper's six classes, background among them: mask areas with bounds of 2592 {1, 8, 20, 28} square
# pixels of the 512x512 image that it sees (the paper does not say in which frame they count); three: COCO's small, medium and
# large. Octaves of sqrt(w h), for ``focus``: 8 to 512 px and what lies beyond either end. Relative scales: sqrt(mask area), 96 px
# is 1. `model = dict(head=_base_.scale_heads['octaves'])` in a child; a rule says what counts as small in testing.
#
# Class weights are about the inverse root of the classes' share of the pixels, on COCO and on the scenes: each octave has about a
# quarter of the next one's pixels, and without weights the small ones are not learned for long. The paper has none; its six and
# three classes have them only in the profiles for a CPU, whose trainings are short.


def _heads(factor, areas6_weight=None, areas3_weight=None):
    return {
        'areas6': dict(
            type='ScaleClassHead',
            measure='mask_area',
            bounds=[2592 * n * factor**2 for n in (1, 8, 20, 28)],
            loss=dict(type='SoftmaxFocalLoss', gamma=2.0, class_weight=areas6_weight),
        ),
        'areas3': dict(
            type='ScaleClassHead',
            measure='mask_area',
            bounds=[side**2 * factor**2 for side in (32, 96)],
            loss=dict(type='SoftmaxFocalLoss', gamma=2.0, class_weight=areas3_weight),
        ),
        'octaves': dict(
            type='ScaleClassHead',
            measure='sqrt_box',
            bounds=[2**n * factor for n in range(3, 10)],
            loss=dict(type='SoftmaxFocalLoss', gamma=2.0, class_weight=(1, 128, 64, 32, 16, 8, 4, 2, 2)),
        ),
        'regression': dict(
            type='ScaleRegressionHead', measure='mask_area', unit=96 * factor, loss=dict(type='MSELoss')
        ),
    }


scale_heads = _heads(1)
_weights = dict(areas6_weight=(1, 8, 3, 3, 3, 3), areas3_weight=(1, 16, 4, 2))
scale_heads_half = _heads(0.5, **_weights)
scale_heads_small = _heads(0.4, **_weights)

scale_rules = {
    'areas6': dict(type='ClassRule', small=(1,), threshold=None),
    'areas3': dict(type='ClassRule', small=(1,), threshold=None),
    # Below 32 px.
    'octaves': dict(type='ClassRule', small=(1, 2, 3), threshold=None),
    'regression': dict(type='RegressionRule', lower=32 / 96, background=0.05),
}
