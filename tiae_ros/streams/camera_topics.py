"""Which topics are colour, registered depth and camera info of an RGB-D camera. No ROS.

    found = find_camera_topics([SeenTopic("/camera/camera/color/image_raw", IMAGE_TYPE, "rgb8"), ...])
    found.color, found.depth, found.camera_info, found.transport
    print(found.told)                # what was taken, and why

The one finder for bags, where encodings and frames are known, and for a running ROS graph, where there are names and
types alone. Colour and depth are chosen together, as the pair that fits best:

    of one frame > colour that is called so > depth that is called registered > names of a known driver
    > the longest common beginning of their names > both rectified, or both not

A name's last telling part decides: `/rgb_camera/depth/image` is depth. Of what is called `A_to_B`, A was seen and B's
camera is where it lies: `depth_to_rgb` is depth, registered to colour.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tiae_ros.errors import TopicError
from tiae_ros.streams.camera import is_rectified
from tiae_ros.streams.camera_drivers import Driver, driver_of
from tiae_ros.streams.image_decoding import COLOR_ENCODINGS, DEPTH_ENCODINGS
from tiae_ros.streams.other_encodings import is_other_color
from tiae_ros.streams.pictures import GREY_ENCODINGS, is_depth

IMAGE_TYPE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE_TYPE = "sensor_msgs/msg/CompressedImage"
CAMERA_INFO_TYPE = "sensor_msgs/msg/CameraInfo"
IMAGE_TYPES = (IMAGE_TYPE, COMPRESSED_IMAGE_TYPE)
PLUGINS = {"color/image": "compressed", "depth/image": "compressedDepth"}  # of image_transport
COLOR, DEPTH, NEITHER = "colour", "depth", ""
ACCEPTED = {COLOR: (*COLOR_ENCODINGS, "compressed jpeg or png"), DEPTH: (*DEPTH_ENCODINGS, "compressedDepth png")}
_COLOR_WORDS = {"color", "colour", "rgb"}
_DEPTH_WORDS = {"depth", "aligned", "registered", "stereo"}
_REGISTERED_WORDS = {"aligned", "registered"}
# Infrared has the encodings of colour or depth, and so has what other nodes (ours, too) make of pictures.
_INFRARED_WORDS = {"ir", "infra", "infra1", "infra2", "infrared"}
_NO_DEPTH_WORDS = _INFRARED_WORDS | {"confidence", "disparity", "amplitude", "intensity"}
_MADE_WORDS = {"restored", "descriptor", "segmentation", "debug", "mask", "overlay", "annotated"}
_LESSER_WORDS = {"left", "right", "mono", "gray", "grey", "fisheye", "fisheye1", "fisheye2", "preview"}
_CAMERA_WORDS = {"camera", "cam", "sensor", "node"}


@dataclass(frozen=True)
class SeenTopic:
    """What is known of one topic."""

    name: str
    type: str
    encoding: str | None = None
    """Of its images, or their format; None: not known."""
    frame_id: str = ""
    """"" when it is not known."""


@dataclass(frozen=True)
class CameraTopics:
    """The topics of one camera."""

    color: str
    depth: str
    camera_info: str | None
    color_compressed: bool
    depth_compressed: bool
    told: str
    """One sentence: what was taken, and why."""
    doubt: str = ""
    """One line about what looks wrong; "" when all is well."""

    @property
    def transport(self) -> str:
        """The node's parameter image_transport for them: "raw" or "compressed"; "mixed" is neither."""
        if self.color_compressed != self.depth_compressed:
            return "mixed"
        return "compressed" if self.color_compressed else "raw"

    @property
    def inputs(self) -> dict[str, str]:
        """The node's names of its inputs -> these topics."""
        color, depth = (
            own + (f"/{PLUGINS[own]}" if compressed else "")
            for own, compressed in (("color/image", self.color_compressed), ("depth/image", self.depth_compressed))
        )
        info = {"color/camera_info": self.camera_info} if self.camera_info else {}
        return {color: self.color, depth: self.depth, **info}


