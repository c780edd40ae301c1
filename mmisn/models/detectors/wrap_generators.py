"""Which chips a wrapped detector looks at: a pyramid, a grid, ScaleNet's windows, or the pyramid in focus."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

from mmisn.chips.levels import Level, level_name

GENERATORS = dict(pyramid='PyramidChips', grid='GridChips', recursive='RecursiveChips', focus='FocusChips')
NEEDS_SCALE_NET = ('recursive', 'focus')
# Boxes of scale class above 2 are discarded from windows (ScaleNet, "Pretrained detectors & baselines"): of the paper's
# six classes the second one ends at sqrt(8 * 2592) = 144 px of 512 that ScaleNet sees, here of a level's short side.
WINDOW_RANGE_SHARE = 144 / 512


def read_scale_net(config: str | Path | Config, checkpoint: str | Path) -> dict:
    """Config of a trained scale net, as ``ChipDetector.scale_net`` takes it.

    Args:
        config: Config of the scale net, or its file.
        checkpoint: Its weights.

    Raises:
        ValueError: If the config has no model.
        FileNotFoundError: If there is no such file.
    """
    cfg = config if isinstance(config, Config) else Config.fromfile(config)
    if 'model' not in cfg:
        raise ValueError(f'the config of the scale net has no "model", only {sorted(cfg)}')
    if not str(checkpoint).startswith(('http://', 'https://')) and not Path(checkpoint).is_file():
        raise FileNotFoundError(f'there is no checkpoint {checkpoint} of the scale net')
    return dict(cfg.model.to_dict(), init_cfg=dict(type='Pretrained', checkpoint=str(checkpoint)))


def check_generator(generator: str, scale_net: Any, levels: Sequence[Level], given: dict) -> None:
    """Check the choice of a generator.

    Args:
        generator: One of ``GENERATORS``.
        scale_net: Of the ``ChipDetector``.
        levels: Of the views.
        given: Options that only a pyramid takes, by name; ``None`` for those that were not given.

    Raises:
        ValueError: If the generator is unknown, lacks its scale net or has one that it does not use, or an option does
            not fit it.
    """
    if generator not in GENERATORS:
        raise ValueError(f'unknown generator {generator!r}; there are {sorted(GENERATORS)}')
    if (generator in NEEDS_SCALE_NET) != (scale_net is not None):
        raise ValueError(
            f'generator {generator!r} needs a scale net'
            if scale_net is None
            else f'generator {generator!r} does not use a scale net; {" and ".join(NEEDS_SCALE_NET)} do'
        )
    useless = {k: v for k, v in given.items() if v is not None}
    if generator != 'pyramid' and useless:
        raise ValueError(f'generator {generator!r} does not take {useless}')
    if generator in ('grid', 'recursive') and len(levels) != 1:
        raise ValueError(
            f'generator {generator!r} takes one level, that of the whole image, got {[level_name(v) for v in levels]}'
        )


def test_level(cfg: Config | ConfigDict) -> Level | None:
    """The size at which a config tests, ``(long, short)``; ``None`` if its pipeline does not say."""
    dataset = (cfg.get('test_dataloader') or {}).get('dataset') or {}
    while 'pipeline' not in dataset and 'dataset' in dataset:
        dataset = dataset['dataset']
    for transform in dataset.get('pipeline') or []:
        if transform.get('type') == 'Resize' and transform.get('keep_ratio') and 'scale' in transform:
            long, short = max(transform['scale']), min(transform['scale'])
            return int(long), int(short)
    return None


def default_window_range(level: Level) -> tuple[float, float] | None:
    """Scales that ScaleNet's windows report, view px: the paper's rule at a level.

    Args:
        level: Of the view of the whole image.

    Returns:
        From 0 to 9/32 of the short side: 225 px of 800, as in the configs. ``None``, all scales, for a factor, which
        has no short side of its own.
    """
    return (0.0, WINDOW_RANGE_SHARE * level[1]) if isinstance(level, tuple) else None


def generator_cfg(
    generator: str,
    levels: Sequence[Level],
    flips: Sequence[bool],
    scale_range: Any,
    options: dict | None,
    edge_margin: float = 0.0,
) -> dict:
    """Config of a generator other than the pyramid.

    Args:
        generator: ``grid``, ``recursive`` or ``focus``.
        levels: Of the views; one, that of the whole image, for ``grid`` and ``recursive``.
        flips: Of the views of ``focus``.
        scale_range: What the views of ``focus`` may report.
        options: Further arguments of the generator, and changes; keys with dots reach into nested ones.
        edge_margin: What views that are not the whole image lose near their edges, for the margin of ``recursive``.
    """
    if generator == 'focus':
        chosen = dict(factors=list(levels), flips=list(flips), scale_range=scale_range)
    else:
        chosen = dict(level=levels[0])
    if generator == 'recursive':
        chosen |= dict(rule=dict(type='ClassRule'), window=None, margin=None, edge_margin=edge_margin)
    wrapped = Config(dict(generator=dict(type=GENERATORS[generator], **chosen)))
    wrapped.merge_from_dict({f'generator.{k}': v for k, v in (options or {}).items()})
    return wrapped.generator.to_dict()
