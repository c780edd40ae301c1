# Octaves of sqrt(w h), for `focus`: images keep their shape, COCO's size of 640 px.
_base_ = './scalenet_vgg16_areas6_1xb16-12e_coco.py'


def _sized(pipeline):
    return [dict(step, scale=(640, 640), keep_ratio=True) if step['type'] == 'Resize' else step for step in pipeline]


view_size = (640, 640)
train_dataloader = dict(dataset=dict(pipeline=_sized(_base_.train_pipeline)))
val_dataloader = dict(dataset=dict(pipeline=_sized(_base_.test_pipeline)))
test_dataloader = val_dataloader
model = dict(head=dict(_delete_=True, **_base_.scale_heads['octaves']), view_size=view_size, keep_ratio=True)
val_evaluator = dict(rule=dict(_delete_=True, **_base_.scale_rules['octaves']))
test_evaluator = val_evaluator
