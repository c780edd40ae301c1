_base_ = './scalenet_mobilenetv2-small_areas6_1xb8_scenes.py'
model = dict(head=dict(_delete_=True, **_base_.scale_heads_small['areas3']))
val_evaluator = dict(rule=dict(_delete_=True, **_base_.scale_rules['areas3']))
test_evaluator = val_evaluator
