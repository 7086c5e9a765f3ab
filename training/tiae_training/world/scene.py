"""One scene: people with their hands and things in a room, seen by several cameras; the same for the same number.

World axes: z up, the table's top (if there is one) at z = 0, people at y > 0 who face -y.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tiae_ros.errors import ParameterError
from tiae_ros.vision.labels import HAND, OBJECT
from tiae_training.simulator.grasps import frame, tilt
from tiae_training.simulator.hand import JOINT_NAMES, MIDDLE_X, MIDDLE_Z_M

from . import cameras, surroundings
from .cameras import MOST_HEIGHT, MOST_WIDTH
from .clothes import draw_outfit, dressed
from .hand_poses import ALL_GRASPS, as_row, draw_free_pose
from .holding import Held, hold, hold_as
from .people import Person, draw_person
from .renderer import Camera, Light, Renderer, Solid, joined, look_at
from .skeleton import ArmPose, Skeleton, fingertips, hand_rest, hand_transforms, keypoints_of
from .things import draw_thing

Array = NDArray[np.float64]
X, Y, Z = np.eye(3)
_NEAREST_M = 0.12  # nothing stands so near the lens
LEAST_SHOWN_PX = 60


def check_drawn_from(people: tuple[int, int], things: tuple[int, int], grasps: tuple[str, ...]) -> None:
    """Raise ParameterError unless there is somebody, something and some grasp to draw."""
    for name, (first, end) in (("people", people), ("things", things)):
        if not 0 <= first < end:
            raise ParameterError(f"{name} {first}:{end} is empty; give FIRST:END with END > FIRST >= 0")
    unknown = [name for name in grasps if name not in ALL_GRASPS]
    if unknown or not grasps:
        raise ParameterError(f"unknown grasp {', '.join(unknown) or '(none given)'}; accepted: {', '.join(ALL_GRASPS)}")


@dataclass(frozen=True)
class WorldSettings:
    """What is drawn; every value is part of what makes the bytes."""

    seed: int = 0
    width: int = 640
    height: int = 480
    people: tuple[int, int] = (0, 100_000)  # first, one past the last
    things: tuple[int, int] = (0, 100_000)
    grasps: tuple[str, ...] = ALL_GRASPS
    scenes: int = 64  # of a shard
    views: int = 4  # pictures of each scene
    empty_share: float = 0.15  # of scenes without anybody's hand
    mujoco_share: float = 0.0  # of scenes that the other simulator draws (`grasp_scenes`)
    nearest_m: float = 0.28
    farthest_m: float = 1.3
    one_hand: bool = False  # always a hand in view, near the middle: for windows
    clean: bool = False  # no sensor noise

    def __post_init__(self) -> None:
        check_drawn_from(self.people, self.things, self.grasps)
        if not 0 < self.nearest_m < self.farthest_m:
            raise ParameterError(f"distances {self.nearest_m} to {self.farthest_m} m are no range")
        for name, low, high in (
            ("width", 32, MOST_WIDTH), ("height", 32, MOST_HEIGHT), ("scenes", 1, 10_000), ("views", 1, 1000),
            ("empty_share", 0, 1), ("mujoco_share", 0, 1),
        ):  # fmt: skip
            if not low <= getattr(self, name) <= high:
                raise ParameterError(f"{name} is {getattr(self, name)}; it must be within {low} to {high}")


@dataclass(frozen=True)
class HandTruth:
    """What is known of one hand in a picture."""

    number: int
    left: bool
    joints: Array  # (25,) rad, JOINT_NAMES
    tips_mm: Array  # (5, 3) thumb to little, palm frame (of a left hand its mirror image)
    view: Array  # (3,) unit, from the hand to the camera in the palm frame (of a left hand its mirror image)
    size_m: float  # wrist to the tip of the middle finger
    grasp: str  # a named grasp, a style of holding, or "free"
    holds: bool
    person: int
    thing: int  # number, -1 none or a named grasp's
    middle_px: tuple[float, float]  # between knuckles and wrist, where the palm is
    arm_px: tuple[float, float]  # unit direction from the hand to its arm
    distance_m: float
    shown_px: int  # pixels of hand that are seen
    keypoints: Array  # (21, 3) `simulator.hand.KEYPOINTS`: x, y in pixels, distance along the camera's axis in metres


@dataclass(frozen=True)
class Frame:
    """One picture with its truth."""

    rgb: NDArray[np.uint8]  # (H, W, 3)
    depth_m: NDArray[np.float32]  # (H, W), NaN nothing
    clean_depth_m: NDArray[np.float32]  # (H, W)
    labels: NDArray[np.uint8]  # (H, W) 0 other, 1 hand, 2 held, 3 arm or sleeve
    owner: NDArray[np.uint8]  # (H, W) number + 1 of the hand to which a pixel belongs, 0 none
    hands: tuple[HandTruth, ...]
    k: Array  # (3, 3)
    sensor: str
    offset_px: tuple[int, int]  # of depth beside colour


@dataclass
class Body:
    person: Person
    skeleton: Skeleton
    origin: Array  # (3,) of the body's axes in the world
    turn: Array  # (3, 3) body -> world


@dataclass
class PosedHand:
    number: int
    body: Body
    side: str
    row: Array  # joints
    held: Held | None
    grasp: str
    thing: int


def frames_of_scene(settings: WorldSettings, number: int, renderer: Renderer) -> Iterator[Frame]:
    """All views of scene `number`; depends on nothing but the settings and the number."""
    rng = np.random.default_rng([settings.seed, number, 31])
    solids: list[Solid] = []
    hands: list[PosedHand] = []
    bodies: list[Body] = []
    shown: list[PosedHand] = []  # at which cameras look
    has_table = rng.random() < 0.75
    if settings.one_hand or rng.random() >= settings.empty_share:
        count = 1 if settings.one_hand or rng.random() < 0.88 else 2
        for which in range(count):
            _add_person(settings, rng, which, has_table, solids, hands, bodies)
        shown = hands
    elif rng.random() < 0.6:  # somebody whose hands nobody looks for; where they come into view, they are hands
        _add_person(settings, rng, 0, has_table, solids, hands, bodies, busy_hands=False)
    points = _hand_points(hands)
    focus = points.mean(axis=0) if shown else rng.uniform([-0.2, -0.5, 0.0], [0.2, -0.2, 0.2])
    pictures = renderer.pictures
    solids += surroundings.room(rng, pictures)
    if has_table:
        solids += surroundings.table(rng, pictures)
        count = int(rng.integers(0, 9) * (0.4 if settings.one_hand else 1))
        solids += surroundings.clutter(rng, count, focus, 0.22, points, settings.things)
    solids += surroundings.furniture(rng, pictures, focus, 0.35)
    if rng.random() < 0.15:
        solids += surroundings.robot_arm(rng, focus + rng.normal(0, 0.22, 3) * [1, 1, 0.5] + [0, 0, 0.1])
    if rng.random() < 0.3:
        solids += surroundings.deceiving_shapes(rng, focus)
    renderer.put(joined(solids))
    for _ in range(settings.views):
        frame_ = _view(settings, rng, renderer, hands, shown, bodies, focus)
        if frame_ is not None:
            yield frame_


def _hand_points(hands: list[PosedHand]) -> Array:
    """(N, 3) joints and tips of all hands in the world, to keep other things away."""
    points = []
    for hand in hands:
        axes, wrist = hand.body.skeleton.palms[hand.side]
        mirror = np.array([-1.0 if hand.side == "L" else 1.0, 1, 1])
        rest = hand_rest(hand.body.person, hand.side)
        turns, heads = hand_transforms(rest, {n: hand.row[None, i] for i, n in enumerate(JOINT_NAMES)})
        local = np.concatenate([heads[0], fingertips(rest, turns, heads)[0], [[-0.06, 0, 0]]])
        points.append(((local @ axes.T + wrist) * mirror) @ hand.body.turn.T + hand.body.origin)
    return np.concatenate(points) if points else np.zeros((0, 3))


def _add_person(
    settings: WorldSettings,
    rng: np.random.Generator,
    which: int,
    has_table: bool,
    solids: list[Solid],
    hands: list[PosedHand],
    bodies: list[Body],
    *,
    busy_hands: bool = True,
) -> None:
    person = draw_person(int(rng.integers(*settings.people)))
    skeleton = Skeleton.at_rest(person)
    shoulder = person.heads[person.rig.number("upperarm01.R")]
    # Seated or standing; the torso leans a little.
    height = rng.uniform(0.30, 0.48) if rng.random() < 0.6 else rng.uniform(0.45, 0.7)
    if person.hand_length_m < 0.15:
        height = rng.uniform(0.2, 0.4)
    lean = rng.normal(0.08, 0.12)
    skeleton.turn("spine05", _about(X, lean))
    skeleton.turn("neck01", _about(X, rng.normal(0.25, 0.2)))
    if height < 0.5:
        for side in ("R", "L"):  # thighs forward: a lap
            skeleton.turn(f"upperleg01.{side}", _about(X, -rng.uniform(1.2, 1.5)))
            skeleton.turn(f"lowerleg01.{side}", _about(X, rng.uniform(1.0, 1.5)))
    turn = _about(Z, rng.normal(0, 0.2) + (0 if which == 0 else rng.choice([np.pi, np.pi / 2, -np.pi / 2, 0.3])))
    origin = np.array([rng.normal(0, 0.1), 0.10, height - shoulder[2]])
    if which:
        origin = origin + turn @ np.array([rng.normal(0, 0.2), rng.uniform(0.4, 0.8), 0])
    body = Body(person, skeleton, origin, turn)
    sides = ["R", "L"] if rng.random() < 0.5 else ["L", "R"]
    numbers: dict[str, int] = {}
    held_things: list[tuple[Held, str, int]] = []
    for order, side in enumerate(sides):
        busy = busy_hands and (order == 0 or rng.random() < 0.6)
        hanging = not busy
        arm, free = _draw_arm(rng, body, side, hanging, has_table, settings.one_hand)
        grasp, held, thing, row = "free", None, -1, None
        if not hanging:
            held, grasp, thing = draw_held(rng, person, side, settings.grasps, settings.things)
        if held is not None:
            row = as_row(held.pose)
        else:
            row = as_row(draw_free_pose(rng, hand_rest(person, side), settings.grasps))
        pose = {name: float(row[i]) for i, name in enumerate(JOINT_NAMES)}
        pose["wrist_flexion"], pose["wrist_deviation"] = arm.wrist_flexion, arm.wrist_deviation
        skeleton.reach(side, arm, pose)
        if has_table and not hanging and not free:
            _onto_table(rng, body, side, arm, pose, held)
        number = len(hands)
        numbers[side] = number
        hands.append(PosedHand(number, body, side, as_row(pose), held, grasp, thing))
        if held is not None and held.thing.parts:
            held_things.append((held, side, number))
    vertices, normals = skeleton.skin()
    places = (vertices @ turn.T + origin).astype(np.float32)
    solids += dressed(person, draw_outfit(rng), places, (normals @ turn.T).astype(np.float32), numbers)
    for held, side, number in held_things:
        solids.append(thing_in_hand(rng, body, side, held, 10 * (number + 1) + OBJECT if held.touching else 0.0))
    bodies.append(body)


def _about(axis: Array, angle: float) -> Array:
    from .skeleton import rotation_about

    return np.asarray(rotation_about(axis, angle))


def _draw_arm(
    rng: np.random.Generator, body: Body, side: str, hanging: bool, has_table: bool, one_hand: bool
) -> tuple[ArmPose, bool]:
    """Where the hand is, in the body's axes (of a left arm mirrored), and whether it stays in the air."""
    mirror = np.array([-1.0 if side == "L" else 1.0, 1, 1])
    number = body.person.rig.number
    shoulder = body.skeleton.heads[number(f"upperarm01.{side}")] * mirror
    reach = float(np.linalg.norm(body.person.heads[number("wrist.R")] - body.person.heads[number("upperarm01.R")]))
    flexion, deviation = rng.normal(0, 0.3), rng.normal(0, 0.13)
    flexion, deviation = float(np.clip(flexion, -0.9, 1.0)), float(np.clip(deviation, -0.45, 0.3))
    if hanging:
        lap = rng.random() < 0.4
        wrist = np.array([-0.10, -0.30, -0.40]) if lap else np.array([-0.08, 0.0, -1.0])
        wrist = shoulder + wrist * reach + rng.normal(0, 0.03, 3)
        return ArmPose(wrist, rng.normal(0.5, 0.3), rng.uniform(-0.8, 0.8), flexion, deviation), True
    across, ahead = rng.uniform(-0.45, 0.75), rng.uniform(0.35, 0.95)
    free = not has_table or rng.random() < 0.45
    up = rng.uniform(-0.75, 0.35) if free else -0.6
    wrist = shoulder + reach * np.array([across, -ahead, up])
    return ArmPose(wrist, rng.normal(0.5, 0.4), rng.uniform(-1.5, 1.5), flexion, deviation), free


