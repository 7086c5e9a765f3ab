"""The room behind a hand: table, walls, clutter, lights, surfaces. Everything is redrawn for every picture.

The room is one movable body whose z axis points up; the hand stays where it is (see `grasping`).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from .rendering import import_mujoco

if TYPE_CHECKING:
    from .grasping import Stage

TEXTURE_SIZE = 128
_SURFACES = ("skin", "cloth", "thing0", "thing1", "thing2", "table", "wall", "clutter")
_CLUTTER_KINDS = ("box",) * 5 + ("cylinder",) * 4 + ("ellipsoid",) * 3 + ("capsule",) * 2
_FIXTURES = ("table", "back_wall", "left_wall", "right_wall", "floor")


def _room_assets() -> str:
    parts = []
    for name in _SURFACES:
        repeat = "2 2" if name in ("table", "wall") else "1 1"
        parts.append(
            f'<texture name="{name}" type="2d" builtin="flat" rgb1="1 1 1" width="{TEXTURE_SIZE}" '
            f'height="{TEXTURE_SIZE}"/>'
            f'<material name="{name}" texture="{name}" texrepeat="{repeat}" specular="0.2" shininess="0.2"/>'
        )
    return "".join(parts)


def _room_world() -> str:
    plain = 'contype="0" conaffinity="0" mass="0"'
    fixtures = "".join(
        f'<geom name="room_{name}" type="box" size="1 1 0.02" pos="0 0 -5" quat="0.9 0.1 0.1 0.1" {plain} '
        f'material="{"table" if name == "table" else "wall"}"/>'
        for name in _FIXTURES
    )
    clutter = "".join(
        f'<geom name="clutter_{number}" type="{kind}" size="0.05 0.05 0.05" pos="0 0 -5" quat="0.9 0.1 0.1 0.1" '
        f'{plain} material="clutter"/>'
        for number, kind in enumerate(_CLUTTER_KINDS)
    )
    lights = "".join(
        f'<light name="lamp_{number}" pos="0 0 2" dir="0 0 -1" directional="true" castshadow="false"/>'
        for number in range(2)
    )
    return f'<camera name="view" pos="0 0 1"/>{lights}<body name="room" mocap="true">{fixtures}{clutter}</body>'


ROOM_MJCF_ASSETS = _room_assets()
ROOM_MJCF_WORLD = _room_world()


@lru_cache(maxsize=1)
def surface_patterns() -> np.ndarray:
    """(P, T, T, 3) uint8 patterns, always the same: cloth, wood, print, posters, speckles, plain."""
    rng = np.random.default_rng(7)
    return np.stack([_pattern(rng, number) for number in range(40)])


def _smooth_noise(rng: np.random.Generator, cells: int) -> np.ndarray:
    small = rng.random((cells, cells)).astype(np.float32)
    return cv2.resize(small, (TEXTURE_SIZE, TEXTURE_SIZE), interpolation=cv2.INTER_CUBIC)


def _pattern(rng: np.random.Generator, number: int) -> np.ndarray:
    size = TEXTURE_SIZE
    cloud = sum(_smooth_noise(rng, 2**level) / level for level in range(2, 6)) / 1.3
    rows, columns = np.mgrid[0:size, 0:size].astype(np.float32)
    kind = number % 8
    if kind == 0:  # nearly plain
        grey = 0.85 + 0.12 * cloud
    elif kind == 1:  # wood
        grey = 0.65 + 0.3 * np.sin((rows + 25 * cloud) * rng.uniform(0.2, 0.8)) * 0.5 + 0.1 * rng.random((size, size))
    elif kind == 2:  # stripes
        grey = 0.6 + 0.4 * (np.sin(columns * rng.uniform(0.15, 0.6)) > 0)
    elif kind == 3:  # checks
        step = int(rng.integers(8, 32))
        grey = 0.5 + 0.5 * (((rows // step) + (columns // step)) % 2)
    elif kind == 4:  # print: lines of short dark strokes
        page = np.ones((size, size), np.float32)
        for top in range(6, size - 6, 9):
            for left in range(6, size - 8, 6):
                if rng.random() < 0.75:
                    page[top : top + 5, left : left + int(rng.integers(2, 5))] = 0.25
        grey = page
    elif kind == 5:  # speckles
        grey = 0.5 + 0.5 * cloud * (rng.random((size, size)) > 0.3)
    else:  # a poster of coloured patches
        canvas = np.empty((size, size, 3), np.float32)
        canvas[:] = rng.random(3)
        for _ in range(int(rng.integers(6, 25))):
            corners = rng.integers(-20, size + 20, (int(rng.integers(3, 6)), 2)).astype(np.int32)
            cv2.fillConvexPoly(canvas, cv2.convexHull(corners), rng.random(3).tolist())
        canvas = 0.25 + 0.75 * canvas * (0.7 + 0.3 * cloud[..., None])
        return (np.clip(canvas, 0, 1) * 255).astype(np.uint8)
    return (np.clip(np.repeat(grey[..., None], 3, axis=2), 0, 1) * 255).astype(np.uint8)


def dress(
    stage: Stage, colours: list[np.ndarray], cloth: np.ndarray, rng: np.random.Generator, glove_share: float
) -> list[int]:
    """Colours and textures for hand and things; returns the numbers of the textures that changed."""
    model = stage.model
    glove = rng.random() < glove_share
    skin = np.clip(np.array(stage.subject.skin) * rng.uniform(0.9, 1.08), 0, 1)
    for number in stage.hand_geoms:
        name = model.geom(number).name
        if "sleeve" in name:
            model.geom_rgba[number, :3] = cloth
        elif "nail" not in name:
            model.geom_rgba[number, :3] = cloth if glove else np.clip(skin + rng.normal(0, 0.008), 0, 1)
    for number in range(model.nskin):
        model.skin_rgba[number, :3] = cloth if glove or model.skin(number).name == "sleeve" else skin
    for geoms, paints in zip([*stage.things, *stage.bystanders], colours, strict=True):
        for number in geoms:
            paint = int(model.mat(model.geom_matid[number]).name[-1])
            model.geom_rgba[number, :3] = paints[paint]
    return [_cover(model, name, rng) for name in ("skin", "cloth", "thing0", "thing1")]


def paint_room(stage: Stage, rng: np.random.Generator) -> list[int]:
    """Colours and textures for walls, table and clutter; returns the numbers of the textures that changed."""
    model = stage.model
    for name in (*(f"room_{fixture}" for fixture in _FIXTURES), *(f"clutter_{n}" for n in range(len(_CLUTTER_KINDS)))):
        saturation = rng.random() ** 2  # most things in rooms are rather grey
        base = (1 - saturation) * rng.random() * rng.uniform(0.9, 1.0, 3) + saturation * rng.random(3)
        model.geom_rgba[model.geom(name).id, :3] = np.clip(0.15 + 0.9 * base, 0, 1)
    for material in range(model.nmat):
        model.mat_specular[material] = rng.uniform(0.0, 0.7)
        model.mat_shininess[material] = rng.uniform(0.05, 0.8)
    return [_cover(model, name, rng) for name in ("table", "wall", "clutter")]


def wall_geoms(model: Any) -> list[int]:
    """Numbers of the geoms far behind: walls and floor, not the table."""
    return [int(model.geom(f"room_{fixture}").id) for fixture in _FIXTURES if fixture != "table"]


def _cover(model: Any, name: str, rng: np.random.Generator) -> int:
    """Give one texture a new pattern; returns its number."""
    patterns = surface_patterns()
    pattern = patterns[rng.integers(len(patterns))]
    if name == "skin":
        pattern = patterns[8 * rng.integers(5)]  # the nearly plain ones
    elif name.startswith("thing") and rng.random() < 0.6:
        pattern = np.full_like(pattern, 255)
    texture = int(model.texture(name).id)
    start = model.tex_adr[texture]
    model.tex_data[start : start + pattern.size] = pattern.reshape(-1)
    return texture


def light(model: Any, rng: np.random.Generator) -> None:
    """Two lamps and the light from everywhere, of changing strength and colour."""
    warmth = np.array([1.0, rng.uniform(0.82, 1.0), rng.uniform(0.65, 1.05)])
    for lamp in range(model.nlight):
        direction = rng.normal(size=3)
        model.light_dir[lamp] = direction / np.linalg.norm(direction)
        model.light_diffuse[lamp] = rng.uniform(0.1, 0.6) * warmth
        model.light_specular[lamp] = rng.uniform(0.0, 0.3)
    model.vis.headlight.ambient[:] = rng.uniform(0.25, 0.5) * warmth
    model.vis.headlight.diffuse[:] = rng.uniform(0.05, 0.4) * warmth


def _place(model: Any, name: str, position: np.ndarray, size: tuple[float, ...], quaternion: np.ndarray) -> None:
    geom = model.geom(name).id
    model.geom_pos[geom] = position
    model.geom_size[geom] = (*size, *([0.0] * (3 - len(size))))
    model.geom_quat[geom] = quaternion


def _yaw(angle: float) -> np.ndarray:
    return np.array([np.cos(angle / 2), 0.0, 0.0, np.sin(angle / 2)])


def furnish(
    stage: Stage,
    spheres: tuple[np.ndarray, np.ndarray],
    camera: np.ndarray,
    target: np.ndarray,
    rng: np.random.Generator,
    *,
    table_gap_m: float | None = None,
    occluders: int = 0,
) -> None:
    """Set table, walls, bystanders and clutter in the room's frame, touching neither the hand nor its view.

    Only `occluders` pieces of the clutter stand in the way of the view.

    spheres: centres (S, 3) and radii (S,) that hold the hand and the thing; camera, target (3,): in the room's frame.
    """
    model = stage.model
    centres, radii = spheres
    lowest = float((centres[:, 2] - radii).min())
    table_here = rng.random() < 0.8
    gap = rng.uniform(0.0, 0.03) if rng.random() < 0.3 else rng.uniform(0.03, 0.35)
    if table_gap_m is not None:
        table_here, gap = True, table_gap_m
    table = min(lowest - gap, camera[2] - 0.08)
    floor = table - rng.uniform(0.5, 0.8)
    away = target[:2] - camera[:2]
    heading = float(np.arctan2(away[1], away[0])) + rng.uniform(-0.3, 0.3)
    forward = np.array([np.cos(heading), np.sin(heading)])
    side = np.array([-forward[1], forward[0]])
    far = rng.uniform(0.45, 2.5)
    table_depth = min(rng.uniform(0.3, 0.9), far)
    middle = np.append(target[:2] + forward * (table_depth - 0.6), table - 0.02)
    if not table_here:
        middle[2] = -20.0
    _place(model, "room_table", middle, (0.6, rng.uniform(0.5, 1.2), 0.02), _yaw(heading))
    _place(model, "room_floor", np.append(target[:2], floor), (4.0, 4.0, 0.02), _yaw(heading))
    _place(model, "room_back_wall", np.append(target[:2] + forward * far, 0.0), (0.02, 4.0, 3.0), _yaw(heading))
    for name, sign in (("room_left_wall", 1), ("room_right_wall", -1)):
        offset = sign * rng.uniform(0.6, 2.5)
        _place(model, name, np.append(target[:2] + side * offset, 0.0), (4.0, 0.02, 3.0), _yaw(heading))
    for geoms in stage.bystanders:
        around = forward * rng.uniform(-0.1, 0.35) + side * rng.uniform(-0.35, 0.35)
        place = np.append(target[:2] + around, table if table_here else target[2] + rng.uniform(-0.2, 0.2))
        _stand(stage, geoms, place, rng.uniform(0, 6.3), camera, centres, radii)
    for number, kind in enumerate(_CLUTTER_KINDS):
        name = f"clutter_{number}"
        size = _clutter_size(kind, rng)
        if number < occluders:
            size = tuple(0.4 * value for value in size)
            place = camera + rng.uniform(0.35, 0.8) * (target - camera) + rng.normal(0, 0.05, 3)
            _place(model, name, place, size, _any_turn(rng))
            continue
        for _ in range(4):
            place = target + np.append(
                forward * rng.uniform(-0.15, min(far, 0.9)) + side * rng.uniform(-0.55, 0.55), 0.0
            )
            stands = table_here and rng.random() < 0.7
            place[2] = table + size[-1] if stands else target[2] + rng.uniform(-0.4, 0.4)
            reach = float(np.linalg.norm(size)) if kind != "capsule" else size[0] + size[1]
            if _clear(place, reach, camera, centres, radii):
                quaternion = _yaw(rng.uniform(0, 3)) if stands else _any_turn(rng)
                _place(model, name, place, size, quaternion)
                break
        else:
            _place(model, name, np.array([0.0, 0.0, -20.0]), size, _yaw(0.0))


def _stand(
    stage: Stage,
    geoms: np.ndarray,
    place: np.ndarray,
    turn: float,
    camera: np.ndarray,
    centres: np.ndarray,
    radii: np.ndarray,
) -> None:
    """Put a bystander on its place in the room, or far away when it would be in the way."""
    model, data = stage.model, stage.data
    body = int(model.geom_bodyid[geoms[0]])
    room_rotation = _matrix(data.mocap_quat[model.body("room").mocapid[0]])
    rotation = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1.0]])
    middles = model.geom_pos[geoms] @ rotation.T
    boxes = np.stack([np.abs(rotation @ _matrix(model.geom_quat[g])) @ model.geom_aabb[g, 3:] for g in geoms])
    position = place - np.array([0.0, 0.0, (middles - boxes)[:, 2].min()])
    reach = model.geom_rbound[geoms]
    if not all(_clear(position + m, float(r), camera, centres, radii) for m, r in zip(middles, reach, strict=True)):
        position = np.array([0.0, 0.0, -20.0])
    mocap = int(model.body_mocapid[body])
    data.mocap_pos[mocap] = room_rotation @ position
    data.mocap_quat[mocap] = _quaternion(room_rotation @ rotation)


def _matrix(quaternion: np.ndarray) -> np.ndarray:
    matrix = np.zeros(9)
    import_mujoco().mju_quat2Mat(matrix, np.ascontiguousarray(quaternion))
    return matrix.reshape(3, 3)


def _quaternion(rotation: np.ndarray) -> np.ndarray:
    quaternion = np.zeros(4)
    import_mujoco().mju_mat2Quat(quaternion, np.ascontiguousarray(rotation).reshape(9))
    return quaternion


def _clutter_size(kind: str, rng: np.random.Generator) -> tuple[float, ...]:
    small = rng.random() < 0.5
    top = 0.05 if small else 0.12
    if kind in ("box", "ellipsoid"):
        return tuple(rng.uniform(0.012, top, 3).tolist())
    return (float(rng.uniform(0.01, 0.05)), float(rng.uniform(0.03, top)))


def _any_turn(rng: np.random.Generator) -> np.ndarray:
    quaternion = rng.normal(size=4)
    return quaternion / np.linalg.norm(quaternion)


def _clear(place: np.ndarray, reach: float, camera: np.ndarray, centres: np.ndarray, radii: np.ndarray) -> bool:
    """Neither inside the hand's spheres nor between them and the camera."""
    rays = centres - camera
    share = np.clip(((place - camera) * rays).sum(1) / (rays * rays).sum(1), 0.0, 1.0)
    nearest = camera + share[:, None] * rays
    return bool((np.linalg.norm(place - nearest, axis=1) > reach + radii + 0.004).all())
