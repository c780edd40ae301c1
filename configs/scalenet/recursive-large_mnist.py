# Recursive-ScaleNet of Table 2: pictures larger than those of the training. For `mim test` with the checkpoint of the classifier;
# the scale net's is named below.
_base_ = './two-conv-classifier_1xb64-4e_mnist.py'
model = dict(
    _delete_=True,
    type='RescalingClassifier',
    classifier=_base_.model,
    scale_net=dict(
        type='SimpleScaleNet',
        canvas=_base_.canvas,
        init_cfg=dict(type='Pretrained', checkpoint='work_dirs/simple-scale-net_1xb64-1e_mnist/epoch_1.pth'),
    ),
    rule=dict(type='RegressionRule', upper=1.05, top_k=0.15),
)