def draw_held(
    rng: np.random.Generator, person: Person, side: str, grasps: tuple[str, ...], things: tuple[int, int]
) -> tuple[Held | None, str, int]:
    """A named grasp, a generated thing, or nothing; sometimes the hand is still about to take it."""
    kind = rng.random()
    moment = 1.0 if rng.random() < 0.82 else float(rng.uniform(0.1, 0.9))
    if kind < 0.34:
        name = str(rng.choice(grasps))
        shown = hold_as(person, side, name, rng, moment=moment)
        return shown, name if shown.touching or moment >= 1 else "free", -1
    if kind < 0.70:
        number = int(rng.integers(*things))
        held = hold(person, side, draw_thing(number), rng, moment=moment)
        if held is not None:
            return held, held.grasp if held.touching else "free", number
    return None, "free", -1


def _onto_table(
    rng: np.random.Generator, body: Body, side: str, arm: ArmPose, pose: dict[str, float], held: Held | None
) -> None:
    """Bring the hand down onto the table, or a little above it; a bare hand sometimes lies flat."""
    skeleton = body.skeleton
    if held is None and rng.random() < 0.35:
        ahead = skeleton.palms[side][0][:, 0] * [1, 1, 0]
        down = rng.random() < 0.75
        axes = frame(Z if down else -Z, ahead / np.linalg.norm(ahead))  # columns x, y, z of frame: hint, cross, z
        palm = np.stack([axes[:, 0], np.cross(axes[:, 2], axes[:, 0]), axes[:, 2]], axis=1)
        arm = ArmPose(arm.wrist, arm.swivel, arm.pronation, palm_axes=palm @ tilt(rng, 5))
    for _ in range(2):
        skeleton.reach(side, arm, pose)
        lowest = _lowest_z(body, side, held)
        wanted = 0.003 if rng.random() < 0.6 else rng.uniform(0.003, 0.2)
        arm = ArmPose(
            arm.wrist + (wanted - lowest) * Z,
            arm.swivel,
            arm.pronation,
            arm.wrist_flexion,
            arm.wrist_deviation,
            arm.palm_axes,
        )
    skeleton.reach(side, arm, pose)


