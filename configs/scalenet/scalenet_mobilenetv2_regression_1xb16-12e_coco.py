# Relative scale, by mean squared error.
_base_ = './scalenet_mobilenetv2_areas6_1xb16-12e_coco.py'
model = dict(head=dict(_delete_=True, **_base_.scale_heads['regression']))
val_evaluator = dict(rule=dict(_delete_=True, **_base_.scale_rules['regression']))
test_evaluator = val_evaluator
