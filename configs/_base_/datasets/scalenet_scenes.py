# Synthetic scenes of 256x192 px (tools/make_scenes.py --small) for ScaleNet; 512 px of the paper times 0.4.
_base_ = './scalenet_coco.py'

view_size = (205, 205)
data_root = 'data/scenes/'
metainfo = dict(classes=('person', 'target', 'wheel', 'crate', 'window', 'stairs_sign', 'fence_sign'))


def _sized(pipeline):
    return [dict(step, scale=(205, 205)) if step['type'] == 'Resize' else step for step in pipeline]


train_pipeline = _sized(_base_.train_pipeline)
test_pipeline = _sized(_base_.test_pipeline)


def _dataset(part, pipeline):
    return dict(
        metainfo=metainfo,
        data_root=data_root,
        ann_file=f'annotations/instances_{part}.json',
        data_prefix=dict(img=f'{part}/'),
        pipeline=pipeline,
    )


train_dataloader = dict(batch_size=8, num_workers=1, dataset=_dataset('train', train_pipeline))
val_dataloader = dict(num_workers=1, dataset=_dataset('val', test_pipeline))
test_dataloader = val_dataloader
