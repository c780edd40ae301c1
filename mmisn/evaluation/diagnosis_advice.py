"""What the counts of ``diagnosis_summary`` and ``false_positive_summary`` mean for factors and range, in sentences.

Shape shorthand: N objects, V views.
"""

import numpy as np

from .diagnosis_summary import OctaveTable, TestedViews
from .false_positive_summary import FalsePositiveTable
from .false_positives import BACKGROUND, LOOSE, OTHER_CLASS, PART, TRUE, TWICE
from .view_diagnosis import DISCARDED, FOUND, LOST, MERGED, ONLY_DISCARDED
from .view_diagnosis import ObjectStates as States

# Below these shares of an octave's objects nothing is said of it.
WORTH_SAYING = 0.03
UNSEEN_WORTH_SAYING = 0.2
# A view that finds less of the objects in its range is of no use.
NEXT_TO_NOTHING = 0.05
# Share of the objects found by some view that views named as dispensable may cost together.
DISPENSABLE_LOSS = 0.005
# A view's false positives of an octave are spoken of if they are this many and this share of all false positives, and
# their kind if it is this share of them.
FALSE_POSITIVES_WORTH_SAYING = 10
FALSE_SHARE_WORTH_SAYING = 0.05
KIND_SHARE_WORTH_SAYING = 0.5

_CHIPS = (
    'negative chips (tools/mine_negative_chips.py, for training on chips), a narrower range or leaving the view out'
)
_OF_KINDS = {
    TWICE: 'are found better by another detection: a narrower range or tta_model.nms are the settings to try.',
    OTHER_CLASS: 'fit an object of another class: the classifier confuses them, factors and range hardly matter.',
    LOOSE: 'fit an object of their class badly: a narrower range or leaving the view out are the settings to try.',
    PART: f'are parts of larger objects: {_CHIPS} are the settings to try.',
    BACKGROUND: f'are background: {_CHIPS} are the settings to try.',
}


def dispensable_views(found: np.ndarray, pixels: np.ndarray, loss: float = DISPENSABLE_LOSS) -> tuple[list[int], int]:
    """Choose views to leave out: again and again the one that saves most pixels, while the rest still finds enough.

    Args:
        found: (N, V) whether the view found the object.
        pixels: (V,) cost of each view.
        loss: Share of the objects found by some view that may be lost in all.

    Returns:
        Indices in ascending order, and the number of objects that no remaining view found.
    """
    some = found.any(axis=1)
    allowed = loss * some.sum()
    left = list(range(found.shape[1]))
    while len(left) > 1:
        lost = {v: int((some & ~found[:, [w for w in left if w != v]].any(axis=1)).sum()) for v in left}
        free = [v for v in left if lost[v] <= allowed]
        if not free:
            break
        left.remove(max(free, key=lambda v: (pixels[v], v)))
    out = [v for v in range(found.shape[1]) if v not in left]
    return out, int((some & ~found[:, left].any(axis=1)).sum())


def advise(states: States, table: OctaveTable, views: TestedViews) -> list[str]:
    """Sentences that say what the counts mean for factors and range.

    Args:
        states: Of the objects.
        table: Of the same objects.
        views: What was tested.

    Returns:
        One sentence each; at least one.
    """
    if len(states) == 0:
        return ['No objects were tested.']
    octaves = [i for i in range(len(table.edges) - 1) if table.objects[i]]
    said = [_of_ranges(table, i) for i in octaves]
    said += [_of_widening(states, table, views, i) for i in octaves]
    said += [_of_merging(states, table, views, i) for i in octaves]
    if table.merged[-1, LOST] >= WORTH_SAYING * table.objects[-1]:
        said.append(
            "What is lost in merging is outscored by another view's box, or cut by max_per_img: tta_model.nms and a "
            'narrower range are the settings to try.'
        )
    said += [_of_the_detector(table, i) for i in octaves]
    said += _of_views(states, views)
    return [s for s in said if s] or ['Factors and range fit: each octave is found in range by some view and kept.']


def _spell(count: int, table: OctaveTable, row: int) -> str:
    objects = int(table.objects[row])
    return f'{count} of {objects} objects ({100 * count / objects:.0f} %) of {table.name(row)} px'


def _of_ranges(table: OctaveTable, row: int) -> str | None:
    count = int(table.no_range[row])
    if count < WORTH_SAYING * table.objects[row] or not count:
        return None
    return f"{_spell(count, table, row)} are in no view's range: add a factor, or widen the range."


