"""Bags from the field: a bad part costs itself, the diagnosis is the true one, and nothing hostile takes long."""

from __future__ import annotations

import os
import random
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rosbags", reason="reading bags needs the package rosbags")

from synthetic_scenes import TOPICS, make_scene, write_bag
from written_bags import (
    COMPRESSED,
    IMAGE,
    START_NS,
    channel,
    compressed,
    empty_image,
    image,
    message,
    schema,
    write_mcap,
    write_messages,
)

from tiae_ros.errors import BagError, ImageError, TiaeError
from tiae_ros.streams.bags import Bag

STEP_NS = 66_000_000
PLUGINS = ("mcap", "sqlite3")
COLOR, DEPTH = TOPICS["color"], TOPICS["depth"]


def pairs(count: int, *, skip: dict[tuple[str, int], bytes] | None = None) -> list[tuple[str, str, int, bytes]]:
    """Colour and depth of some frames; `skip` replaces messages."""
    found = []
    for index in range(count):
        scene, stamp = make_scene(seed=index), START_NS + index * STEP_NS
        for topic, pixels, encoding in ((COLOR, scene.color, "rgb8"), (DEPTH, scene.depth_mm, "16UC1")):
            data = (skip or {}).get((topic, index), image(stamp, pixels, encoding))
            found.append((topic, IMAGE, stamp, data))
    return found


def stored_file(bag: Path) -> Path:
    (file,) = (path for path in bag.iterdir() if path.suffix in (".mcap", ".db3"))
    return file


def frames_of(path: Path) -> int:
    with Bag(path) as bag:
        return len(list(bag.rgbd_frames()))


def refused(path: Path) -> str:
    """The one line that going through a bag raises."""
    with pytest.raises(TiaeError) as caught, Bag(path) as bag:
        list(bag.rgbd_frames())
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- a bad part costs itself


@pytest.mark.parametrize("storage", PLUGINS)
@pytest.mark.parametrize("at", [0, 2])
@pytest.mark.parametrize("topic", [COLOR, DEPTH])
def test_an_empty_image_costs_its_frame(tmp_path, storage, at, topic):
    bag = write_messages(
        tmp_path / "bag", pairs(5, skip={(topic, at): empty_image(START_NS + at * STEP_NS)}), storage=storage
    )
    with Bag(bag) as opened:
        assert len(list(opened.rgbd_frames())) == 4
        (line,) = opened.skipped.lines()
    second = (START_NS + at * STEP_NS) * 1e-9
    assert line.startswith(f"skipped 1 of the frames for their image of {topic}; the first: ")
    assert f"{second:.3f} s" in line
    with pytest.raises(ImageError, match=re.escape(topic)), Bag(bag, strict=True) as opened:
        list(opened.rgbd_frames())


def test_a_message_that_is_none_costs_itself(tmp_path):
    bag = write_messages(
        tmp_path / "bag", pairs(4, skip={(DEPTH, 1): b"\x00\x01\x00\x00\xff\xff\xff\xff", (COLOR, 2): b""})
    )
    with Bag(bag) as opened:
        assert len(list(opened.rgbd_frames())) == 2
        assert sorted(line.partition(";")[0] for line in opened.skipped.lines()) == [
            f"skipped 1 of the messages of {COLOR}",
            f"skipped 1 of the messages of {DEPTH}",
        ]
    damaged = r"the message of /camera/\w+/image at .* is truncated or damaged"
    with pytest.raises(BagError, match=damaged), Bag(bag, strict=True) as opened:
        list(opened.rgbd_frames())


def test_a_damaged_chunk_costs_itself(tmp_path):
    bag = write_messages(tmp_path / "bag", pairs(12), compression="storage")
    file = stored_file(bag)
    whole = frames_of(bag)
    content = bytearray(file.read_bytes())
    at = content.index(b"zstd") + 2000  # within the first chunk
    content[at] ^= 0xFF
    file.write_bytes(content)
    with Bag(bag) as opened:
        assert 0 < len(list(opened.rgbd_frames())) < whole == 12
        (line,) = opened.skipped.lines()
    assert re.search(r"skipped 1 damaged parts; the first: bag .* the chunk at byte \d+ of bag\.mcap", line)
    with pytest.raises(BagError, match="is damaged: the chunk at byte"), Bag(bag, strict=True) as opened:
        list(opened.raw())


def test_a_topic_keeps_the_name_it_was_listed_by(tmp_path):
    """Channels are told again in every chunk; damage may give one another name there."""
    messages = [message(1 + (kind == DEPTH), time, data) for kind, _, time, data in pairs(3)]
    named, renamed = (b"".join(channel(1 + number, 1, f"{topic}{end}") for number, topic in enumerate((COLOR, DEPTH)))
                      for end in ("", "_"))  # fmt: skip
    file = write_mcap(tmp_path / "bag.mcap", schema(1, IMAGE, "ros2msg", ""), named, renamed, *messages)
    assert frames_of(file) == 3
    with Bag(file) as opened:
        assert {one.topic for one in opened.raw()} == set(opened.topics) == {COLOR, DEPTH}


