"""Triangles -> colour, depth and what each pixel shows, by OpenGL without a screen (moderngl; EGL, software or GPU).

Camera axes: x right, y down, z ahead, metres; pixel centres at integers.
"""

from __future__ import annotations

import contextlib
import importlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiae_ros.errors import MissingExtraError, install_hint

Floats = NDArray[np.float32]
NEAR_M, FAR_M = 0.05, 12.0
_SHADOW_PX = 768
_PICTURE_PX = 256  # side of the photographs that can be hung

PLAIN, GRAIN, CHECKER, STRIPES, PICTURE = range(5)

_VERTEX = """#version 330
in vec3 place; in vec3 normal; in vec3 color; in vec3 pattern_place; in vec4 material; in float code;
uniform mat4 camera; uniform mat4 lamp;
out vec3 at; out vec3 facing; out vec3 paint; out vec3 grain; out vec4 look; flat out float shown; out vec4 lit;
void main() {
    gl_Position = camera * vec4(place, 1.0);
    at = place; facing = normal; paint = color; grain = pattern_place; look = material; shown = code;
    lit = lamp * vec4(place, 1.0);
}"""

_FRAGMENT = """#version 330
in vec3 at; in vec3 facing; in vec3 paint; in vec3 grain; in vec4 look; flat in float shown; in vec4 lit;
uniform vec3 eye; uniform vec3 ahead; uniform vec3 ambient; uniform vec3 sky;
uniform vec3 toward[3]; uniform vec3 strength[3]; uniform float shade;
uniform sampler2D shadow; uniform sampler2DArray pictures;
layout(location=0) out vec4 out_color; layout(location=1) out vec2 out_depth;
float hash(vec3 p) { p = fract(p * 0.3183099 + 0.1); p *= 17.0; return fract(p.x * p.y * p.z * (p.x + p.y + p.z)); }
float noise(vec3 x) {
    vec3 i = floor(x), f = fract(x); f = f * f * (3.0 - 2.0 * f);
    return mix(mix(mix(hash(i), hash(i + vec3(1,0,0)), f.x),
                   mix(hash(i + vec3(0,1,0)), hash(i + vec3(1,1,0)), f.x), f.y),
               mix(mix(hash(i + vec3(0,0,1)), hash(i + vec3(1,0,1)), f.x),
                   mix(hash(i + vec3(0,1,1)), hash(i + vec3(1,1,1)), f.x), f.y), f.z);
}
void main() {
    vec3 base = paint; vec3 p = grain * look.y; float s = look.z; int kind = int(look.x + 0.5);
    if (kind == 0) { base *= 1.0 + s * (noise(p) + 0.5 * noise(p * 2.7) - 0.75) * 1.3; }
    else if (kind == 1) {
        float rings = noise(vec3(p.x * 0.6, p.y * 9.0, p.z * 9.0)) + 0.4 * noise(vec3(p.x, p.y * 30.0, p.z * 30.0));
        base *= 1.0 + s * (rings - 0.7) * 1.6;
    } else if (kind == 2) { vec3 c = floor(p); base *= 1.0 - s * mod(c.x + c.y + c.z, 2.0); }
    else if (kind == 3) { base *= 1.0 - s * step(0.5, fract(p.x + 0.1 * noise(p * 3.0))); }
    else if (kind == 4) { base = texture(pictures, vec3(fract(grain.xy), look.y)).rgb * (1.0 - s) + base * s; }
    vec3 n = normalize(facing), v = normalize(eye - at);
    if (dot(n, v) < 0.0) n = -n;
    float open = 1.0;
    vec3 q = lit.xyz / lit.w * 0.5 + 0.5;
    if (all(greaterThan(q, vec3(0.0))) && all(lessThan(q, vec3(1.0)))) {
        float texel = 1.0 / 768.0; float covered = 0.0;
        for (int i = 0; i < 4; ++i) {
            vec2 o = vec2(float(i & 1) - 0.5, float(i >> 1) - 0.5) * 1.5 * texel;
            covered += texture(shadow, q.xy + o).r < q.z - 0.004 ? 0.25 : 0.0;
        }
        open = 1.0 - shade * covered;
    }
    vec3 light = ambient + sky * (0.5 + 0.5 * n.z);
    vec3 shine = vec3(0.0);
    for (int i = 0; i < 3; ++i) {
        float d = max(dot(n, toward[i]), 0.0) * (i == 0 ? open : 1.0);
        light += strength[i] * d;
        shine += strength[i] * pow(max(dot(reflect(-toward[i], n), v), 0.0), 24.0) * look.w * (i == 0 ? open : 1.0);
    }
    out_color = vec4(base * light + shine, 1.0);
    out_depth = vec2(dot(at - eye, ahead), shown);
}"""

