"""Chip planning: against plain Python, against SNIPER's figures, and for all of COCO."""

import random
import time
from collections.abc import Callable

import numpy as np

from mmisn.chips import CoverChips
from mmisn.chips.cover import cover_level
from mmisn.datasets.chip_plan import ImageObjects, make_plan
from mmisn.structures import ScaleRange
from mmisn.testing.cover_reference import greedy_cover_reference

from .coco_like import CocoFolder, coco_like_objects
from .plain_python import greedy_cover_sparse, plain_plan
from .report import Row, Target
from .timing import interleaved

GENERATOR = dict(type='CoverChips', factors=(4.0, 2.0, 1.0, 0.5, 0.25), scale_range=(16, 560), chip_size=576)
COCO_IMAGES = 118_000
COCO_SECONDS = 240
NUM_PROCS = 2

# ms per image and level of SNIPER's own C++ chip cover (github.com/mahyarnajibi/SNIPER, lib/chips/cchips.cpp), timed
# once on a 2-core machine, chips of 512 px, stride 57; constants, so not of the same run as ours.
# (width, height, objects): ms
SNIPER_MS = {
    (1067, 800, 7): 0.03,
    (1920, 1440, 7): 0.10,
    (1920, 1440, 50): 0.43,
    (4500, 3000, 100): 4.1,
    (4500, 3000, 500): 24.0,
    (9000, 9000, 500): 115.0,
}


def jobs(folder: CocoFolder | None, rounds: int) -> list[tuple[str, Callable[[], list[Row]]]]:
    """Name and function of each measurement."""
    rng = np.random.default_rng(0)
    drawn = ('drawn COCO-like images', coco_like_objects(200, rng))
    sources = [drawn] if folder is None else [(folder.name, folder.objects()), drawn]
    large = coco_like_objects(1, rng, image_wh=(9000, 9000), num_objects=500)
    return [
        *((f'planning, {name}', lambda n=name, i=images: _plan_rows(n, i, rounds)) for name, images in sources),
        ('planning, 9000x9000', lambda: [_large_row(large, rounds)]),
        ('planning, levels', lambda: [_level_row(i, rounds, drawn[1]) for i in range(len(GENERATOR['factors']))]),
        ('planning, SNIPER', lambda: [_sniper_row(*key, ms, rounds) for key, ms in SNIPER_MS.items()]),
        ('planning, w = 4', lambda: [_w4_row(rounds)]),
        *((f'planning all, {name}', lambda n=name, i=images: [_whole_row(n, i)]) for name, images in sources),
    ]


def _generator(**changes) -> CoverChips:
    return CoverChips(**{**{k: v for k, v in GENERATOR.items() if k != 'type'}, **changes})


def _times(images: list[ImageObjects], rounds: int, yardsticks: dict[str, Callable]) -> dict[str, float]:
    """Seconds per image of ours and of the plain Python planner with each greedy cover."""
    generator = _generator()
    rng, plain_rng = np.random.default_rng(0), random.Random(0)
    # The yardstick gets its boxes as lists, which cost it nothing here.
    items = [(o.image_wh, o.boxes_xyxy, o.boxes_xyxy.tolist()) for o in images]
    functions = dict(ours=lambda item: generator.plan(*item[:2], rng))
    for name, greedy in yardsticks.items():
        functions[name] = lambda item, g=greedy: plain_plan(generator, item[0], item[2], plain_rng, g)
    return interleaved(functions, items, rounds)