def find_camera_topics(
    topics: Iterable[SeenTopic],
    *,
    color: str | None = None,
    depth: str | None = None,
    camera_info: str | None = None,
    one_transport: bool = False,
    options: str = "--color and --depth",
) -> CameraTopics:
    """The topics of the one camera that there is.

    Args:
        topics: all that there are.
        color, depth, camera_info: those that are known already; the others are found beside them.
        one_transport: colour and depth must both be raw or both be compressed, as for the node.
        options: what a person names topics by, for the error that asks for it.

    Raises:
        TopicError: there is none, or which one cannot be told; says what there is.
    """
    topics = list(topics)
    images = _images(topics)
    colors = [_given(color, images)] if color else [image for image in images if image.kind == COLOR]
    depths = [_given(depth, images)] if depth else [image for image in images if image.kind == DEPTH]
    for meaning, found in ((COLOR, colors), (DEPTH, depths)):
        if not found:
            raise TopicError(_none(meaning, images))
    pairs = [_Pair(one, other) for one in colors for other in depths if one.base != other.base]
    if one_transport:
        pairs = [pair for pair in pairs if pair.one_transport()] or _no_common_transport(pairs, options)
    best = max((pair.fit for pair in pairs), default=())
    chosen = [pair for pair in pairs if pair.fit == best]
    if len(chosen) != 1:
        raise TopicError(_several(chosen, options))
    (pair,) = chosen
    shown, measured = pair.variants(one_transport)
    infos = [topic for topic in topics if topic.type == CAMERA_INFO_TYPE]
    info, beside = (camera_info, "as given") if camera_info else _info_of(pair, infos)
    left = [image.base for image in images if image.base not in (pair.color.base, pair.depth.base)]
    told = (
        f"colour is {shown.name}, depth {measured.name} ({pair.why()}), camera info "
        f"{f'{info} ({beside})' if info else f'none ({beside})'}"
        f"{f'; not taken: {_list(left)}' if left and not (color and depth) else ''}"
    )
    packed, packed_depth = (topic.type == COMPRESSED_IMAGE_TYPE for topic in (shown, measured))
    return CameraTopics(shown.name, measured.name, info, packed, packed_depth, told, pair.doubt())


@dataclass(frozen=True)
class _Images:
    """A stream of images, in one or several transports."""

    base: str
    kind: str
    variants: dict[str, SeenTopic]  # plugin of image_transport ("" is raw) -> topic

    @property
    def words(self) -> set[str]:
        return set(_words(self.base))

    @property
    def frame_id(self) -> str:
        return next((topic.frame_id for topic in self.variants.values() if topic.frame_id), "")

    @property
    def is_grey(self) -> bool:
        encodings = [(topic.encoding or "").partition(";")[0].strip() for topic in self.variants.values()]
        return any(encoding in GREY_ENCODINGS for encoding in encodings)

    @property
    def is_registered(self) -> bool:
        """By its name."""
        return bool(self.words & _REGISTERED_WORDS or re.search(r"_to_(rgb|colou?r)\b", self.base))


@dataclass(frozen=True)
class _Pair:
    color: _Images
    depth: _Images

    @property
    def fit(self) -> tuple[int, ...]:
        """The higher the better; see the text of this module for the order."""
        common = 0
        for one, other in zip(self.color.base.split("/")[1:-1], self.depth.base.split("/")[1:-1], strict=False):
            if one != other:
                break
            common += 1
        words = self.color.words
        return (
            self._of_one_frame(),
            not words & (_LESSER_WORDS | _INFRARED_WORDS) and not self.color.is_grey,
            bool(words & _COLOR_WORDS) and "_to_" not in self.color.base,
            self.depth.is_registered,
            self._driver() is not None,
            common,
            is_rectified(self.color.base) == is_rectified(self.depth.base),
        )

    def _of_one_frame(self) -> int:
        if not (self.color.frame_id and self.depth.frame_id):
            return 1
        return 2 if self.color.frame_id == self.depth.frame_id else 0

    def _driver(self) -> Driver | None:
        return driver_of(self.color.base, self.depth.base)

    def one_transport(self) -> tuple[SeenTopic, SeenTopic] | None:
        """Both raw, or both compressed."""
        color, depth = self.color.variants, self.depth.variants
        if "" in color and "" in depth:
            return color[""], depth[""]
        packed = [next((v for plugin, v in variants.items() if plugin), None) for variants in (color, depth)]
        return (packed[0], packed[1]) if packed[0] and packed[1] else None

    def variants(self, one_transport: bool) -> tuple[SeenTopic, SeenTopic]:
        if one_transport and (both := self.one_transport()):
            return both
        return next(iter(self.color.variants.values())), next(iter(self.depth.variants.values()))

    def why(self) -> str:
        reasons = []
        if self._of_one_frame() == 2:
            reasons.append(f"both of frame {self.color.frame_id!r}")
        if self.depth.is_registered:
            reasons.append("by its name registered to colour")
        if driver := self._driver():
            reasons.append(f"names of {driver.package}")
        return ", ".join(reasons) or "whether it is registered to colour, nothing says"

    def doubt(self) -> str:
        if self._of_one_frame():
            return ""
        return (
            f"depth {self.depth.base} is of frame {self.depth.frame_id!r} but colour {self.color.base} of "
            f"{self.color.frame_id!r}: have the driver register depth to colour (realsense: align_depth.enable:=true, "
            "orbbec: depth_registration:=true)"
        )


