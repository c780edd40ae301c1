# A few real COCO images with their masks; all sizes of the paper times 0.5. MMISN_DATA names the folder that holds coco_mini/images
# and coco_mini/annotations.
_base_ = './scalenet_coco.py'

view_size = (256, 256)
data_root = '{{$MMISN_DATA:data}}/coco_mini/'


def _sized(pipeline):
    return [dict(step, scale=(256, 256)) if step['type'] == 'Resize' else step for step in pipeline]


train_pipeline = _sized(_base_.train_pipeline)
test_pipeline = _sized(_base_.test_pipeline)


def _dataset(part, pipeline):
    return dict(
        data_root=data_root,
        ann_file=f'annotations/instances_{part}.json',
        data_prefix=dict(img='images/'),
        pipeline=pipeline,
    )


train_dataloader = dict(batch_size=8, num_workers=1, dataset=_dataset('train', train_pipeline))
val_dataloader = dict(num_workers=1, dataset=_dataset('val', test_pipeline))
test_dataloader = val_dataloader
