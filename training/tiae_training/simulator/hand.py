"""A parametric human hand: sizes of one subject, and its MuJoCo body tree with 25 named joints.

Palm frame of a right hand: x to the fingertips, y to the thumb side, z out of the back of the hand; the origin is the
wrist. A left hand is the mirror image (y changes sign), with the same joint names, signs and limits.

Numbers: hand length and breadth of women and men after the 1988 Anthropometric Survey of U.S. Army Personnel (Gordon
et al., NATICK/TR-89/044); lengths of metacarpals and phalanges as shares of the hand after Buryanov and Kotiuk,
"Proportions of hand segments", Int. J. Morphol. 28(3), 2010. Thickness, joint limits and the placement of the thumb
are own estimates within the ranges of anatomy books.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

FINGERS = ("index", "middle", "ring", "little")
MIDDLE_X, MIDDLE_Z_M = 0.47, -0.01  # the middle of a hand, in the palm's axes: share of its length, metres

# Names, lower and upper limit in radians. Flexion closes the hand; abduction spreads the fingers.
JOINT_LIMITS: dict[str, tuple[float, float]] = {
    "wrist_flexion": (-1.0, 1.2),
    "wrist_deviation": (-0.5, 0.35),
    "thumb_cmc_abduction": (-0.2, 1.5),
    "thumb_cmc_flexion": (-0.8, 0.7),
    "thumb_cmc_opposition": (-0.3, 0.9),
    "thumb_mcp_flexion": (-0.2, 1.0),
    "thumb_ip_flexion": (-0.3, 1.4),
    "ring_cmc_flexion": (0.0, 0.2),
    "little_cmc_flexion": (0.0, 0.35),
    **{
        f"{finger}_{joint}": limits
        for finger in FINGERS
        for joint, limits in (
            ("mcp_abduction", (-0.35, 0.35)),
            ("mcp_flexion", (-0.35, 1.6)),
            ("pip_flexion", (0.0, 1.85)),
            ("dip_flexion", (-0.05, 1.3)),
        )
    },
}
JOINT_NAMES = tuple(JOINT_LIMITS)

# Millimetres of an adult hand whose length (wrist to tip of the middle finger) is 187 mm.
_REFERENCE_LENGTH_MM = 187.0
_PHALANGES_MM = {
    "thumb": (46.2, 31.6, 21.7 + 3.5),
    "index": (39.8, 22.4, 15.8 + 3.8),
    "middle": (44.6, 26.3, 17.4 + 3.9),
    "ring": (41.4, 25.7, 17.3 + 3.9),
    "little": (32.7, 18.1, 16.0 + 3.7),
}
_KNUCKLE_DISTANCE = {"index": 0.490, "middle": 0.500, "ring": 0.468, "little": 0.425}  # of the hand length
_KNUCKLE_SIDE = {"index": 0.345, "middle": 0.110, "ring": -0.125, "little": -0.335}  # of the hand breadth
KEYPOINTS = (
    "palm", "thumb_metacarpal", "thumb_proximal", "thumb_distal", "thumb_tip",
    *(f"{finger}_{part}" for finger in ("index", "middle", "ring", "little")
      for part in ("proximal", "middle", "distal", "distal_tip")),
)  # fmt: skip
"""Wrist, then of each finger where its three parts begin, and its tip."""
SPLAY = {"index": 0.05, "middle": 0.0, "ring": -0.05, "little": -0.11}  # rad at abduction zero
THUMB_ALONG, THUMB_PAD = (0.75, 0.62, -0.20), (0.60, -0.72, -0.25)  # directions at zero of its joints, palm frame
_RADIUS_MM = {  # proximal, middle, distal; thumb: metacarpal, proximal, distal
    "thumb": (14.0, 10.8, 10.2),
    "index": (9.6, 8.5, 7.6),
    "middle": (9.8, 8.7, 7.8),
    "ring": (9.2, 8.1, 7.3),
    "little": (8.2, 7.1, 6.5),
}


@dataclass(frozen=True)
class Subject:
    """Everything that stays the same for one person: sizes, colours, clothes. Lengths in metres."""

    number: int
    length_m: float
    breadth_m: float
    thickness: float  # factor on the radii
    finger_length: dict[str, float]  # factor per finger
    skin: tuple[float, float, float]
    nail: tuple[float, float, float]

    @property
    def scale(self) -> float:
        """Metres per millimetre of the reference hand."""
        return self.length_m / _REFERENCE_LENGTH_MM

    @property
    def palm_depth_m(self) -> float:
        """From the middle plane of the hand to the surface of the palm."""
        return 0.0135 * self.thickness * self.length_m / 0.187

    def phalanges(self, finger: str) -> np.ndarray:
        """(3,) segment lengths in metres from the knuckle to the tip."""
        return np.array(_PHALANGES_MM[finger]) * self.scale * self.finger_length[finger]

    def radii(self, finger: str) -> np.ndarray:
        """(3,) radii in metres of the segments."""
        return np.array(_RADIUS_MM[finger]) * self.thickness * 1e-3

    def arm_size(self, distance_m: float) -> np.ndarray:
        """(2,) half width and half height of the arm at this distance from the wrist."""
        stations = (0.0, 0.10, 0.20, 0.34, 0.46)
        width = np.interp(distance_m, stations, (0.0285, 0.034, 0.043, 0.046, 0.048))
        height = np.interp(distance_m, stations, (0.0200, 0.027, 0.037, 0.042, 0.046))
        return np.array([width, height]) * self.thickness

    def knuckle(self, finger: str) -> np.ndarray:
        """(3,) position of the MCP joint of one of the four fingers, right hand."""
        arch = -0.02 if finger == "little" else 0.0
        return np.array(
            [
                _KNUCKLE_DISTANCE[finger] * self.length_m,
                _KNUCKLE_SIDE[finger] * self.breadth_m,
                arch * self.length_m,
            ]
        )


def draw_subject(number: int) -> Subject:
    """The subject with this number; always the same one."""
    rng = np.random.default_rng([number, 20260])
    woman = rng.random() < 0.5
    deviation = float(np.clip(rng.normal(), -2.3, 2.3))
    length = (0.1805 + 0.0097 * deviation) if woman else (0.1938 + 0.0098 * deviation)
    breadth_deviation = 0.6 * deviation + 0.8 * float(np.clip(rng.normal(), -2.0, 2.0))
    breadth = (0.0794 + 0.0038 * breadth_deviation) if woman else (0.0904 + 0.0042 * breadth_deviation)
    thickness = (breadth / 0.088) * rng.uniform(0.92, 1.1)
    skin, nail = _skin_tone(rng)
    return Subject(
        number=number,
        length_m=float(length),
        breadth_m=float(breadth),
        thickness=float(thickness),
        finger_length={finger: float(rng.normal(1.0, 0.025)) for finger in ("thumb", *FINGERS)},
        skin=skin,
        nail=nail,
    )


def _skin_tone(rng: np.random.Generator) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """A tone between light and dark skin; nails are a little lighter and redder."""
    lights = np.array(
        [[0.96, 0.80, 0.72], [0.90, 0.68, 0.55], [0.78, 0.55, 0.41], [0.55, 0.36, 0.25], [0.32, 0.20, 0.15]]
    )
    position = rng.uniform(0, len(lights) - 1)
    lower = min(int(position), len(lights) - 2)
    tone = lights[lower] + (position - lower) * (lights[lower + 1] - lights[lower])
    tone = np.clip(tone + rng.normal(0, 0.02, 3), 0.05, 1.0)
    nail = np.clip(tone * 0.8 + 0.2 * np.array([0.95, 0.75, 0.72]), 0, 1)
    return tuple(tone.tolist()), tuple(nail.tolist())


@dataclass
class HandWriter:
    """Writes the MJCF of one hand; mirrors everything for a left hand."""

    subject: Subject
    left: bool
    sleeve: str = "none"  # none (bare forearm), sleeve, no_forearm
    sleeve_start_m: float = 0.08  # from the wrist to the cuff
    arm_length_m: float = 0.46  # what is there of the arm, from the wrist
    smooth: bool = False  # drawn as one skin instead of its capsules and ellipsoids

    def number(self, values: np.ndarray | tuple[float, ...]) -> str:
        return " ".join(f"{value:.6g}" for value in values)

    def point(self, vector: np.ndarray) -> str:
        x, y, z = vector
        return self.number((x, -y if self.left else y, z))

    def axis(self, vector: np.ndarray) -> str:
        """A rotation axis is an axial vector: its mirror image keeps the sign of the mirrored component only."""
        x, y, z = vector
        return self.number((-x, y, -z) if self.left else (x, y, z))

    def joint(self, name: str, axis: np.ndarray) -> str:
        low, high = JOINT_LIMITS[name]
        return f'<joint name="{name}" axis="{self.axis(axis)}" range="{low} {high}"/>'

    def capsule(self, name: str, start: np.ndarray, end: np.ndarray, radius: float, kind: str = "skin") -> str:
        ends = f"{self.point(start)} {self.point(end)}"
        return f'<geom name="hand_{name}" class="{kind}" type="capsule" fromto="{ends}" size="{radius:.6g}"/>'

    def ellipsoid(self, name: str, centre: np.ndarray, semi_axes: tuple[float, ...], kind: str = "flesh") -> str:
        size = self.number(semi_axes)
        return f'<geom name="hand_{name}" class="{kind}" type="ellipsoid" pos="{self.point(centre)}" size="{size}"/>'

    def mjcf(self) -> str:
        """The palm and everything that hangs on it; the palm itself stays where its parent is."""
        parts = [self._palm(), self._forearm(), self._thumb()]
        parts += [self._finger(finger) for finger in FINGERS]
        return f'<body name="palm">{"".join(parts)}</body>'

    def _palm(self) -> str:
        subject, length, breadth = self.subject, self.subject.length_m, self.subject.breadth_m
        flesh = subject.thickness
        geoms = []
        for finger in ("index", "middle"):
            start = np.array([0.06 * length, 0.55 * subject.knuckle(finger)[1], 0.0])
            geoms.append(self.capsule(f"{finger}_metacarpal", start, subject.knuckle(finger), 0.0118 * flesh))
        # Body of the palm: two flat ellipsoids, thicker towards the wrist, and the pad below the knuckles.
        geoms.append(
            self.ellipsoid(
                "palm",
                np.array([0.25 * length, 0.02 * breadth, -0.002]),
                (0.285 * length, 0.44 * breadth, 0.0138 * flesh),
            )
        )
        geoms.append(
            self.ellipsoid(
                "palm_heel", np.array([0.11 * length, 0.0, -0.003]), (0.14 * length, 0.34 * breadth, 0.0165 * flesh)
            )
        )
        pad_start, pad_end = subject.knuckle("index"), subject.knuckle("ring")
        back = np.array([-0.012, 0.0, -0.003])
        geoms.append(self.capsule("palm_pad", pad_start + back, pad_end + back, 0.0112 * flesh))
        # The web between thumb and index finger.
        web = np.array([0.30 * length, 0.335 * breadth, -0.006])
        geoms.append(self.ellipsoid("thumb_web", web, (0.14 * length, 0.15 * breadth, 0.0085 * flesh), "web"))
        # Hypothenar: the fleshy edge below the little finger.
        geoms.append(
            self.ellipsoid(
                "hypothenar",
                np.array([0.20 * length, -0.27 * breadth, -0.008]),
                (0.175 * length, 0.17 * breadth, 0.0155 * flesh),
            )
        )
        geoms.append(
            self.capsule("wrist", np.array([-0.01, 0.014, 0.0]), np.array([-0.01, -0.014, 0.0]), 0.0175 * flesh)
        )
        return "".join(geoms)

    def _forearm(self) -> str:
        joints = self.joint("wrist_flexion", np.array([0.0, -1.0, 0.0])) + self.joint(
            "wrist_deviation", np.array([0.0, 0.0, -1.0])
        )
        if self.sleeve == "no_forearm":
            return f'<body name="forearm">{joints}<geom class="hidden" type="sphere" size="0.01"/></body>'
        geoms = self._arm("forearm", 0.0, 0.0, "forearm")
        if self.sleeve == "sleeve":
            geoms += self._arm("sleeve", self.sleeve_start_m, 0.006, "sleeve")
        return f'<body name="forearm">{joints}{geoms}</body>'

    def _arm(self, name: str, start_m: float, wider_m: float, kind: str) -> str:
        """An arm from `start_m` behind the wrist on; flat at the wrist, round at the elbow."""
        if start_m >= self.arm_length_m:
            return ""
        count = 2 + int((self.arm_length_m - start_m) / 0.075)
        places = np.linspace(start_m, self.arm_length_m, count)
        geoms = []
        for number, (near, far) in enumerate(pairwise(places)):
            for side in (-1, 0, 1):
                ends = []
                radius = 0.0
                for distance in (near, far):
                    width, height = self.subject.arm_size(distance) + wider_m
                    radius = max(radius, 0.97 * float(height) if distance == near else 0.0)
                    ends.append(np.array([-distance, side * (width - height), 0.0]))
                geoms.append(self.capsule(f"{name}_{number}_{side + 1}", ends[0], ends[1], radius, kind))
        return "".join(geoms)

    def _thumb(self) -> str:
        subject, length = self.subject, self.subject.length_m
        metacarpal, proximal, distal = subject.phalanges("thumb")
        radii = subject.radii("thumb")
        along = np.array(THUMB_ALONG)
        along /= np.linalg.norm(along)
        pad = np.array(THUMB_PAD)
        pad -= along * (pad @ along)
        pad /= np.linalg.norm(pad)
        flexion = np.cross(-pad, along)
        base = np.array([0.11 * length, 0.24 * subject.breadth_m, -0.006])
        thenar_end = along * metacarpal * 0.72 + pad * 0.004
        nail = self.ellipsoid(
            "thumb_nail", along * distal * 0.62 - pad * radii[2] * 0.62, (0.0075, 0.0075, 0.0052), "nail"
        )
        joints = (
            self.joint("thumb_cmc_abduction", np.array([-1.0, 0.0, 0.0]))
            + self.joint("thumb_cmc_flexion", flexion)
            + self.joint("thumb_cmc_opposition", along)
        )
        return f"""
        <body name="thumb_metacarpal" pos="{self.point(base)}">{joints}
          {self.capsule("thumb_metacarpal", np.zeros(3), along * metacarpal, radii[1] * 1.06)}
          {self.capsule("thenar", pad * 0.004, thenar_end, radii[0])}
          <body name="thumb_proximal" pos="{self.point(along * metacarpal)}">
            {self.joint("thumb_mcp_flexion", flexion)}
            {self.capsule("thumb_proximal", np.zeros(3), along * proximal, radii[1])}
            <body name="thumb_distal" pos="{self.point(along * proximal)}">
              {self.joint("thumb_ip_flexion", flexion)}
              {self.capsule("thumb_distal", np.zeros(3), along * (distal - radii[2] * 0.9), radii[2])}{nail}
              <site name="thumb_tip" pos="{self.point(along * distal)}"/>
              <site name="thumb_pad" pos="{self.point(along * distal * 0.55 + pad * radii[2])}"/>
            </body>
          </body>
        </body>"""

    def _finger(self, finger: str) -> str:
        subject = self.subject
        lengths, radii = subject.phalanges(finger), subject.radii(finger)
        splay = SPLAY[finger]
        along = np.array([np.cos(splay), np.sin(splay), 0.0])
        flexion = np.array([-np.sin(splay), np.cos(splay), 0.0])
        down = np.array([0.0, 0.0, -1.0])
        names = ("proximal", "middle", "distal")
        geoms = []
        for part, (name, size, radius) in enumerate(zip(names, lengths, radii, strict=True)):
            end = size - (0.9 * radius if part == 2 else 0.0)
            geoms.append(self.capsule(f"{finger}_{name}", np.zeros(3), along * end, radius))
        nail = self.ellipsoid(
            f"{finger}_nail", along * lengths[2] * 0.66 - down * radii[2] * 0.62, (0.0062, 0.0050, 0.0040), "nail"
        )
        sites = "".join(
            f'<site name="{finger}_{part}_{place}" pos="{self.point(offset)}"/>'
            for part, place, offset in (
                ("distal", "pad", along * lengths[2] * 0.55 + down * radii[2]),
                ("distal", "tip", along * lengths[2]),
            )
        )
        knuckle = subject.knuckle(finger)
        spread = np.array([0.0, 0.0, 1.0 if finger in ("index", "middle") else -1.0])
        tree = f"""
          {self.joint(f"{finger}_mcp_abduction", spread)}
          {self.joint(f"{finger}_mcp_flexion", flexion)}
          {geoms[0]}
          <body name="{finger}_middle" pos="{self.point(along * lengths[0])}">
            {self.joint(f"{finger}_pip_flexion", flexion)}
            {geoms[1]}
            <site name="{finger}_middle_centre" pos="{self.point(along * lengths[1] * 0.5)}"/>
            <body name="{finger}_distal" pos="{self.point(along * lengths[1])}">
              {self.joint(f"{finger}_dip_flexion", flexion)}
              {geoms[2]}{nail}{sites}
            </body>
          </body>"""
        if finger in ("index", "middle"):
            return f'<body name="{finger}_proximal" pos="{self.point(knuckle)}">{tree}</body>'
        # Ring and little metacarpals move: the palm hollows.
        start = np.array([0.06 * subject.length_m, 0.55 * knuckle[1], 0.0])
        radius = (0.0112 if finger == "ring" else 0.0105) * subject.thickness
        pad_start = (knuckle - start) * 0.86 + np.array([0, 0, -0.003])
        return f"""
        <body name="{finger}_metacarpal" pos="{self.point(start)}">
          {self.joint(f"{finger}_cmc_flexion", np.array([0.0, 1.0, 0.0]))}
          {self.capsule(f"{finger}_metacarpal", np.zeros(3), knuckle - start, radius)}
          {self.capsule(f"{finger}_pad", pad_start, pad_start + np.array([0, 0.012, 0]), radius)}
          <body name="{finger}_proximal" pos="{self.point(knuckle - start)}">{tree}</body>
        </body>"""
