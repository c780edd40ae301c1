"""An articulated person, seen from the front, with the 17 keypoints of COCO."""

import cv2
import numpy as np

from .drawing import Drawing, Part, bar, capsule, ellipse, rotation
from .objects import hsv_colour

KEYPOINTS = (
    'nose',
    'left_eye',
    'right_eye',
    'left_ear',
    'right_ear',
    'left_shoulder',
    'right_shoulder',
    'left_elbow',
    'right_elbow',
    'left_wrist',
    'right_wrist',
    'left_hip',
    'right_hip',
    'left_knee',
    'right_knee',
    'left_ankle',
    'right_ankle',
)
# COCO's own list, its indices counted from 1.
SKELETON = (
    (16, 14), (14, 12), (17, 15), (15, 13), (12, 13), (6, 12), (7, 13), (6, 7), (6, 8), (7, 9), (8, 10), (9, 11),
    (2, 3), (1, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 7),
)  # fmt: skip
_SIDES = (('left', 1.0), ('right', -1.0))  # The person faces us: the left hand is on the picture's right.


def _pose(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Joint positions; the hips' middle is (0, 0), y points down, standing height is about 1."""
    yaw = rng.uniform(-50, 50)
    turn = np.cos(np.deg2rad(yaw))
    torso = rng.uniform(0.27, 0.32)
    lean = rotation(rng.uniform(-12, 12))
    joints = {'neck': lean @ (0, -torso)}
    for side, sign in _SIDES:
        joints[f'{side}_shoulder'] = lean @ (sign * rng.uniform(0.11, 0.13) * turn, -torso + 0.02)
        joints[f'{side}_hip'] = np.array([sign * rng.uniform(0.06, 0.075) * turn, 0.0])
        # Angles count from hanging down, outwards; most arms hang, some point up.
        raised = rng.uniform(60, 160) if rng.random() < 0.3 else rng.uniform(-15, 60)
        lower = raised + rng.uniform(-30, 110)
        joints[f'{side}_elbow'] = joints[f'{side}_shoulder'] + _limb(sign, raised, rng.uniform(0.15, 0.18))
        joints[f'{side}_wrist'] = joints[f'{side}_elbow'] + _limb(sign, lower, rng.uniform(0.13, 0.16))
        stride = rng.uniform(-12, 50)
        bend = stride - rng.uniform(0, 70 if stride > 15 else 20)
        joints[f'{side}_knee'] = joints[f'{side}_hip'] + _limb(sign, stride, rng.uniform(0.2, 0.26))
        joints[f'{side}_ankle'] = joints[f'{side}_knee'] + _limb(sign, bend, rng.uniform(0.2, 0.25))
    tilt = lean @ rotation(rng.uniform(-15, 15))
    joints['head'] = joints['neck'] + tilt @ (0, -0.125)
    look = np.sin(np.deg2rad(yaw))
    face = {'nose': (0.05 * look, 0.015)}
    for side, sign in _SIDES:
        face[f'{side}_eye'] = (0.05 * look + sign * 0.03 * (0.5 + turn / 2), -0.018)
        face[f'{side}_ear'] = (sign * 0.073 - 0.02 * look, 0.0)
    joints.update({name: joints['head'] + tilt @ place for name, place in face.items()})
    return {**joints, 'yaw': np.array(yaw), 'tilt': tilt}


def _limb(sign: float, degrees: float, length: float) -> np.ndarray:
    angle = np.deg2rad(degrees)
    return length * np.array([sign * np.sin(angle), np.cos(angle)])


def _outlined(polygon: np.ndarray, colour: np.ndarray, grow: float = 0.008) -> list[Part]:
    """A convex part with a darker edge, so that an arm can be seen before a shirt of its colour."""
    centre = polygon.mean(0)
    offsets = polygon - centre
    grown = centre + offsets * (1 + grow / np.maximum(np.linalg.norm(offsets, axis=1, keepdims=True), grow))
    return [Part(grown, colour * 0.45), Part(polygon, colour)]


def _clothes(rng: np.random.Generator) -> dict[str, np.ndarray]:
    skin = hsv_colour(rng.uniform(0.04, 0.09), rng.uniform(0.25, 0.6), rng.uniform(0.45, 1.0))
    shirt = hsv_colour(rng.random(), rng.uniform(0.2, 1.0), rng.uniform(0.4, 1.0))
    trousers = hsv_colour(rng.random(), rng.uniform(0.1, 0.8), rng.uniform(0.15, 0.7))
    hair = hsv_colour(rng.uniform(0.02, 0.12), rng.uniform(0.1, 0.8), rng.uniform(0.05, 0.6))
    return {
        'skin': skin,
        'shirt': shirt,
        'trousers': trousers,
        'hair': hair,
        'shoe': hsv_colour(rng.random(), rng.uniform(0, 0.6), rng.uniform(0.05, 0.4)),
        'forearm': shirt if rng.random() < 0.5 else skin,
        'shin': trousers if rng.random() < 0.7 else skin,
    }


def _head(joints: dict[str, np.ndarray], colours: dict[str, np.ndarray]) -> list[Part]:
    head, tilt, skin = joints['head'], joints['tilt'], colours['skin']

    def place(polygon: np.ndarray) -> np.ndarray:
        return head + polygon @ tilt.T

    parts = _outlined(capsule(joints['neck'], head, 0.032, 0.032), skin * 0.9)
    for side, _ in _SIDES:
        parts += _outlined(ellipse(joints[f'{side}_ear'], (0.018, 0.024), 24), skin * 0.9, 0.005)
    parts += _outlined(place(ellipse((0, 0), (0.07, 0.085), 48)), skin)
    angles = np.linspace(np.pi, 2 * np.pi, 24)
    cap = np.stack([0.075 * np.cos(angles), 0.092 * np.sin(angles) - 0.012], 1)
    parts.append(Part(place(np.concatenate([cap, [[0.04, -0.045], [-0.04, -0.045]]])), colours['hair']))
    for side, _ in _SIDES:
        parts.append(Part(ellipse(joints[f'{side}_eye'], (0.016, 0.013), 20), np.full(3, 245.0)))
        parts.append(Part(ellipse(joints[f'{side}_eye'], (0.008, 0.01), 16), np.full(3, 20.0)))
    parts.append(Part(ellipse(joints['nose'], (0.009, 0.014), 16), skin * 0.7))
    mouth = joints['nose'] + tilt @ (0, 0.034)
    return [*parts, Part(bar(mouth - tilt @ (0.02, 0), mouth + tilt @ (0.02, 0), 0.01), np.array([60.0, 50.0, 130.0]))]


def _torso(joints: dict[str, np.ndarray]) -> np.ndarray:
    corners = [('left_shoulder', 0.04), ('right_shoulder', 0.04), ('left_hip', 0.05), ('right_hip', 0.05)]
    points = np.concatenate([ellipse(joints[name], (radius, radius), 24) for name, radius in corners])
    return cv2.convexHull(points.astype(np.float32))[:, 0].astype(float)


def _arm(side: str, joints: dict[str, np.ndarray], colours: dict[str, np.ndarray]) -> list[Part]:
    shoulder, elbow, wrist = (joints[f'{side}_{name}'] for name in ('shoulder', 'elbow', 'wrist'))
    hand = wrist + (wrist - elbow) * 0.15
    return [
        *_outlined(capsule(wrist, hand, 0.026, 0.024), colours['skin']),
        *_outlined(capsule(elbow, wrist, 0.034, 0.026), colours['forearm']),
        *_outlined(capsule(shoulder, elbow, 0.041, 0.034), colours['shirt']),
    ]


def _leg(side: str, sign: float, joints: dict[str, np.ndarray], colours: dict[str, np.ndarray]) -> list[Part]:
    hip, knee, ankle = (joints[f'{side}_{name}'] for name in ('hip', 'knee', 'ankle'))
    toe = ankle + (sign * 0.05, 0.035)
    return [
        *_outlined(capsule(knee, ankle, 0.044, 0.032), colours['shin']),
        *_outlined(capsule(ankle + (0, 0.02), toe, 0.034, 0.026), colours['shoe']),
        *_outlined(capsule(hip, knee, 0.058, 0.044), colours['trousers']),
    ]


def draw_person(rng: np.random.Generator) -> Drawing:
    """A random person without a size: pose, clothes, turn of the body, rotation (-20 to 20 degrees) and light.

    The keypoints are in COCO's order. Hidden are those that lie behind the person's own body: the ear that is turned
    away, and joints of an arm that is held behind the back.
    """
    joints, colours = _pose(rng), _clothes(rng)
    torso = _torso(joints)
    behind = {side: rng.random() < 0.25 for side, _ in _SIDES}
    arms = {side: _arm(side, joints, colours) for side, _ in _SIDES}
    legs = [part for side, sign in _SIDES for part in _leg(side, sign, joints, colours)]
    body = _outlined(torso, colours['shirt'])
    stripe = (
        joints['left_hip'] * 0.4 + joints['left_shoulder'] * 0.6,
        joints['right_hip'] * 0.4 + joints['right_shoulder'] * 0.6,
    )
    body.append(Part(bar(*stripe, rng.uniform(0.02, 0.05)), colours['trousers']))
    back = [part for side, _ in _SIDES if behind[side] for part in arms[side]]
    front = [part for side, _ in _SIDES if not behind[side] for part in arms[side]]
    parts = [*back, *legs, *body, *_head(joints, colours), *front]
    keypoints = np.stack([joints[name] for name in KEYPOINTS])
    hull = torso.astype(np.float32)
    hidden = np.zeros(len(KEYPOINTS), bool)
    for index, name in enumerate(KEYPOINTS):
        side, joint = name.split('_') if '_' in name else ('', name)
        if joint in ('elbow', 'wrist') and behind[side]:
            hidden[index] = cv2.pointPolygonTest(hull, keypoints[index].tolist(), False) >= 0
        elif joint == 'ear':
            # Turned by more than 20 degrees towards a side, the head hides that side's ear.
            hidden[index] = (joints['yaw'] > 20) if side == 'left' else (joints['yaw'] < -20)
    light = tuple(rng.uniform(-0.15, 0.15, 2).tolist())
    return Drawing(parts, light, keypoints, hidden).transformed(rotation(rng.uniform(-20, 20)))
