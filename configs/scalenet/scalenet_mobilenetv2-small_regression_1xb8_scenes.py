_base_ = './scalenet_mobilenetv2-small_areas6_1xb8_scenes.py'
model = dict(head=dict(_delete_=True, **_base_.scale_heads_small['regression']))
val_evaluator = dict(rule=dict(_delete_=True, **_base_.scale_rules['regression']))
test_evaluator = val_evaluator
