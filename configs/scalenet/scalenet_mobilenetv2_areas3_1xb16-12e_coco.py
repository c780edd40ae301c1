# Three classes of mask area, COCO's small, medium and large.
_base_ = './scalenet_mobilenetv2_areas6_1xb16-12e_coco.py'
model = dict(head=dict(_delete_=True, **_base_.scale_heads['areas3']))
val_evaluator = dict(rule=dict(_delete_=True, **_base_.scale_rules['areas3']))
test_evaluator = val_evaluator