def is_telling(topic: SeenTopic) -> bool:
    """Whether the name alone says that it is colour, depth or neither; else its encoding has to be asked for."""
    base, plugin = _base(topic)
    words = set(_words(base))
    told = _COLOR_WORDS | _DEPTH_WORDS | _NO_DEPTH_WORDS | _MADE_WORDS | _LESSER_WORDS
    return bool(words & told) or (bool(plugin) and plugin != "compressed")


def _images(topics: Sequence[SeenTopic]) -> list[_Images]:
    """Streams of images, raw variants first; those that are neither colour nor depth, too."""
    streams: dict[str, dict[str, SeenTopic]] = {}
    for topic in topics:
        if topic.type in IMAGE_TYPES:
            base, plugin = _base(topic)
            streams.setdefault(base, {})[plugin] = topic
    found = []
    for base, variants in streams.items():
        kind = _kind(base, variants.values())
        fitting = {p: t for p, t in sorted(variants.items()) if not kind or _fits(kind, p, t, lone=len(variants) == 1)}
        if fitting:
            # compressedDepth before a png by the transport of colour
            order = sorted(
                fitting, key=lambda plugin: (plugin != "", kind == DEPTH and plugin != PLUGINS["depth/image"])
            )
            found.append(_Images(base, kind, {plugin: fitting[plugin] for plugin in order}))
    return found


def _base(topic: SeenTopic) -> tuple[str, str]:
    """The name without the plugin of image_transport, and the plugin; "" is raw."""
    if topic.type == IMAGE_TYPE:
        return topic.name, ""
    base, _, plugin = topic.name.rpartition("/")
    return (base, plugin) if plugin in PLUGINS.values() else (topic.name, "compressed")


def _kind(base: str, variants: Iterable[SeenTopic]) -> str:
    """By encodings where they are known, else by the name."""
    words = set(_words(base))
    if words & _MADE_WORDS:
        return NEITHER
    known = [topic for topic in variants if topic.encoding]
    kinds = {kind for topic in known if (kind := _kind_of_encoding(topic))}
    named = _kind_of_name(base)
    if known:
        kind = DEPTH if DEPTH in kinds else COLOR if COLOR in kinds else NEITHER
    elif any(topic.encoding is not None for topic in variants):
        return NEITHER  # it was looked at, and says nothing
    else:
        kind = named
    if kind == DEPTH and words & _NO_DEPTH_WORDS and named != DEPTH:
        return NEITHER
    return kind


def _kind_of_encoding(topic: SeenTopic) -> str:
    encoding = topic.encoding or ""
    if is_depth(encoding):
        return DEPTH
    if topic.type == COMPRESSED_IMAGE_TYPE or encoding in COLOR_ENCODINGS or is_other_color(encoding):
        return COLOR
    return NEITHER


def _kind_of_name(base: str) -> str:
    for part in reversed(base.lower().split("/")):
        words = re.split(r"[_\-]", part.partition("_to_")[0])
        if set(words) & _CAMERA_WORDS and len(words) > 1:
            continue  # depth_camera is a camera that has depth
        if set(words) & _NO_DEPTH_WORDS:
            return NEITHER
        if set(words) & {"left", "right"}:
            return COLOR
        for telling, kind in ((_DEPTH_WORDS, DEPTH), (_COLOR_WORDS, COLOR)):
            if set(words) & telling:
                return kind
    return COLOR