def _lowest_z(body: Body, side: str, held: Held | None) -> float:
    """Of hand and thing in the world."""
    vertices, _ = body.skeleton.skin()
    own = body.person.rig.vertices_of("wrist", "metacarpal", "finger", "lowerarm02", side=side)
    lowest = float(vertices[own][:, 2].min())
    if held is not None and held.thing.parts:
        rotation, place = _thing_pose(body, side, held)
        corners = np.concatenate([part.shape.vertices for part in held.thing.parts]) * held.thing.scale
        lowest = min(lowest, float((corners @ rotation.T + place)[:, 2].min()))
    return lowest + float(body.origin[2])


def _thing_pose(body: Body, side: str, held: Held) -> tuple[Array, Array]:
    """Rotation (a mirror image in a left hand) and place of a held thing in the body's axes."""
    axes, wrist = body.skeleton.palms[side]
    mirror = np.diag([-1.0 if side == "L" else 1.0, 1, 1])
    return mirror @ axes @ held.rotation, mirror @ (wrist + axes @ held.place)


def thing_in_hand(rng: np.random.Generator, body: Body, side: str, held: Held, code: float) -> Solid:
    rotation, place = _thing_pose(body, side, held)
    return held.thing.solid(rng, code).moved(body.turn @ rotation, body.turn @ place + body.origin)


