# Recursive-ScaleNet of Table 4, for `mim test` with the checkpoint of the classifier; the scale net's is named below.
_base_ = './vgg11-classifier_1xb64-10e_cifar10.py'
model = dict(
    _delete_=True,
    type='RescalingClassifier',
    classifier=_base_.model,
    scale_net=dict(
        type='SimpleScaleNet',
        in_channels=3,
        canvas=_base_.canvas,
        object_pixels='picture',
        init_cfg=dict(type='Pretrained', checkpoint='work_dirs/simple-scale-net_1xb64-2e_cifar10/epoch_2.pth'),
    ),
    rule=dict(type='RegressionRule', upper=1.338, top_k=0.1),
)
