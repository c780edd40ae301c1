# The small profile of Table 4's SSDLite: pictures of 128x128 px, 0.35 of the width, anchors for objects of 0.4 times the size. They
# have an eighth of the single-scale baseline's pixels, so an epoch repeats them 8 times. Data and schedule are those of
# scenes_single-scale.py and schedule_scenes.py, which cannot be bases here: MMDetection's config has the same keys.
_base_ = './ssdlite_mobilenetv2_8xb24_coco.py'

model = dict(
    backbone=dict(widen_factor=0.35),
    neck=dict(in_channels=(32, 1280), out_channels=(32, 1280, 256, 128, 128, 64)),
    bbox_head=dict(
        num_classes=7,
        in_channels=(32, 1280, 256, 128, 128, 64),
        anchor_generator=dict(
            # Maps of 8, 4, 2 and three times 1 px.
            strides=[16, 32, 64, 128, 128, 128],
            min_sizes=[19.2, 40, 60, 80.8, 101.2, 121.6],
            max_sizes=[40, 60, 80.8, 101.2, 121.6, 128],
        ),
    ),
)

data_root = 'data/scenes/'
metainfo = dict(classes=('person', 'target', 'wheel', 'crate', 'window', 'stairs_sign', 'fence_sign'))


def _resized(pipeline):
    return [dict(step, scale=(128, 128)) if step['type'] == 'Resize' else step for step in pipeline]


train_pipeline = _resized(_base_.train_pipeline)
test_pipeline = _resized(_base_.test_pipeline)


def _dataset(part, folder, pipeline):
    return dict(
        metainfo=metainfo,
        data_root=data_root,
        ann_file=f'annotations/instances_{part}.json',
        data_prefix=dict(img=folder),
        pipeline=pipeline,
    )


train_dataloader = dict(
    batch_size=8,
    num_workers=1,
    dataset=dict(times=8, dataset=dict(_dataset('train', 'train/', train_pipeline), filter_cfg=dict(min_size=0))),
)
val_dataloader = dict(batch_size=1, num_workers=1, dataset=_dataset('val', 'val/', test_pipeline))
test_dataloader = val_dataloader

val_evaluator = dict(
    ann_file=data_root + 'annotations/instances_val.json',
    scale_ranges=[(0, 12.8), (12.8, 38.4), (38.4, None), (6.4, 224)],
    scale_octaves=(3.2, 192),
)
test_evaluator = val_evaluator

train_cfg = dict(max_epochs=8, val_interval=100)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, begin=0, end=1, convert_to_iter_based=True),
    dict(type='MultiStepLR', begin=0, end=8, milestones=[6], gamma=0.1),
]
optim_wrapper = dict(
    optimizer=dict(lr=0.02, weight_decay=0.0001),
    clip_grad=dict(max_norm=10, norm_type=2),
)
# Pictures are of one size: the statistics of batch norm need no NormEvalHook.
custom_hooks = [*_base_.custom_hooks, dict(type='SyncBuffersHook')]
auto_scale_lr = dict(enable=False, base_batch_size=8)
default_hooks = dict(checkpoint=dict(interval=1, max_keep_ckpts=1), logger=dict(interval=20))
model_wrapper_cfg = dict(type='MMDistributedDataParallel', device_ids=None, find_unused_parameters=True)
env_cfg = dict(cudnn_benchmark=False, dist_cfg=dict(backend='gloo'))
