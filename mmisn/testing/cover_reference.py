"""The greedy chip cover in plain Python: slow and easy to check, a yardstick for ``mmisn.chips``."""

from collections.abc import Sequence


def encloses(corner: tuple[float, float], rect_wh: tuple[int, int], box_xyxy: Sequence[float]) -> bool:
    """Whether the rectangle with its top left corner at ``corner`` holds the whole box, borders included."""
    (x, y), (width, height) = corner, rect_wh
    x1, y1, x2, y2 = box_xyxy
    return x <= x1 and y <= y1 and x2 <= x + width and y2 <= y + height


def greedy_cover_reference(
    xs: Sequence[float], ys: Sequence[float], rect_wh: tuple[int, int], boxes_xyxy: Sequence[Sequence[float]]
) -> list[tuple[tuple[float, float], list[int]]]:
    """Choose rectangles one by one, each time the first that encloses the most boxes not yet enclosed.

    Args:
        xs: Left edges to choose from.
        ys: Top edges to choose from; every pair of the two is a candidate.
        rect_wh: Width and height of all rectangles.
        boxes_xyxy: N boxes, clipped to the image.

    Returns:
        Top left corner of each chosen rectangle, and the indices of the boxes that it was the first to enclose. Boxes
        that no candidate encloses are in none.
    """
    left = list(range(len(boxes_xyxy)))
    chosen = []
    while True:
        best_corner, best = None, []
        for x in xs:
            for y in ys:
                held = [i for i in left if encloses((x, y), rect_wh, boxes_xyxy[i])]
                if len(held) > len(best):
                    best_corner, best = (x, y), held
        if not best:
            return chosen
        chosen.append((best_corner, best))
        left = [i for i in left if i not in best]