def _of_widening(states: States, table: OctaveTable, views: TestedViews, row: int) -> str | None:
    count = int(table.merged[row, ONLY_DISCARDED])
    if count < WORTH_SAYING * table.objects[row] or not count:
        return None
    here = (table.rows == row) & (states.merged == ONLY_DISCARDED)
    places = []
    for v, name in enumerate(views.names):
        seen = states.scales[here & (states.states[:, v] == DISCARDED)] * views.factors[v]
        if len(seen):
            places.append(f'{name} {len(seen)}, at {seen.min():.3g} to {seen.max():.3g} view px')
    found = int(table.merged[row, MERGED])
    more = f', {100 * count / found:.0f} % more than are found now' if found else ''
    return (
        f'{_spell(count, table, row)} are seen by views outside their range alone ({"; ".join(places)}): a range that '
        f'holds these scales would find them{more} (and bring false positives with it).'
    )


def _of_merging(states: States, table: OctaveTable, views: TestedViews, row: int) -> str | None:
    count = int(table.merged[row, LOST])
    if count < WORTH_SAYING * table.objects[row] or not count:
        return None
    lost = (table.rows == row) & (states.merged == LOST)
    finders = _tally((states.states[lost] == FOUND).sum(axis=0), views)
    rivals = np.bincount(states.rivals[lost & (states.rivals >= 0)], minlength=len(views.names))
    instead = f'; less fitting boxes stand in their place, of {_tally(rivals, views)}' if rivals.any() else ''
    return f'{_spell(count, table, row)} are found by a view ({finders}) and lost in merging{instead}.'


def _tally(counts: np.ndarray, views: TestedViews) -> str:
    """The views with a count, the highest first."""
    return ', '.join(f'{views.names[v]} {counts[v]}' for v in np.argsort(-counts, kind='stable') if counts[v])


def _of_the_detector(table: OctaveTable, row: int) -> str | None:
    count = int(table.detector[row])
    if count < UNSEEN_WORTH_SAYING * table.objects[row] or not count:
        return None
    return (
        f"{_spell(count, table, row)} are in some view's range, and no view sees them: factors and range hold them, "
        'the detector does not find them.'
    )


def _of_views(states: States, views: TestedViews) -> list[str]:
    found, said = states.states == FOUND, []
    strays = (found & ~states.in_range).sum(axis=0)
    if strays.sum() >= WORTH_SAYING * len(states):
        said.append(
            f"Objects out of a view's range, but reported by it with boxes in range: {_tally(strays, views)}. "
            'Such boxes are too small or too large, and compete with better ones of other views.'
        )
    for v, name in enumerate(views.names):
        held = int(states.in_range[:, v].sum())
        hits = int((found[:, v] & states.in_range[:, v]).sum())
        if hits < NEXT_TO_NOTHING * max(held, 1):
            said.append(f'{name} finds {hits} of the {held} objects in its range: it could be left out.')
    out, lost = dispensable_views(found, views.megapixels)
    if out:
        share = 100 * views.megapixels[out].sum() / views.megapixels.sum()
        said.append(
            f'Without {", ".join(views.names[v] for v in out)} ({share:.0f} % of the pixels) the other views still '
            f'find all but {lost} of the {int(found.any(axis=1).sum())} objects that some view finds in range. Test '
            'the AP before leaving them out: it also depends on scores and false positives.'
        )
    return said


def advise_on_false_positives(table: FalsePositiveTable, views: TestedViews) -> list[str]:
    """Sentences that say where which kind of false positives prevails, and what to try.

    Args:
        table: Counts.
        views: What was tested.

    Returns:
        One sentence each; at least one.
    """
    total = int(table.false[:, -1].sum())
    if not total:
        return ['There are no false positives.']
    enough = max(FALSE_POSITIVES_WORTH_SAYING, FALSE_SHARE_WORTH_SAYING * total)
    said = []
    for v, name in enumerate(views.names):
        for kind, meaning in _OF_KINDS.items():
            places = [
                _place(table, v, row, kind)
                for row in range(len(table.edges) - 1)
                if table.false[v, row] >= enough
                and table.counts[v, row, kind] >= KIND_SHARE_WORTH_SAYING * table.false[v, row]
            ]
            if places:
                said.append(f'{name}: {" and ".join(places)} {meaning}')
    return said or ['No view stands out by one kind of false positives.']


def _place(table: FalsePositiveTable, view: int, row: int, kind: int) -> str:
    count, false, true = table.counts[view, row, kind], table.false[view, row], table.counts[view, row, TRUE]
    return f'{count:,} of its {false:,} false positives of {table.name(row)} px (beside {true:,} true ones)'
