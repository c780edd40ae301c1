"""Which objects a training rule uses at which of its sizes: the rules of the papers, and those of configs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mmdet.registry import TASK_UTILS

from mmisn.chips.levels import Level, build_level_ranges, build_levels
from mmisn.structures import ScaleRange


@dataclass(frozen=True)
class ScaleRule:
    """Sizes of an image in training, and which scales are trained on at each.

    Attributes:
        name: For headings.
        levels: Factors or sizes ``(long, short)``.
        ranges: One per level.
        chip_size: Longest side of the chips that are trained on, in view pixels; ``None`` for whole images.
    """

    name: str
    levels: tuple[Level, ...]
    ranges: tuple[ScaleRange, ...]
    chip_size: int | None = None

    @classmethod
    def build(cls, name: str, levels: Any, scale_range: Any = None, chip_size: int | None = None) -> 'ScaleRule':
        """Make a rule of what the generators take as ``factors``, ``scale_range`` and ``chip_size``.

        Raises:
            ValueError: If an option is invalid, or a range measures masks.
        """
        levels = build_levels(levels)
        ranges = build_level_ranges(scale_range, len(levels))
        if any(r.measure != 'sqrt_box' for r in ranges):
            raise ValueError(f'scales of boxes are plotted, a range of masks cannot be: {[str(r) for r in ranges]}')
        return cls(name, levels, ranges, chip_size)


def _original(*bounds: tuple[float, float | None]) -> list[dict]:
    return [dict(lower=lower, upper=upper, frame='original') for lower, upper in bounds]


PAPER_RULES = {
    'isn': ScaleRule.build('ISN', [4.0, 2.0, 1.0, 0.5, 0.25], (16, 560), 576),
    'snip': ScaleRule.build(
        'SNIP', [(2000, 1400), (1200, 800), (800, 480)], _original((0, 80), (40, 160), (120, None))
    ),
    'sniper': ScaleRule.build('SNIPER', [3.0, 1.667, (512, 512)], _original((0, 80), (32, 150), (120, None)), 512),
    'multi-scale': ScaleRule.build('multi-scale', [(1333, short) for short in range(608, 801, 32)]),
    'single-scale': ScaleRule.build('single-scale', [(1333, 800)]),
}
"""Training as in ISN's section 4.1 and in SNIP's and SNIPER's papers."""


def rule_of_generator(name: str, generator: dict | Any) -> ScaleRule:
    """The rule of a training chip generator.

    Args:
        name: For headings.
        generator: The generator or its config (registry ``TASK_UTILS``).

    Raises:
        ValueError: If the generator has no levels and ranges.
    """
    generator = TASK_UTILS.build(generator) if isinstance(generator, dict) else generator
    if not hasattr(generator, 'levels') or not hasattr(generator, 'scale_ranges'):
        raise ValueError(f'{type(generator).__name__} has no levels and scale_ranges; give --levels and --ranges')
    return ScaleRule.build(
        name, list(generator.levels), list(generator.scale_ranges), getattr(generator, 'chip_size', None)
    )


def rule_of_pipeline(name: str, pipeline: Sequence[dict]) -> ScaleRule:
    """The rule of a training pipeline on whole images.

    ``Resize`` and ``RandomChoiceResize`` give the sizes, ``FilterByScale`` the range; with ``RandomChoice`` over such
    transforms (SNIP) each branch has sizes and a range of its own.

    Args:
        name: For headings.
        pipeline: Configs of transforms.

    Raises:
        ValueError: If the sizes are not a fixed list, or the aspect ratio is not kept.
    """
    branches: list[tuple[list, Any]] = [([], None)]
    for transform in pipeline:
        kind = transform['type']
        if kind == 'RandomChoice':
            choices = [t if isinstance(t, (list, tuple)) else [t] for t in transform['transforms']]
            branches = [_walk(choice, branch) for branch in branches for choice in choices]
        else:
            branches = [_walk([transform], branch) for branch in branches]
    # A pipeline that does not resize shows images as they are.
    pairs = [(level, scale_range) for levels, scale_range in branches for level in levels or [1.0]]
    pairs = list(dict.fromkeys((_hashable(level), ScaleRange.build(r)) for level, r in pairs))
    return ScaleRule.build(name, [level for level, _ in pairs], [r for _, r in pairs])


def _walk(transforms: Sequence[dict], branch: tuple[list, Any]) -> tuple[list, Any]:
    levels, scale_range = branch
    for transform in transforms:
        kind = transform['type']
        if kind in ('Resize', 'RandomChoiceResize'):
            levels = _levels_of_resize(transform)
        elif kind in ('RandomResize', 'FixShapeResize', 'FixScaleResize', 'ResizeShortestEdge', 'RandomCrop', 'Mosaic'):
            raise ValueError(f'no fixed list of sizes follows from {kind} in the pipeline; give --levels and --ranges')
        elif kind == 'FilterByScale':
            scale_range = transform.get('scale_range')
    return levels, scale_range


def _levels_of_resize(transform: dict) -> list[Level]:
    if transform['type'] == 'Resize' and transform.get('scale') is None:
        return [transform['scale_factor']]
    if not transform.get('keep_ratio', False):
        raise ValueError(f'{dict(transform)} does not keep the aspect ratio, which levels do; give --levels')
    return list(transform['scales']) if transform['type'] == 'RandomChoiceResize' else [transform['scale']]


def _hashable(level: Any) -> Any:
    return tuple(level) if isinstance(level, (list, tuple)) else level