def _words(base: str) -> list[str]:
    return re.split(r"[/_\-]", base.lower())


def _fits(kind: str, plugin: str, topic: SeenTopic, *, lone: bool) -> bool:
    """Whether a variant can be used: not colour by compressedDepth, nor depth by a jpeg."""
    if not plugin:
        return True
    if kind == COLOR:
        return plugin != PLUGINS["depth/image"]
    return plugin == PLUGINS["depth/image"] or (is_depth(topic.encoding) if topic.encoding else lone)


def _given(name: str, images: Sequence[_Images]) -> _Images:
    """The stream of a topic that somebody named, which need not be there yet."""
    for image in images:
        for plugin, topic in image.variants.items():
            if topic.name == name:
                return _Images(image.base, image.kind, {plugin: topic})
    plugin = name.rpartition("/")[2]
    packed = plugin in PLUGINS.values()
    base = name.removesuffix(f"/{plugin}") if packed else name
    known = next((image for image in images if image.base == base), None)
    if known is not None and not packed:
        return known
    topic = SeenTopic(name, COMPRESSED_IMAGE_TYPE if packed else IMAGE_TYPE)
    return _Images(base, NEITHER, {plugin if packed else "": topic})


def _info_of(pair: _Pair, infos: Sequence[SeenTopic]) -> tuple[str | None, str]:
    """The camera info of a pair's colour, and why; None when nothing says which one it is."""
    if not infos:
        return None, "there is none"
    folder, depth_folder = (one.base.rpartition("/")[0] for one in (pair.color, pair.depth))

    def rank(info: SeenTopic) -> tuple[int, bool, bool, bool]:
        known = bool(info.frame_id and pair.color.frame_id)
        place = info.name.rpartition("/")[0]
        return (
            (2 if info.frame_id == pair.color.frame_id else 0) if known else 1,
            place == folder,
            place == depth_folder and pair.depth.is_registered,
            bool(set(_words(info.name)) & _COLOR_WORDS),
        )

    best = max(infos, key=rank)
    frames, *others = rank(best)
    alone = len(infos) == 1
    if frames == 1 and not alone and (not any(others) or sum(rank(info) == rank(best) for info in infos) > 1):
        return None, f"which of {_list([info.name for info in infos])} belongs to colour cannot be told; name it"
    if others[0]:
        return best.name, "beside colour"
    return best.name, "the frame of colour" if frames == 2 else "the only one" if alone else "the nearest to it"


def _none(meaning: str, images: Sequence[_Images]) -> str:
    there = ", ".join(
        f"{topic.name} is {topic.encoding!r}" if topic.encoding is not None else topic.name
        for image in images
        for topic in image.variants.values()
    )
    known = not images or any(t.encoding is not None for image in images for t in image.variants.values())
    accepted = f"; accepted are {', '.join(ACCEPTED[meaning])}" if known else ""
    return f"no {meaning} image{accepted}" + (f"; of its other image topics {there}" if there else "")


def _several(pairs: Sequence[_Pair], options: str) -> str:
    colors = sorted({pair.color.base for pair in pairs})
    depths = sorted({pair.depth.base for pair in pairs})
    if not pairs:
        return "no two image topics of which one is colour and the other depth"
    many = [(meaning, names) for meaning, names in ((COLOR, colors), (DEPTH, depths)) if len(names) > 1]
    told = " and ".join(f"several {meaning} topics ({', '.join(names)})" for meaning, names in many)
    return f"{told}; name the topics by {options}"


def _no_common_transport(pairs: Sequence[_Pair], options: str) -> list[_Pair]:
    names = sorted(
        {topic.name for pair in pairs for one in (pair.color, pair.depth) for topic in one.variants.values()}
    )
    raise TopicError(
        f"{' and '.join(names)}; colour and depth must both be raw or both compressed: name others by {options}"
    )


def _list(names: Sequence[str]) -> str:
    most = 6
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