_SHADE_VERTEX = "#version 330\nin vec3 place; uniform mat4 lamp; void main() { gl_Position = lamp * vec4(place, 1.0); }"
_SHADE_FRAGMENT = "#version 330\nvoid main() {}"

VERTEX = np.dtype(
    [
        ("place", "f4", 3),
        ("normal", "f4", 3),
        ("color", "f4", 3),
        ("pattern_place", "f4", 3),
        ("material", "f4", 4),  # pattern, its frequency (or the number of a picture), its strength, shine
        ("code", "f4"),
    ]
)


@dataclass
class Solid:
    """Triangles of one thing: vertices as `VERTEX`, triangles (F, 3) of them."""

    vertices: NDArray[np.void]
    triangles: NDArray[np.int32]

    @classmethod
    def of(
        cls,
        places: Floats,
        normals: Floats,
        triangles: NDArray[np.int32],
        color: Floats | tuple[float, ...],
        code: float | Floats,
        material: tuple[float, float, float, float] = (PLAIN, 30.0, 0.1, 0.05),
        pattern_place: Floats | None = None,
    ) -> Solid:
        """color: (3,) or (V, 3) rgb 0..1; code: what the pixels show."""
        vertices = np.zeros(len(places), VERTEX)
        vertices["place"], vertices["normal"], vertices["color"] = places, normals, color
        vertices["pattern_place"] = places if pattern_place is None else pattern_place
        vertices["material"], vertices["code"] = material, code
        return cls(vertices, np.asarray(triangles, np.int32))

    def moved(self, rotation: NDArray[np.float64], place: NDArray[np.float64], code: float | None = None) -> Solid:
        """A copy that is turned about the origin, then moved."""
        vertices = self.vertices.copy()
        vertices["place"] = self.vertices["place"] @ rotation.T + place
        vertices["normal"] = self.vertices["normal"] @ rotation.T
        if code is not None:
            vertices["code"] = code
        return Solid(vertices, self.triangles)


def joined(solids: list[Solid]) -> Solid:
    """All of them as one."""
    starts = np.cumsum([0, *(len(solid.vertices) for solid in solids[:-1])])
    triangles = [solid.triangles + start for solid, start in zip(solids, starts, strict=True)]
    return Solid(np.concatenate([solid.vertices for solid in solids]), np.concatenate(triangles).astype(np.int32))


