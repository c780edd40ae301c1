# The small profile: all sizes times 0.4, and numbers of pixels times 0.16. Pictures of 256 px are seen at x1.67 already: a second x2
# shows nothing new. The scale net's class of small objects has 8 times the weight of background in its loss, hence a higher
# threshold than the paper's 0.3.
_base_ = './scalenet.py'


def _scale_net(name):
    from mmengine import Config

    cfg = Config.fromfile('{{ fileDirname }}/../../scalenet/' + name + '.py')
    checkpoint = f'work_dirs/{name}/epoch_{cfg.train_cfg.max_epochs}.pth'
    return dict(cfg.model.to_dict(), _delete_=True, init_cfg=dict(type='Pretrained', checkpoint=checkpoint))


level = (533, 320)
look = (341, 205)

chip_detectors = dict(
    plain=dict(generator=dict(factors=[level])),
    grid=dict(generator=dict(level=level)),
    recursive=dict(
        generator=dict(
            rule=dict(threshold=0.4), window=240, margin=20, min_pixels=3, max_rescales=1, level=level, look=look
        ),
        scale_net=_scale_net('scalenet_mobilenetv2-small_areas6_1xb8_scenes'),
        window_filter=dict(scale_range=(0, 90), edge_margin=3),
    ),
    focus=dict(
        packing=dict(side=768),
        generator=dict(look=1.0, threshold=0.4, grid=dict(cell=16, context=8, min_size=64, overhead=4096)),
        scale_net=_scale_net('scalenet_mobilenetv2-small_octaves_1xb8_scenes'),
    ),
)