def _plan_rows(name: str, images: list[ImageObjects], rounds: int) -> list[Row]:
    # The reference counts all candidates anew for each chip, hence few images and rounds for it.
    some = images[:40]
    times = _times(some, max(2, rounds // 3), dict(reference=greedy_cover_reference, sparse=greedy_cover_sparse))
    ours, plain, sparse = times['ours'], times['reference'], times['sparse']
    objects = np.mean([len(o.boxes_xyxy) for o in some])
    what = f'plan 5 factors, {name}, {objects:.1f} objects per image'
    rate = f'{1 / ours:.0f} images/s'
    target = Target(2, at_least=True)
    return [
        Row(what, rate, f'greedy cover in plain Python, {1 / plain:.1f} images/s', plain / ours, target),
        Row(what, rate, f'the same with sparse counts, {1 / sparse:.0f} images/s', sparse / ours),
    ]


def _large_row(images: list[ImageObjects], rounds: int) -> Row:
    # The reference would look at 400,000 candidates of w = 4 for each chip and object: hours.
    times = _times(images, max(2, rounds // 3), dict(sparse=greedy_cover_sparse))
    return Row(
        f'plan 5 factors, 9000x9000 px, {len(images[0].boxes_xyxy)} objects',
        f'{1 / times["ours"]:.2f} images/s',
        f'greedy cover in plain Python, sparse counts, {1 / times["sparse"]:.2f} images/s',
        times['sparse'] / times['ours'],
        Target(2, at_least=True),
    )


def _level_row(index: int, rounds: int, images: list[ImageObjects]) -> Row:
    factor, rng = GENERATOR['factors'][index], np.random.default_rng(0)
    generator = _generator()

    def plan(objects: ImageObjects) -> None:
        generator.plan_level(index, objects.image_wh, objects.boxes_xyxy, rng)

    seconds = interleaved(dict(ours=plan), images, rounds)['ours']
    return Row(f'plan one level, w = {factor:g}, drawn COCO-like images', f'{1e3 * seconds:.3f} ms per image')


def _level_ms(image_wh: tuple[int, int], factor: float, boxes: list[np.ndarray], chip: int, rounds: int) -> float:
    rng, scale_range = np.random.default_rng(0), ScaleRange(0, float('inf'))

    def plan(of_image: np.ndarray) -> None:
        cover_level(image_wh, of_image, factor, scale_range, chip, (57, 58), rng)

    return 1e3 * interleaved(dict(ours=plan), boxes, rounds)['ours']


def enclosable_boxes(image_wh: tuple[int, int], count: int, longest: float, times: int) -> list[np.ndarray]:
    """COCO-like boxes whose sides a chip can enclose; SNIPER's generator is given no others."""
    rng = np.random.default_rng(1)
    boxes = []
    for _ in range(times):
        drawn = coco_like_objects(1, rng, image_wh, 20 * count)[0].boxes_xyxy
        boxes.append(drawn[(drawn[:, 2:] - drawn[:, :2]).max(axis=1) < longest][:count])
    return boxes


def _sniper_row(width: int, height: int, count: int, sniper_ms: float, rounds: int) -> Row:
    times = 20 if width * height < 3e6 else 1
    boxes = enclosable_boxes((width, height), count, 512 - 58, times)
    ours = _level_ms((width, height), 1.0, boxes, 512, rounds)
    return Row(
        f'plan one level, {width}x{height} px as seen, {count} objects, chips of 512 px',
        f'{ours:.3f} ms',
        f"SNIPER's C++ cover, {sniper_ms:g} ms (its published code, timed elsewhere)",
        sniper_ms / ours,
    )


def _w4_row(rounds: int) -> Row:
    boxes = enclosable_boxes((640, 480), 7, (512 - 58) / 4, 20)
    ours = _level_ms((640, 480), 4.0, boxes, 512, rounds)
    # SNIPER looks at every candidate, so its time grows with the area; the figure for w = 3 favours it.
    sniper_ms = SNIPER_MS[1920, 1440, 7]
    return Row(
        'plan w = 4, 640x480 px (2560x1920 as seen), 7 objects, chips of 512 px',
        f'{ours:.3f} ms',
        f"SNIPER's C++ cover at w = 3, {sniper_ms:g} ms",
        sniper_ms / ours,
        Target(1, at_least=True),
    )


def _whole_row(name: str, images: list[ImageObjects]) -> Row:
    """Time the real planner, processes and all, on thousands of images."""
    number, rng = 4000, np.random.default_rng(2)
    many = [images[i] for i in rng.integers(len(images), size=number)]
    best = float('inf')
    for _ in range(2):
        start = time.perf_counter()
        make_plan(GENERATOR, many, NUM_PROCS)
        best = min(best, time.perf_counter() - start)
    seconds = COCO_IMAGES * best / number
    return Row(
        f'plan {COCO_IMAGES:,} images with {NUM_PROCS} processes, {name} (from {number:,} timed)',
        f'{number / best:.0f} images/s, {seconds:.0f} s',
        f'{COCO_SECONDS} s',
        seconds / COCO_SECONDS,
        Target(1, at_least=False),
        'x the time',
    )
