"""Put any detector's config into a ``ChipDetector``, with the views of the config's own test-time augmentation."""

import copy
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmdet.registry import DATASETS, MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config, ConfigDict
from mmengine.model import revert_sync_batchnorm
from mmengine.runner import load_checkpoint
from torch import nn

from mmisn._class_names import class_names_of_checkpoint, other_class_names
from mmisn.chips import PyramidChips, level_name
from mmisn.chips.levels import Level, build_levels
from mmisn.structures import ViewFilter, is_range_list

from .chip_detector import ChipDetector
from .wrap_generators import check_generator, default_window_range, generator_cfg, test_level

DEFAULT_LEVELS = (1.0, 2.0)
# What cuts a box at a tile's edge reaches up to the edge, give or take the regression's error.
TILE_EDGE_MARGIN = 2.0
# Side of the canvases that the views of a pyramid in focus lie on, as in the configs for COCO.
FOCUS_CANVAS = 1536


@dataclass(frozen=True)
class ViewSettings:
    """How an image is looked at and what the views may report.

    Attributes:
        levels: Factors or sizes ``(long, short)``.
        flips: For each level, one view per entry.
        scale_range: Anything that ``ChipDetector`` takes.
        source: Where the settings come from, in words.
    """

    levels: tuple[Level, ...] = DEFAULT_LEVELS
    flips: tuple[bool, ...] = (False,)
    scale_range: Any = None
    source: str = 'the default'


def tta_view_settings(cfg: Config | ConfigDict) -> ViewSettings | None:
    """Read the views of a config's ``ScaleRangeTTAModel`` and ``TestTimeAug`` pipeline.

    Args:
        cfg: A whole config.

    Returns:
        The settings, or ``None`` if the config has no such model, or a pipeline of other views than whole images at
        fixed levels, with or without flips.
    """
    if cfg.get('tta_model', {}).get('type') != 'ScaleRangeTTAModel':
        return None
    groups = [t['transforms'] for t in cfg.get('tta_pipeline', []) if t['type'] == 'TestTimeAug']
    if len(groups) != 1:
        return None
    levels, flips = [], (False,)
    for transform in (t for group in groups[0] for t in group):
        kind = transform['type']
        if kind == 'GenerateChips' and transform['generator']['type'] == 'PyramidChips':
            levels.extend(transform['generator']['factors'])
            flips = tuple(transform['generator'].get('flips', flips))
        elif kind == 'Resize' and transform.get('keep_ratio') and 'scale' in transform:
            levels.append(transform['scale'])
        elif kind == 'RandomFlip':
            flips = tuple(dict.fromkeys((*flips, transform.get('prob', 0) == 1)))
        elif kind in ('GenerateChips', 'Resize'):
            return None
    if not levels:
        return None
    return ViewSettings(
        build_levels(levels), flips, cfg.tta_model.get('scale_range'), "the config's tta_model and tta_pipeline"
    )


