"""Headless rendering with MuJoCo: one OpenGL context per process, one set of buffers per model.

Colour is one pass; labels and depth come out of a second, flat one. Depth is the distance along the optical axis in
metres (z-depth), as a depth camera gives it.
"""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any

import numpy as np

from tiae_ros.errors import MissingExtraError, install_hint

os.environ.setdefault("MUJOCO_GL", "egl")

_HINT = (
    f"install the simulator ({install_hint('sim')}) and, on Debian or Ubuntu, "
    "`apt-get install libegl1 libegl-mesa0 libgl1 libgl1-mesa-dri`"
)
_context: Any = None


def import_mujoco() -> ModuleType:
    """MuJoCo, or a MissingExtraError that says what to install."""
    try:
        import mujoco
    except Exception as error:  # besides ImportError: a missing libEGL raises AttributeError or RuntimeError
        raise MissingExtraError(f"the simulator needs MuJoCo with EGL ({_one_line(error)}): {_HINT}") from error
    return mujoco


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:160]


def make_context_current(width: int, height: int) -> None:
    """This process's OpenGL context, created on first use; made current again where another drew in between."""
    global _context
    if _context is not None:
        _context.make_current()
    else:
        mujoco = import_mujoco()
        try:
            context = _headless_context(mujoco, width, height)
            context.make_current()
        except Exception as error:
            raise MissingExtraError(f"no headless OpenGL ({_one_line(error)}): {_HINT}") from error
        _context = context


def _headless_context(mujoco: ModuleType, width: int, height: int) -> Any:
    # Somebody may have imported MuJoCo before MUJOCO_GL was set: its own choice would then want a window.
    backend = os.environ.get("MUJOCO_GL", "egl").lower()
    if backend == "egl":
        os.environ.setdefault("PYOPENGL_PLATFORM", "egl")
        from mujoco.egl import GLContext

        return GLContext(width, height)
    return mujoco.GLContext(width, height)


class View:
    """Renders one model. The camera is free: position, axes and intrinsics are given with every picture."""

    def __init__(self, model, data, width: int, height: int) -> None:  # type: ignore[no-untyped-def]
        self.mujoco = import_mujoco()
        make_context_current(width, height)
        self.model, self.data, self.width, self.height = model, data, width, height
        self.resources = self.mujoco.MjrContext(model, self.mujoco.mjtFontScale.mjFONTSCALE_50.value)
        self.mujoco.mjr_setBuffer(self.mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self.resources)
        self.resources.readDepthMap = self.mujoco.mjtDepthMap.mjDEPTH_ZEROFAR
        self.scene = self.mujoco.MjvScene(model, model.ngeom + 20)
        self.options = self.mujoco.MjvOption()
        self.options.sitegroup[:] = 0  # landmarks are not part of the picture
        self.camera = self.mujoco.MjvCamera()
        self.camera.type = self.mujoco.mjtCamera.mjCAMERA_FIXED.value
        self.camera.fixedcamid = 0
        self.rectangle = self.mujoco.MjrRect(0, 0, width, height)

    def upload_texture(self, number: int) -> None:
        """Send a changed texture of the model to the renderer."""
        make_context_current(self.width, self.height)
        self.mujoco.mjr_uploadTexture(self.model, self.resources, number)

    def close(self) -> None:
        """Free the renderer's buffers now rather than at garbage collection."""
        make_context_current(self.width, self.height)
        self.resources.free()

    def render(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Picture of camera 0: rgb (H, W, 3) uint8, z-depth (H, W) float32 m, geom numbers (H, W) int32.

        -1 stands for nothing, and the number of geoms of the model for its skin.
        """
        make_context_current(self.width, self.height)
        mujoco, height, width = self.mujoco, self.height, self.width
        categories = mujoco.mjtCatBit.mjCAT_ALL.value
        mujoco.mjv_updateScene(self.model, self.data, self.options, None, self.camera, categories, self.scene)
        rgb = np.empty((height, width, 3), np.uint8)
        codes = np.empty((height, width, 3), np.uint8)
        depth = np.empty((height, width), np.float32)
        self._draw(flat=False)
        mujoco.mjr_readPixels(rgb, None, self.rectangle, self.resources)
        self._draw(flat=True)
        mujoco.mjr_readPixels(codes, depth, self.rectangle, self.resources)
        wide = codes.astype(np.int32)
        segment = wide[..., 0] + (wide[..., 1] << 8) + (wide[..., 2] << 16)  # (H, W): 0 none, else segid + 1
        geoms = self._geom_of_segment()[np.clip(segment, 0, self.scene.maxgeom)]
        return rgb[::-1], self._metric(depth)[::-1], geoms[::-1]

    def _draw(self, *, flat: bool) -> None:
        flags = self.mujoco.mjtRndFlag
        self.scene.flags[flags.mjRND_SEGMENT.value] = flat
        self.scene.flags[flags.mjRND_IDCOLOR.value] = flat
        self.mujoco.mjr_render(self.rectangle, self.scene, self.resources)

    def _geom_of_segment(self) -> np.ndarray:
        table = np.full(self.scene.maxgeom + 1, -1, np.int32)
        geom_type, skin_type = self.mujoco.mjtObj.mjOBJ_GEOM.value, self.mujoco.mjtObj.mjOBJ_SKIN.value
        for geom in self.scene.geoms[: self.scene.ngeom]:
            if geom.objtype == geom_type and geom.segid >= 0:
                table[geom.segid + 1] = geom.objid
            elif geom.objtype == skin_type and geom.segid >= 0:
                table[geom.segid + 1] = self.model.ngeom
        return table

    def _metric(self, depth: np.ndarray) -> np.ndarray:
        # The buffer holds 1 at the near plane and 0 at the far one, linear in 1/z; this keeps precision far away.
        extent = self.model.stat.extent
        near, far = self.model.vis.map.znear * extent, self.model.vis.map.zfar * extent
        return (near * far / (near + depth.astype(np.float64) * (far - near))).astype(np.float32)