def draw_light(rng: np.random.Generator) -> Light:
    """Lamps and sky of many colours; one of them casts shadows."""
    warmth = rng.normal(0, 0.18, 3)

    def color(strength: float, warm: float) -> Array:
        return strength * np.clip(np.array([1 + warm, 1.0, 1 - warm]) + rng.normal(0, 0.03, 3), 0.2, 2)

    toward = rng.normal(0, 1, (3, 3))
    toward[:, 2] = np.abs(toward[:, 2]) + 0.15
    toward /= np.linalg.norm(toward, axis=1, keepdims=True)
    strengths = np.array([rng.uniform(0.1, 0.9), rng.uniform(0, 0.4), rng.uniform(0, 0.25)])
    return Light(
        color(rng.uniform(0.12, 0.45), warmth[0]).astype(np.float32),
        color(rng.uniform(0.0, 0.35), warmth[1]).astype(np.float32),
        toward.astype(np.float32),
        np.stack([color(s, warmth[2]) for s in strengths]).astype(np.float32),
        float(rng.uniform(0.3, 1.0)) if rng.random() < 0.85 else 0.0,
    )


def _draw_camera(
    settings: WorldSettings, rng: np.random.Generator, hands: list[PosedHand], bodies: list[Body], focus: Array
) -> tuple[Camera, Array]:
    target = focus
    if hands:
        hand = hands[int(rng.integers(len(hands)))] if not settings.one_hand else hands[0]
        axes, wrist = hand.body.skeleton.palms[hand.side]
        mirror = np.array([-1.0 if hand.side == "L" else 1.0, 1, 1])
        middle = ((axes @ np.array([0.09, 0, -0.02]) + wrist) * mirror) @ hand.body.turn.T + hand.body.origin
        target = middle + rng.normal(0, 0.03, 3)
    focal = settings.width * (rng.uniform(0.75, 1.0) if rng.random() < 0.85 else rng.uniform(0.5, 0.75))
    kind = rng.random()
    near, far = settings.nearest_m, settings.farthest_m
    distance = rng.uniform(near, far) if rng.random() < 0.7 else rng.uniform(near, 0.5 * (near + far))
    if bodies and kind < 0.22:  # from the head, or over the shoulder
        body = bodies[0]
        eye_of = body.skeleton.heads[body.person.rig.number("head")] + [
            rng.normal(0, 0.1),
            -0.14,
            rng.uniform(0.05, 0.25),
        ]
        eye = body.turn @ eye_of + body.origin
        way = eye - target
        eye = target + way / np.linalg.norm(way) * float(np.clip(np.linalg.norm(way), near, far))
    else:
        elevation = np.arcsin(rng.uniform(np.sin(-0.15), 1.0))
        if kind < 0.42:
            elevation = rng.uniform(1.1, 1.55)  # from above
        azimuth = rng.uniform(-np.pi, np.pi)
        way = np.array([np.sin(azimuth) * np.cos(elevation), -np.cos(azimuth) * np.cos(elevation), np.sin(elevation)])
        eye = target + distance * way
    roll = rng.normal(0, 0.15) if rng.random() < 0.6 else rng.uniform(-np.pi, np.pi)
    camera = Camera(look_at(eye, target, roll), eye, float(focal), settings.width, settings.height)
    # The target may lie anywhere in the picture, now and then at its border.
    reach = 0.28 if settings.one_hand else (0.42 if rng.random() < 0.85 else 0.52)
    off = rng.uniform(-reach, reach, 2) * [settings.width, settings.height]
    turn_x, turn_y = np.arctan2(off[0], focal), np.arctan2(off[1], focal)
    axes = _about(X, turn_y) @ _about(Y, -turn_x) @ camera.axes
    return Camera(axes, eye, float(focal), settings.width, settings.height), target