@dataclass(frozen=True)
class Camera:
    """Rows of `axes` are x right, y down, z ahead in the world; `place` is its eye."""

    axes: NDArray[np.float64]  # (3, 3)
    place: NDArray[np.float64]  # (3,)
    focal_px: float
    width: int
    height: int

    @property
    def k(self) -> NDArray[np.float64]:
        """(3, 3) intrinsics."""
        return np.array(
            [[self.focal_px, 0, (self.width - 1) / 2], [0, self.focal_px, (self.height - 1) / 2], [0, 0, 1.0]]
        )

    def pixels(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """World points (N, 3) -> (N, 3): x, y in pixels and depth in metres."""
        seen = (points - self.place) @ self.axes.T
        z = np.maximum(seen[:, 2], 1e-6)
        x = self.focal_px * seen[:, 0] / z + (self.width - 1) / 2
        y = self.focal_px * seen[:, 1] / z + (self.height - 1) / 2
        return np.stack([x, y, seen[:, 2]], axis=1)


def look_at(eye: NDArray[np.float64], target: NDArray[np.float64], roll: float) -> NDArray[np.float64]:
    """Axes of a camera that looks at a target with the world's z up, then turned about its axis by `roll`."""
    ahead = (target - eye) / np.linalg.norm(target - eye)
    up = np.array([0.0, 0.0, 1.0]) if abs(ahead[2]) < 0.99 else np.array([0.0, 1.0, 0.0])
    right = np.cross(ahead, up)
    right /= np.linalg.norm(right)
    down = np.cross(ahead, right)
    c, s = np.cos(roll), np.sin(roll)
    return np.stack([c * right + s * down, -s * right + c * down, ahead])


@dataclass
class Light:
    """What lights a picture; colours are linear factors, 1 is white paper."""

    ambient: Floats = field(default_factory=lambda: np.full(3, 0.25, np.float32))
    sky: Floats = field(default_factory=lambda: np.full(3, 0.2, np.float32))
    toward: Floats = field(default_factory=lambda: np.array([[0, 0, 1.0]] * 3, np.float32))  # the first casts shadows
    strength: Floats = field(default_factory=lambda: np.full((3, 3), 0.2, np.float32))
    shade: float = 0.8


class Renderer:
    """Draws triangles. One per process; `close` it."""

    def __init__(self, width: int, height: int, photographs: NDArray[np.uint8] | None = None) -> None:
        """photographs: (N, 256, 256, 3) that can be hung (`PICTURE`)."""
        try:
            import moderngl
        except ImportError:
            raise MissingExtraError(f"pictures of people need moderngl; install it: {install_hint('sim')}") from None
        # Software OpenGL and torch's compiler, where its build has one, each bring an LLVM. Once OpenGL's has begun, to
        # load the other one, which bodies of people ask for, ends the process.
        with contextlib.suppress(ImportError):
            importlib.import_module("triton")
        self.width, self.height = width, height
        gl: Any = moderngl.create_context(standalone=True, backend="egl")  # type: ignore[arg-type]
        self._gl = gl
        self._program = gl.program(vertex_shader=_VERTEX, fragment_shader=_FRAGMENT)
        self._shading = gl.program(vertex_shader=_SHADE_VERTEX, fragment_shader=_SHADE_FRAGMENT)
        self._seen = gl.framebuffer(
            [gl.texture((width, height), 3, dtype="f1"), gl.texture((width, height), 2, dtype="f4")],
            gl.depth_renderbuffer((width, height)),
        )
        self._shadow = gl.depth_texture((_SHADOW_PX, _SHADOW_PX))
        self._shadow.compare_func = ""
        self._shadow.repeat_x = self._shadow.repeat_y = False
        self._shaded = gl.framebuffer(depth_attachment=self._shadow)
        shown = np.full((1, _PICTURE_PX, _PICTURE_PX, 3), 128, np.uint8) if photographs is None else photographs
        self._pictures = gl.texture_array((_PICTURE_PX, _PICTURE_PX, len(shown)), 3, shown.tobytes())
        self.pictures = len(shown)
        self._vertices = gl.buffer(reserve=1 << 20, dynamic=True)
        self._triangles = gl.buffer(reserve=1 << 20, dynamic=True)
        self._drawn: Any = None
        self._cast: Any = None
        gl.enable(moderngl.DEPTH_TEST)

    def put(self, solid: Solid) -> None:
        """What is drawn from now on."""
        with self._gl:  # another may have drawn in between
            self._put(solid)

    def _put(self, solid: Solid) -> None:
        vertices, triangles = solid.vertices.tobytes(), np.ascontiguousarray(solid.triangles, np.int32).tobytes()
        for buffer, content in ((self._vertices, vertices), (self._triangles, triangles)):
            if buffer.size < len(content):
                buffer.orphan(int(1.5 * len(content)))
            buffer.write(content)
        self._count = 3 * len(solid.triangles)
        layout = "3f 3f 3f 3f 4f 1f"
        gl = self._gl
        for array in (self._drawn, self._cast):
            if array is not None:
                array.release()
        self._drawn = gl.vertex_array(
            self._program,
            [(self._vertices, layout, "place", "normal", "color", "pattern_place", "material", "code")],
            self._triangles,
        )
        self._cast = gl.vertex_array(self._shading, [(self._vertices, "3f 56x", "place")], self._triangles)

    def draw(
        self, camera: Camera, light: Light, shadow_of: NDArray[np.float64], shadow_radius_m: float = 0.6
    ) -> tuple[NDArray[np.uint8], Floats, NDArray[np.int32]]:
        """What a camera sees: rgb (H, W, 3), depth (H, W) metres, codes (H, W); shadows within a radius of a place."""
        with self._gl:
            return self._draw(camera, light, shadow_of, shadow_radius_m)

    def _draw(
        self, camera: Camera, light: Light, shadow_of: NDArray[np.float64], shadow_radius_m: float
    ) -> tuple[NDArray[np.uint8], Floats, NDArray[np.int32]]:
        gl, program = self._gl, self._program
        width, height = camera.width, camera.height
        lamp = _lamp(light.toward[0], shadow_of, shadow_radius_m)
        self._shading["lamp"].write(_columns(lamp))
        self._shaded.use()
        self._shaded.clear(depth=1.0)
        if light.shade > 0:
            self._cast.render(vertices=self._count)
        self._seen.use()
        gl.viewport = (0, 0, width, height)
        self._seen.clear()
        program["camera"].write(_columns(_projection(camera)))
        program["lamp"].write(_columns(lamp))
        for name, value in (
            ("eye", camera.place), ("ahead", camera.axes[2]), ("ambient", light.ambient), ("sky", light.sky),
            ("toward", light.toward), ("strength", light.strength),
        ):  # fmt: skip
            program[name].write(np.ascontiguousarray(value, np.float32).tobytes())
        program["shade"].value = light.shade
        self._shadow.use(0)
        self._pictures.use(1)
        program["shadow"].value, program["pictures"].value = 0, 1
        self._drawn.render(vertices=self._count)
        area = (0, 0, width, height)
        rgb = np.frombuffer(self._seen.read(viewport=area, components=3, attachment=0, alignment=1), np.uint8)
        both = np.frombuffer(self._seen.read(viewport=area, components=2, attachment=1, dtype="f4"), np.float32)
        depth, code = both.reshape(height, width, 2).transpose(2, 0, 1)
        depth = np.where(depth > 0, depth, np.float32(FAR_M))
        return rgb.reshape(height, width, 3).copy(), depth, np.rint(code).astype(np.int32)

    def close(self) -> None:
        self._gl.release()


def _columns(matrix: NDArray[np.float64]) -> bytes:
    return np.ascontiguousarray(matrix.T, np.float32).tobytes()  # OpenGL counts columns first


def _projection(camera: Camera) -> NDArray[np.float64]:
    """World -> clip space; rows of the picture come out from the top down."""
    view = np.eye(4)
    view[:3, :3] = camera.axes
    view[:3, 3] = -camera.axes @ camera.place
    f, n, far = camera.focal_px, NEAR_M, FAR_M
    clip = np.array(
        [
            [2 * f / camera.width, 0, 0, 0],
            [0, 2 * f / camera.height, 0, 0],
            [0, 0, (far + n) / (far - n), -2 * far * n / (far - n)],
            [0, 0, 1, 0],
        ]
    )
    return clip @ view


def _lamp(toward: Floats, middle: NDArray[np.float64], radius: float) -> NDArray[np.float64]:
    """World -> clip space of a lamp far away, for what lies within a radius of a place."""
    axes = look_at(np.asarray(toward, float), np.zeros(3), 0.0)
    view = np.eye(4)
    view[:3, :3], view[:3, 3] = axes, -axes @ middle
    return np.diag([1 / radius, 1 / radius, 1 / (3 * radius), 1.0]) @ view