def test_definitions_cost_nothing(tmp_path):
    """Of an unknown kind, in IDL, damaged: rosbag2 writes them so where it cannot find a type's definition."""
    for number, (encoding, text) in enumerate((("unknown", ""), ("ros2idl", "module {"), ("ros2msg", "no definition"))):
        messages = [message(1 + (kind == DEPTH), time, data) for kind, _, time, data in pairs(3)]
        file = write_mcap(
            tmp_path / f"{number}.mcap",
            schema(1, IMAGE, encoding, text), channel(1, 1, COLOR), channel(2, 1, DEPTH), *messages,
        )  # fmt: skip
        assert frames_of(file) == 3
    bag = write_messages(tmp_path / "bag", pairs(3), storage="sqlite3")
    with sqlite3.connect(stored_file(bag)) as database:
        database.execute("UPDATE message_definitions SET encoding = 'unknown', encoded_message_definition = ''")
    database.close()
    assert frames_of(bag) == 3


# --- all kinds of bags


@pytest.mark.parametrize("listed", ["\n    - '{}'", '\n  - "{}"', "\n- {}", " [{}]", "\n  -   {}\r"])
def test_metadata_in_any_style(tmp_path, listed):
    bag = write_messages(tmp_path / "bag", pairs(1))
    text = f"a: 1\nrosbag2_bagfile_information:\n  relative_file_paths:{listed.format(stored_file(bag).name)}\n  b: 2\n"
    (bag / "metadata.yaml").write_text(text)
    assert frames_of(bag) == 1


@pytest.mark.parametrize("storage", PLUGINS)
def test_a_folder_needs_no_metadata(tmp_path, storage):
    bag = tmp_path / "bag"
    write_bag(bag, [make_scene(seed=i) for i in range(4)], storage=storage)
    text = (bag / "metadata.yaml").read_text()
    (bag / "metadata.yaml").write_text(re.sub(r"storage_identifier: \w+", "storage_identifier: ''", text))
    assert frames_of(bag) == 4  # as `ros2 bag reindex` leaves it
    (bag / "metadata.yaml").unlink()
    assert frames_of(bag) == 4


def test_files_are_read_in_order_of_time(tmp_path):
    folder = tmp_path / "split"
    folder.mkdir()
    messages = pairs(6)
    for name, part in {"b": messages[:4], "c": messages[4:8], "a": messages[8:]}.items():
        stored_file(write_messages(tmp_path / name, part)).rename(folder / f"{name}.mcap")
    with Bag(folder) as bag:
        times = [m.time_ns for m in bag.raw()]
        assert times == sorted(times)
        assert len(list(bag.rgbd_frames())) == 6
    one, other = tmp_path / "one", tmp_path / "other"
    both = tmp_path / "both"
    both.mkdir()
    for name, topic in ((one, COLOR), (other, DEPTH)):  # a recorder for each topic
        stored_file(write_messages(name, [m for m in messages if m[0] == topic])).rename(both / f"{name.name}.mcap")
    with Bag(both) as bag:
        assert [m.time_ns for m in bag.raw()] == times
        assert len(list(bag.rgbd_frames())) == 6


def test_messages_out_of_order_come_in_order(tmp_path):
    messages = pairs(12)
    random.Random(0).shuffle(messages)  # chunks overlap
    with Bag(write_messages(tmp_path / "bag", messages)) as bag:
        times = [m.time_ns for m in bag.raw()]
        assert len(times) == 24
        assert times == sorted(times)


@pytest.mark.parametrize(
    ("storage", "compression"),
    [("mcap", "storage"), ("mcap", "file"), ("sqlite3", "file"), ("sqlite3", "message"), ("mcap", "message")],
)
def test_every_compression_of_rosbag2(tmp_path, storage, compression):
    bag = write_messages(tmp_path / "bag", pairs(3), storage=storage, compression=compression)
    assert frames_of(bag) == 3
    if compression == "file":
        (bag / "metadata.yaml").unlink()
        assert frames_of(bag) == 3