def _view(
    settings: WorldSettings,
    rng: np.random.Generator,
    renderer: Renderer,
    hands: list[PosedHand],
    shown: list[PosedHand],
    bodies: list[Body],
    focus: Array,
) -> Frame | None:
    for _ in range(4):
        camera, target = _draw_camera(settings, rng, shown, bodies, focus)
        rgb, depth, codes = renderer.draw(camera, draw_light(rng), target)
        if (depth < _NEAREST_M).mean() < 0.01 and (depth < 0.6 * settings.nearest_m).mean() < 0.3:
            break
    else:
        return None
    labels = (codes % 10).astype(np.uint8)
    owner = (codes // 10).astype(np.uint8)
    known = [truth_of(hand, camera, int(((labels == HAND) & (owner == hand.number + 1)).sum())) for hand in hands]
    seen = tuple(truth for truth in known if truth is not None and truth.shown_px >= LEAST_SHOWN_PX)
    sensor, offset = "none", (0, 0)
    color, read = rgb, depth
    if not settings.clean:
        sensor = cameras.FAMILIES[int(rng.integers(len(cameras.FAMILIES)))]
        color = cameras.color_picture(rgb, rng)
        read = cameras.depth_picture(depth, color, camera.focal_px, sensor, rng)
        if rng.random() < 0.05 and not settings.one_hand:
            read, offset = cameras.unregistered(read, rng, 30.0 * settings.width / 640)
    return Frame(color, read, depth, labels, owner, seen, camera.k, sensor, offset)


def truth_of(hand: PosedHand, camera: Camera, shown: int) -> HandTruth | None:
    axes, wrist = hand.body.skeleton.palms[hand.side]
    mirror = np.array([-1.0 if hand.side == "L" else 1.0, 1, 1])
    turn, origin = hand.body.turn, hand.body.origin
    rest = hand_rest(hand.body.person, hand.side)
    turns, heads = hand_transforms(rest, {n: hand.row[None, i] for i, n in enumerate(JOINT_NAMES)})
    tips = fingertips(rest, turns, heads)[0]
    size = hand.body.person.hand_length_m

    def world(points: Array) -> Array:
        return ((points @ axes.T + wrist) * mirror) @ turn.T + origin

    places = world(np.array([[MIDDLE_X * size, 0, MIDDLE_Z_M], [-0.10, 0, 0]]))
    pixels = camera.pixels(places)
    if pixels[0, 2] < 0.05:
        return None
    eye = ((camera.place - places[0]) @ turn) * mirror @ axes
    arm = pixels[1, :2] - pixels[0, :2]
    arm = arm / max(float(np.linalg.norm(arm)), 1e-9)
    return HandTruth(
        number=hand.number,
        left=hand.side == "L",
        joints=hand.row,
        tips_mm=1000 * tips,
        view=eye / np.linalg.norm(eye),
        size_m=size,
        grasp=hand.grasp,
        holds=bool(hand.held is not None and hand.held.touching and hand.held.thing.parts),
        person=hand.body.person.number,
        thing=hand.thing,
        middle_px=(float(pixels[0, 0]), float(pixels[0, 1])),
        arm_px=(float(arm[0]), float(arm[1])),
        distance_m=float(pixels[0, 2]),
        shown_px=shown,
        keypoints=camera.pixels(world(keypoints_of(heads[0], tips))),
    )


def pieces_of_photographs(folder: str | None = None) -> NDArray[np.uint8] | None:
    """(N, 256, 256, 3) pieces to hang on walls; those that scikit-image and scikit-learn carry, when they are there."""
    import tempfile
    from pathlib import Path

    from tiae_ros.errors import TiaeError
    from tiae_training.simulator.photographs import collect_photographs, load_photographs

    try:
        if folder is None:
            with tempfile.TemporaryDirectory() as place:
                collect_photographs(Path(place))
                pictures = load_photographs(place)
        else:
            pictures = load_photographs(folder)
    except TiaeError:
        return None
    pieces = []
    for picture in pictures:
        side = min(picture.shape[:2])
        for left in {0, picture.shape[1] - side}:
            square = picture[:side, left : left + side] if picture.shape[0] == side else picture[-side:, :side]
            pieces.append(cv2.resize(np.ascontiguousarray(square), (256, 256), interpolation=cv2.INTER_AREA))
    return np.stack(pieces)
