# What stands around a trained detector, in testing: `model = dict(detector=_base_.model, **_base_.chip_detectors['recursive'])`, with
# `_delete_=True`. Sizes are those of Table 6, short side 800; a scale net has its weights where `mim train` puts them.


def _scale_net(name):
    from mmengine import Config

    cfg = Config.fromfile('{{ fileDirname }}/../../scalenet/' + name + '.py')
    checkpoint = f'work_dirs/{name}/epoch_{cfg.train_cfg.max_epochs}.pth'
    return dict(cfg.model.to_dict(), init_cfg=dict(type='Pretrained', checkpoint=checkpoint))


level = (1333, 800)
# ScaleNet sees the whole image with a short side of 512 px, and windows at the same ratio to what the detector sees.
look = (853, 512)

# "The IoU threshold for NMS is the same as the pretrained detector"'s; soft-NMS is the default of ChipDetector.
_nms = dict(type='nms', iou_threshold=0.5)
_common = dict(type='ChipDetector', backbone=dict(), batch_size=4)
# Windows find more than the whole image alone: at 100 boxes per image those of small objects would crowd each other out.
# COCO counts 100 per class.
_of_tables = dict(_common, max_per_img=300)
# Small objects made larger by bilinear interpolation are more blurred than any that the detector was trained on.
_enlarging = dict(_of_tables, interpolation='bicubic')

chip_detectors = dict(
    # The detector as it is: for pixels and seconds that compare.
    plain=dict(_of_tables, generator=dict(type='PyramidChips', factors=[level]), nms=_nms),
    # Grid-Rescale: 4 cells with some overlap, all of their boxes.
    grid=dict(_enlarging, generator=dict(type='GridChips', cells=(2, 2), overlap=0.2, level=level), nms=_nms),
    recursive=dict(
        _enlarging,
        generator=dict(
            type='RecursiveChips',
            rule=dict(type='ClassRule', small=(1,), threshold=0.3, factor=2.0),
            # The paper does not state the size of a window: three quarters of the short side.
            window=600,
            margin=50,
            min_pixels=16,
            max_rescales=2,
            level=level,
            look=look,
        ),
        scale_net=_scale_net('scalenet_mobilenetv2_areas6_1xb16-12e_coco'),
        # Boxes of scale class above 2 and near a window's edge are discarded. Class 2 ends at an area of 8 * 2592 square pixels,
        # 144 px, as ScaleNet sees the window, 800 / 512 times as much as the detector sees it.
        window_filter=dict(scale_range=(0, 225), edge_margin=8),
        nms=_nms,
    ),
    # The ISN pyramid in focus: see there for factors and range.
    focus=dict(
        _common,
        # Many small views: side by side on canvases they take less time.
        packing=dict(side=1536),
        generator=dict(
            type='FocusChips',
            look=(640, 640),
            margin=8.0,
            skip_poor=True,
            # A view costs as much as so many pixels, whatever its size: little on a canvas, four times as much alone.
            grid=dict(cell=32, context=16, min_size=128, overhead=16384),
        ),
        scale_net=_scale_net('scalenet_mobilenetv2_octaves_1xb16-12e_coco'),
    ),
)
