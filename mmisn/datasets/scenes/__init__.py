from .compose import Scene, SceneObject, make_scene
from .config import CLASSES, GENERATOR_VERSION, SceneConfig
from .generate import make_scenes
from .person import KEYPOINTS, SKELETON

__all__ = [
    'CLASSES',
    'GENERATOR_VERSION',
    'KEYPOINTS',
    'SKELETON',
    'Scene',
    'SceneConfig',
    'SceneObject',
    'make_scene',
    'make_scenes',
]