@pytest.mark.parametrize(
    "depth_format", ["16UC1; compressedDepth png", "mono16; compressedDepth", "16UC1; png compressed "]
)
def test_compressed_topics_give_what_raw_ones_give(tmp_path, depth_format):
    messages = []
    for index in range(3):
        scene, stamp = make_scene(seed=index), START_NS + index * STEP_NS
        color = compressed(stamp, scene.color, "rgb8; png compressed bgr8")
        messages += [
            ("/camera/color/image_raw/compressed", COMPRESSED, stamp, color),
            (
                "/camera/depth/image_raw/compressedDepth",
                COMPRESSED,
                stamp,
                compressed(stamp, scene.depth_mm, depth_format),
            ),
        ]
    with Bag(write_messages(tmp_path / "bag", messages)) as bag:
        frames = list(bag.rgbd_frames())
    with Bag(write_messages(tmp_path / "raw", pairs(3))) as bag:
        expected = list(bag.rgbd_frames())
    assert len(frames) == 3
    for one, other in zip(frames, expected, strict=True):
        np.testing.assert_array_equal(one.color, other.color)
        np.testing.assert_array_equal(one.depth_m, other.depth_m)


def test_raw_topics_go_before_compressed_ones(tmp_path):
    stamp, scene = START_NS, make_scene()
    messages = [
        *pairs(1),
        (f"{COLOR}/compressed", COMPRESSED, stamp, compressed(stamp, scene.color, "rgb8; png compressed bgr8")),
        (
            f"{DEPTH}/compressedDepth",
            COMPRESSED,
            stamp,
            compressed(stamp, scene.depth_mm, "16UC1; compressedDepth png"),
        ),
    ]
    with Bag(write_messages(tmp_path / "bag", messages)) as bag:
        found = bag.camera_topics()
    assert (found.color, found.depth, found.transport) == (COLOR, DEPTH, "raw")


# --- the true cause, and what to do


def test_an_mcap_without_footer_can_be_recovered(tmp_path):
    bag = write_messages(tmp_path / "bag", pairs(2))
    file = stored_file(bag)
    os.truncate(file, file.stat().st_size - 50)
    said = refused(bag)
    assert "truncated: it has no footer" in said
    assert f"mcap recover {file}" in said


def test_files_that_metadata_lists_may_be_absent(tmp_path):
    bag = write_messages(tmp_path / "bag", pairs(2))
    file = stored_file(bag)
    file.rename(tmp_path / "elsewhere.mcap")
    assert f"lacks {file.name}, which its metadata.yaml lists" in (said := refused(bag))
    assert f"ros2 bag reindex {bag}" in said
    text = (bag / "metadata.yaml").read_text()  # nothing outside the folder is read
    (bag / "metadata.yaml").write_text(text.replace(file.name, "../elsewhere.mcap"))
    assert "lacks elsewhere.mcap" in refused(bag)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[",
        "a: 1",
        "relative_file_paths:",
        "relative_file_paths: []",
        "relative_file_paths: 3",
        " " * 10**6,
        "- " * 10**5,
    ],
)
def test_damaged_metadata_can_be_made_anew(tmp_path, content):
    bag = write_messages(tmp_path / "bag", pairs(1))
    (bag / "metadata.yaml").write_text(content)
    said = refused(bag)
    assert "metadata.yaml of bag" in said
    assert "ros2 bag reindex" in said


def test_a_database_that_is_still_written_to(tmp_path):
    bag = write_messages(tmp_path / "bag", pairs(1), storage="sqlite3")
    file = stored_file(bag)
    file.with_name(file.name + "-wal").write_bytes(b"messages")
    assert "wal_checkpoint" in refused(bag)


@pytest.mark.parametrize(
    ("topic", "encoding", "meaning"), [(DEPTH, "16SC1", "depth"), (COLOR, "32SC4", "colour"), (DEPTH, "", "depth")]
)
def test_encodings_that_cannot_be_used_are_named(tmp_path, topic, encoding, meaning):
    changed = {(topic, i): image(START_NS + i, np.zeros((4, 4), np.uint16), encoding) for i in range(2)}
    said = refused(write_messages(tmp_path / "bag", pairs(2, skip=changed)))
    assert f"has no {meaning} image; accepted are " in said
    assert f"{topic} is {encoding!r}" in said
    assert "name the topic" not in said


def test_colours_that_only_cv_bridge_knows_are_named(tmp_path):
    changed = {
        (COLOR, i): image(START_NS + i, np.zeros((240, 640), np.uint8), "yuv422_yuy2", width=320) for i in range(2)
    }
    bag = write_messages(tmp_path / "bag", pairs(2, skip=changed))
    with Bag(bag) as opened:
        assert opened.camera_topics().color == COLOR
        frames = list(opened.rgbd_frames())
        told = " ".join(opened.skipped.lines())
    assert frames or "'yuv422_yuy2' is not supported without cv_bridge" in told  # where it is installed, it decodes


# --- nothing hostile takes long, or much


