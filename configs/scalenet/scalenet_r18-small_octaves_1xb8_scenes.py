# Octaves of sqrt(w h) times 0.4, for `focus`; the scenes are seen at their own size.
_base_ = './scalenet_r18-small_areas6_1xb8_scenes.py'


def _unsized(pipeline):
    return [step for step in pipeline if step['type'] != 'Resize']


train_dataloader = dict(dataset=dict(pipeline=_unsized(_base_.train_pipeline)))
val_dataloader = dict(dataset=dict(pipeline=_unsized(_base_.test_pipeline)))
test_dataloader = val_dataloader
model = dict(head=dict(_delete_=True, **_base_.scale_heads_small['octaves']), view_size=None)
val_evaluator = dict(rule=dict(_delete_=True, **_base_.scale_rules['octaves']))
test_evaluator = val_evaluator
