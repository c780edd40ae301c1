# Octaves of sqrt(w h) times 0.5; images keep their shape.
_base_ = './scalenet_mobilenetv2_areas6_1xb8_coco-mini.py'


def _sized(pipeline):
    return [dict(step, scale=(320, 320), keep_ratio=True) if step['type'] == 'Resize' else step for step in pipeline]


view_size = (320, 320)
train_dataloader = dict(dataset=dict(pipeline=_sized(_base_.train_pipeline)))
val_dataloader = dict(dataset=dict(pipeline=_sized(_base_.test_pipeline)))
test_dataloader = val_dataloader
model = dict(head=dict(_delete_=True, **_base_.scale_heads_half['octaves']), view_size=view_size, keep_ratio=True)
val_evaluator = dict(rule=dict(_delete_=True, **_base_.scale_rules['octaves']))
test_evaluator = val_evaluator