BOMBS = """
import re, resource, struct, sys, time
from pathlib import Path

sys.path.insert(0, sys.argv[1])
import lz4.frame
from rosbags.rosbag2.storage_mcap import zstd
from written_bags import IMAGE, channel, chunk, message, schema, write_mcap

from tiae_ros.errors import BagError
from tiae_ros.streams import expansion
from tiae_ros.streams.bags import Bag

folder = Path(sys.argv[2])
known = (schema(1, IMAGE, "", ""), channel(1, 1, "/a"), message(1, 1, b"x"))
most = 256 * 2**20

def zeros(size):
    compressor = zstd.ZstdCompressor()
    return b"".join([*(compressor.compress(bytes(2**20)) for _ in range(size >> 20)), compressor.flush()])

part, huge = zeros(most), zeros(2**30 + 2**28)
compressor = lz4.frame.LZ4FrameCompressor()
long_lz4 = compressor.begin() + b"".join(compressor.compress(bytes(2**20)) for _ in range(300)) + compressor.flush()
def many_records(count):
    return chunk(zstd.compress(struct.pack("<BQ", 9, 0) * count), "zstd", claimed=9 * count)
files = {
    "claims too much": [chunk(part, "zstd", claimed=2**60)],
    "is more than it claims": [chunk(huge, "zstd", claimed=1000)],
    "lz4": [chunk(long_lz4, "lz4", claimed=most)],
    "many": [chunk(part, "zstd", claimed=most)] * 100,
    "records": [many_records(10**6)] * 100,
    "a message": [message(1, 2, huge)],
}
resource.setrlimit(resource.RLIMIT_AS, (4 * 2**30, 4 * 2**30))
free, expansion._FREE_BYTES = expansion._FREE_BYTES, 2**28  # the last file has to reach the true limit
for name, records in files.items():
    file = write_mcap(folder / f"{name}.mcap", *known, *records)
    started = time.process_time()
    try:
        with Bag(file) as bag:
            for _ in bag.raw():
                pass
        said = "nothing"
    except BagError as error:
        said = str(error)
    print(name, "|", said, "|", round(time.process_time() - started, 1), flush=True)
expansion._FREE_BYTES = free
source = folder / "bag.mcap.zstd"
source.write_bytes(huge)
started = time.process_time()
try:
    Bag(source).__enter__()
except BagError as error:
    print("file |", error, "|", round(time.process_time() - started, 1))
status = Path("/proc/self/status").read_text()  # getrusage counts what the parent had before this program began, too
print(int(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1]) // 1024)
"""


@pytest.mark.timeout(100)
def test_what_expands_without_end_is_refused(tmp_path):
    """Each of these files is of a few megabytes at most, and the process may have 4 GiB of addresses."""
    command = [sys.executable, "-c", BOMBS, str(Path(__file__).resolve().parents[1]), str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert result.returncode == 0, result.stderr
    *lines, megabytes = result.stdout.strip().splitlines()
    assert len(lines) == 7
    for line in lines:
        name, said, seconds = (part.strip() for part in line.split("|"))
        assert re.search(r"expands? to (more than )?(the )?\d+ bytes", said), line
        assert float(seconds) < 12, (name, seconds)
    assert int(megabytes) < 1500
    assert not list(Path("/tmp").glob("tiae_bag_*"))


@pytest.mark.parametrize(
    "statements",
    [
        "DROP TABLE messages; CREATE VIEW messages AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n)"
        " SELECT x AS id, 1 AS topic_id, x AS timestamp, zeroblob(1000) AS data FROM n",
        "DROP TABLE messages; CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER, timestamp INTEGER,"
        " data BLOB AS (zeroblob(900000000))); INSERT INTO messages(topic_id, timestamp) VALUES (1, 1)",
        "ALTER TABLE topics RENAME TO other; CREATE VIEW topics AS SELECT * FROM other",
    ],
)
def test_databases_that_compute_are_refused(tmp_path, statements):
    bag = write_messages(tmp_path / "bag", pairs(1), storage="sqlite3")
    database = sqlite3.connect(stored_file(bag))
    database.executescript(statements)
    database.close()
    assert "is not a plain table" in refused(bag)


@pytest.mark.parametrize("storage", PLUGINS)
def test_mutated_files_are_read_or_refused(tmp_path, storage):
    messages = [(topic, kind, time, data[:300]) for topic, kind, time, data in pairs(4)]
    bag = write_messages(tmp_path / "bag", messages, storage=storage)
    file, rng = stored_file(bag), random.Random(1)
    whole = file.read_bytes()
    said = set()
    for _ in range(120):
        content = bytearray(whole)
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(len(content))
            match rng.randrange(4):
                case 0:
                    del content[at : at + rng.randrange(1, 100)]
                case 1:
                    content[at : at + 8] = rng.choice((b"\xff" * 8, bytes(8), rng.randbytes(8)))
                case _:
                    content[at] ^= 1 << rng.randrange(8)
        file.write_bytes(content)
        try:
            with Bag(bag) as opened:
                list(opened.raw())
                list(opened.rgbd_frames())
        except TiaeError as error:
            said.add(str(error))
    assert said
    assert all(line and "\n" not in line for line in said)
