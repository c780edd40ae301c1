"""What a synthetic data set consists of."""

from dataclasses import asdict, dataclass
from numbers import Integral, Real
from typing import Any

CLASSES = ('person', 'target', 'wheel', 'crate', 'window', 'stairs_sign', 'fence_sign')
# Raise it whenever a change alters pictures or annotations of an unchanged config: older folders are then not reused.
GENERATOR_VERSION = 2


@dataclass(frozen=True)
class SceneConfig:
    """Settings of the synthetic scenes; the defaults are frozen, results are compared on them.

    Args:
        image_wh: Width and height of every picture, pixels.
        scale_px: Smallest and largest scale, pixels, of the log-uniform draw. The scale of an object is sqrt(w * h) of
            the box around the whole drawing, before anything covers or cuts it.
        objects_per_image: Least and most objects of a picture, both included; (0, 0) gives empty pictures.
        classes: Names out of ``CLASSES``, equally probable; their order gives the category ids 1, 2, ...
        min_visible: Least part of an object's mask area that must stay visible, inside the picture and not covered.
        truncate_prob: Probability that an object may stick out of the picture even though it would fit.
        num_distractors: Least and most shapes of a background which are no object.
        noise_sigma: Least and largest standard deviation of the pixel noise, grey levels.
        seed: Seed of everything, >= 0.

    Raises:
        ValueError: If a value is of the wrong kind or out of bounds.
    """

    image_wh: tuple[int, int] = (640, 480)
    scale_px: tuple[float, float] = (8.0, 480.0)
    objects_per_image: tuple[int, int] = (3, 10)
    classes: tuple[str, ...] = CLASSES
    min_visible: float = 0.6
    truncate_prob: float = 0.15
    num_distractors: tuple[int, int] = (10, 30)
    noise_sigma: tuple[float, float] = (1.0, 4.0)
    seed: int = 0

    def __post_init__(self) -> None:
        self._set_pair('image_wh', Integral, 16)
        self._set_pair('scale_px', Real, 2)
        self._set_pair('objects_per_image', Integral, 0)
        self._set_pair('num_distractors', Integral, 0)
        self._set_pair('noise_sigma', Real, 0)
        for name in ('scale_px', 'objects_per_image', 'num_distractors', 'noise_sigma'):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f'SceneConfig.{name} must be (least, most), got {getattr(self, name)!r}')
        if self.scale_px[1] > max(self.image_wh):
            raise ValueError(f'SceneConfig.scale_px ends at {self.scale_px[1]}, more than the picture {self.image_wh}')
        for name in ('min_visible', 'truncate_prob'):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= value <= 1:
                raise ValueError(f'SceneConfig.{name} must lie in [0, 1], got {value!r}')
            object.__setattr__(self, name, float(value))
        if self.min_visible == 0:
            raise ValueError(f'SceneConfig.min_visible must be > 0, got {self.min_visible!r}')
        self._check_classes()
        if isinstance(self.seed, bool) or not isinstance(self.seed, Integral) or self.seed < 0:
            raise ValueError(f'SceneConfig.seed must be an integer >= 0, got {self.seed!r}')

    def _set_pair(self, name: str, kind: type, least: float) -> None:
        value = getattr(self, name)
        fits = isinstance(value, (list, tuple)) and len(value) == 2
        # Written so that NaN fails as well.
        if not fits or any(isinstance(v, bool) or not isinstance(v, kind) or not least <= v < 1e6 for v in value):
            noun = 'integers' if kind is Integral else 'numbers'
            raise ValueError(f'SceneConfig.{name} must be a pair of {noun} >= {least}, got {value!r}')
        object.__setattr__(self, name, tuple(int(v) if kind is Integral else float(v) for v in value))

    def _check_classes(self) -> None:
        classes = self.classes
        if isinstance(classes, str) or not classes or len(set(classes)) != len(classes) or set(classes) - set(CLASSES):
            raise ValueError(f'SceneConfig.classes must be different names out of {CLASSES}, got {classes!r}')
        object.__setattr__(self, 'classes', tuple(classes))

    @classmethod
    def small(cls, **changes: Any) -> 'SceneConfig':
        """The default scenes at 0.4 times the size, for training on a CPU; ``changes`` override further fields."""
        return cls(**{'image_wh': (256, 192), 'scale_px': (3.2, 192.0), **changes})

    def to_dict(self) -> dict[str, Any]:
        """All fields in the form that JSON gives back, lists in the place of tuples."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}