def wrap_in_chip_detector(
    cfg: Config | ConfigDict,
    levels: Sequence[Level] | None = None,
    scale_range: Any = 'config',
    flip: bool | None = None,
    max_pixels: int | None = None,
    overlap: int | None = None,
    edge_margin: float | None = None,
    masks: bool = True,
    generator: str | None = None,
    generator_options: dict | None = None,
    scale_net: dict | None = None,
    window_range: Any = 'config',
    **kwargs,
) -> tuple[ConfigDict, list[str]]:
    """Config of a ``ChipDetector`` around the detector of a config.

    The detector's ``data_preprocessor`` is kept; test pipelines and test-time augmentation are not run. What is not
    given comes from the config's ``ScaleRangeTTAModel``, if it has one. A config whose model is a ``ChipDetector`` is
    taken as it is.

    Args:
        cfg: A whole config; it is not changed.
        levels: Factors or sizes ``(long, short)``; by default the config's, else 1 and 2. ``grid`` and ``recursive``
            take one, that of the whole image; by default the size at which the config tests, else 1.
        scale_range: Range of what a view may report, as ``ChipDetector`` takes it; ``None`` for everything. By default
            the config's, else everything; with ``grid`` and ``recursive`` everything.
        flip: Whether each view is shown flipped as well; by default as the config says, else not.
        max_pixels: Views with more pixels are cut into tiles, see ``PyramidChips``.
        overlap: Pixels that tiles share, see ``PyramidChips``.
        edge_margin: See ``ViewFilter``; by default 2 view pixels with ``max_pixels`` and with all generators but the
            pyramid, which make partial objects, and none without. It holds for what is not the whole image.
        masks: Whether a detector with a mask head predicts masks; without, it saves the time.
        generator: ``pyramid`` (the default), ``grid``, ``recursive`` or ``focus``.
        generator_options: Further arguments of the generator; keys with dots reach into nested ones.
        scale_net: For ``recursive`` and ``focus``, the config of a trained scale net; see ``read_scale_net``.
        window_range: For ``recursive``, range of what a window may report, ``None`` for everything. By default
            ``scale_range`` where it is given, else the paper's rule, see ``default_window_range``.
        **kwargs: Further arguments of ``ChipDetector``. ``packing`` is by default that of canvases of 1536 px with
            ``focus`` around a detector without masks, else none.

    Returns:
        The model's config, and sentences that say what was chosen and what was changed.

    Raises:
        ValueError: If the config has no model, or settings are given for a config that is a ``ChipDetector`` already.
    """
    if 'model' not in cfg:
        raise ValueError(f'the config has no "model", only {sorted(cfg)}')
    given = dict(levels=levels, flip=flip, max_pixels=max_pixels, edge_margin=edge_margin, **kwargs)
    given |= dict(overlap=overlap, generator=generator, generator_options=generator_options, scale_net=scale_net)
    if not masks:
        given['masks'] = False
    if scale_range != 'config':
        given['scale_range'] = scale_range
    if window_range != 'config':
        given['window_range'] = window_range
    if cfg.model.get('type') == 'ChipDetector':
        _refuse(given)
        return ConfigDict(copy.deepcopy(cfg.model)), ['the config is a ChipDetector already; its own settings hold']
    detector, notes = _detector_of(cfg, masks)
    if generator not in (None, 'pyramid'):
        # Not to flip is what the others do.
        flipped = flip or None if generator != 'focus' else None
        only_pyramid = dict(max_pixels=max_pixels, overlap=overlap, flip=flipped)
        settings = _generator_settings(cfg, generator, levels, scale_range, flip)
        check_generator(generator, scale_net, settings.levels, only_pyramid)
        edge_margin = TILE_EDGE_MARGIN if edge_margin is None else edge_margin
        if generator == 'recursive':
            windows = _window_range(window_range, scale_range, settings)
        else:
            _check_no_window_range(generator, window_range)
            windows = settings.scale_range
        chosen = _chosen_generator(generator, settings, windows, edge_margin, generator_options, scale_net)
        if generator == 'focus' and not _has_masks(detector):
            # Many small views: a detector takes far longer for them than their pixels say.
            chosen['packing'] = kwargs.pop('packing', dict(side=FOCUS_CANVAS))
    else:
        _check_no_window_range(generator or 'pyramid', window_range)
        settings = _settings(cfg, levels, scale_range, flip)
        check_generator('pyramid', scale_net, settings.levels, {})
        if max_pixels is not None and edge_margin is None:
            edge_margin = TILE_EDGE_MARGIN
        pyramid = dict(type='PyramidChips', factors=settings.levels, flips=settings.flips, max_pixels=max_pixels)
        if overlap is not None:
            pyramid['overlap'] = overlap
        chosen = dict(
            generator=dict(pyramid, **(generator_options or {})), **_filter_of(settings.scale_range, edge_margin)
        )
    wrapped = dict(type='ChipDetector', detector=detector, **chosen, **kwargs)
    if generator == 'recursive':
        notes.insert(0, _spell_windows(chosen['generator'], windows))
    if wrapped.get('packing'):
        notes.insert(0, f'small views lie side by side on canvases: {wrapped["packing"]}')
    return ConfigDict(wrapped), [_spell(generator, settings, edge_margin), *notes]


def _generator_settings(cfg: Config | ConfigDict, generator: str, levels, scale_range, flip) -> ViewSettings:
    settings = _settings(cfg, levels, scale_range, flip)
    if generator == 'focus':
        if settings.scale_range is None or is_range_list(settings.scale_range):
            raise ValueError(f"generator 'focus' needs one scale_range, got {settings.scale_range!r}")
        return settings
    if levels is None:
        found = test_level(cfg)
        source = 'the default' if found is None else 'the size at which the config tests'
        settings = replace(settings, levels=(found or 1.0,), source=source)
    return replace(settings, flips=(False,), scale_range=None if scale_range == 'config' else scale_range)


def _check_no_window_range(generator: str, window_range: Any) -> None:
    if window_range != 'config':
        raise ValueError(
            f"generator {generator!r} does not take a window_range, 'recursive' does; got {window_range!r}"
        )


def _window_range(window_range: Any, scale_range: Any, settings: ViewSettings) -> Any:
    if window_range != 'config':
        return window_range
    return default_window_range(settings.levels[0]) if scale_range == 'config' else settings.scale_range


def _spell_windows(generator: dict, window_range: Any) -> str:
    window, margin = generator['window'], generator['margin']
    size = "three quarters of the level's short side" if window is None else f'{window} px'
    inner = '' if margin is None else f', margin {margin} px'
    scales = 'all scales' if window_range is None else f'scales in {window_range} view px'
    return f'windows: {size}{inner}; each reports {scales}'


def _chosen_generator(
    generator: str,
    settings: ViewSettings,
    window_range: Any,
    edge_margin: float,
    options: dict | None,
    scale_net: dict | None,
) -> dict:
    """Arguments of the ``ChipDetector`` that concern a generator other than the pyramid."""
    cfg = generator_cfg(generator, settings.levels, settings.flips, settings.scale_range, options, edge_margin)
    if generator == 'focus':
        filters = _filter_of(settings.scale_range, edge_margin)
    else:
        windows = dict(scale_range=window_range, edge_margin=edge_margin)
        filters = dict(scale_range=settings.scale_range, window_filter=windows)
    return dict(generator=cfg, **filters, **({} if scale_net is None else dict(scale_net=scale_net)))


def _refuse(given: dict) -> None:
    useless = {k: v for k, v in given.items() if v is not None}
    if useless:
        raise ValueError(
            f"the config's model is a ChipDetector already, {useless} has no effect on it; change the config "
            '(--cfg-options model.generator.factors=...)'
        )


def _settings(cfg: Config | ConfigDict, levels, scale_range, flip) -> ViewSettings:
    settings = tta_view_settings(cfg) or ViewSettings()
    if levels is not None:
        settings = replace(settings, levels=build_levels(list(levels)), source='as given')
    if scale_range != 'config':
        settings = replace(settings, scale_range=scale_range)
    if flip is not None:
        settings = replace(settings, flips=(False, True) if flip else (False,))
    return settings


def _detector_of(cfg: Config | ConfigDict, masks: bool) -> tuple[dict, list[str]]:
    detector = copy.deepcopy(cfg.model)
    notes = []
    if cfg.get('data_preprocessor') is not None:
        detector.setdefault('data_preprocessor', copy.deepcopy(cfg.data_preprocessor))
    roi_head = detector.get('roi_head')
    if not masks and _has_masks(detector):
        roi_head['mask_head'] = roi_head['mask_roi_extractor'] = None
        notes.append('the mask head is left out, boxes alone are detected')
    return detector, notes


def _has_masks(detector: dict) -> bool:
    roi_head = detector.get('roi_head')
    return isinstance(roi_head, dict) and roi_head.get('mask_head') is not None


def _filter_of(scale_range: Any, edge_margin: float | None) -> dict:
    if edge_margin is None:
        return dict(scale_range=scale_range)
    if is_range_list(scale_range):
        return dict(view_filter=[dict(scale_range=r, edge_margin=edge_margin) for r in scale_range])
    return dict(view_filter=dict(scale_range=scale_range, edge_margin=edge_margin))


def _spell(generator: str | None, settings: ViewSettings, edge_margin: float | None) -> str:
    levels = ', '.join(map(level_name, settings.levels))
    scales = 'all scales' if settings.scale_range is None else f'scales in {settings.scale_range} view px'
    flipped = ', each flipped too' if True in settings.flips else ''
    edge = '' if edge_margin is None else f', nothing within {edge_margin:g} px of a tile edge'
    kind = 'views' if generator in (None, 'pyramid') else f'views ({generator})'
    return f'{kind}: {levels} ({settings.source}){flipped}; each reports {scales}{edge}'


def build_chip_detector(model_cfg: dict, cfg: Config, checkpoint: str | Path, device: str) -> nn.Module:
    """Build what ``wrap_in_chip_detector`` returned, load its weights and give it its ``dataset_meta``.

    The class names come from the checkpoint, else from the config, with a warning where the config has as many by other
    names or in another order; the palette from the config, else the checkpoint.

    Args:
        model_cfg: Config of the ``ChipDetector``.
        cfg: The whole config, for the meta information of its datasets.
        checkpoint: Of the wrapped detector, or the ``ChipDetector``'s own.
        device: Where the model is put.

    Raises:
        RuntimeError: If the checkpoint lacks weights.
        ValueError: If neither has class names.
    """
    model = revert_sync_batchnorm(MODELS.build(model_cfg))
    meta = load_checkpoint(model, str(checkpoint), map_location='cpu', logger='silent').get('meta', {})
    saved = {k.lower(): v for k, v in (meta.get('dataset_meta') or {}).items()}
    if (names := class_names_of_checkpoint(dict(meta=meta))) is not None:
        saved['classes'] = names
    from_config = _metainfo_of_config(cfg)
    merged = {**from_config, **saved}
    if not merged.get('classes'):
        raise ValueError(
            f'neither {checkpoint} nor the config has class names; give the config '
            'test_dataloader.dataset.metainfo (--cfg-options)'
        )
    if (found := other_class_names(saved.get('classes'), from_config.get('classes'))) is not None:
        warnings.warn(f"{checkpoint}: {found} of the config; the checkpoint's are taken", stacklevel=2)
    merged['palette'] = from_config.get('palette') or merged.get('palette') or 'random'
    model.dataset_meta = merged
    return model.to(device).eval()


def _metainfo_of_config(cfg: Config) -> dict:
    """Meta information of the dataset that the config tests on; no file is read."""
    for name in ('test_dataloader', 'val_dataloader', 'train_dataloader'):
        dataset = (cfg.get(name) or {}).get('dataset')
        while dataset is not None and 'dataset' in dataset:
            dataset = dataset['dataset']
        if dataset is not None and DATASETS.get(dataset.get('type')) is not None:
            known = getattr(DATASETS.get(dataset['type']), 'METAINFO', {})
            return {k.lower(): v for k, v in {**known, **(dataset.get('metainfo') or {})}.items()}
    return {}


def restrict_classes(model: nn.Module, names: Sequence[str]) -> None:
    """Let the views of a ``ChipDetector`` report these classes only.

    Raises:
        ValueError: If a class is unknown.
    """
    classes = list(model.dataset_meta['classes'])
    unknown = [n for n in names if n not in classes]
    if unknown:
        raise ValueError(f'unknown classes {unknown}; the detector has {classes}')
    labels = tuple(classes.index(n) for n in names)
    several = isinstance(model.view_filters, list)
    filters = [replace(f, classes=labels) for f in (model.view_filters if several else [model.view_filters])]
    model.view_filters = filters if several else filters[0]
    if model.window_filter is not None:
        model.window_filter = replace(model.window_filter, classes=labels)


def whole_image_alone(model: nn.Module, level: Level = 1.0) -> ChipDetector:
    """A ``ChipDetector`` of the same detector, merge and classes that looks at the whole image and at nothing else.

    Args:
        model: A ``ChipDetector``; it is left as it is.
        level: Of the view, where the model's generator has none for the whole image.
    """
    level = getattr(model.generator, 'level', level)
    of_model = model.view_filters[0] if isinstance(model.view_filters, list) else model.view_filters
    alone = ChipDetector(
        model.detector,
        PyramidChips([level]),
        view_filter=ViewFilter(classes=of_model.classes),
        nms=model.nms,
        max_per_img=model.max_per_img,
        view_test_cfg=None,  # opened already
        interpolation=model.interpolation,
    )
    alone.dataset_meta = model.dataset_meta
    return alone.to(next(model.detector.parameters()).device).eval()


def detect_image(model: nn.Module, pixels: np.ndarray, name: str = '') -> DetDataSample:
    """Run a ``ChipDetector`` on one (H, W, 3) BGR image."""
    shape = pixels.shape[:2]
    sample = DetDataSample(metainfo=dict(img_id=0, img_path=name, ori_shape=shape, img_shape=shape))
    inputs = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))
    with torch.no_grad():
        return model.test_step(dict(inputs=[inputs], data_samples=[sample]))[0]
