"""Takes what `tiae view` sends, as a browser does, and shows nothing: a browser on another machine, seen from here.

python benchmarks/page_client.py http://127.0.0.1:8080/       # until Ctrl-C; prints "connected", then pictures/s
"""

from __future__ import annotations

import re
import sys
import time
from typing import Any

import msgspec
import viser
import zstandard
from websockets.sync.client import connect

CAMERA = {
    "type": "ViewerCameraMessage",
    "wxyz": (1.0, 0.0, 0.0, 0.0),
    "position": (0.0, 0.0, 0.0),
    "fov": 1.0,
    "near": 0.01,
    "far": 100.0,
    "image_height": 800,
    "image_width": 600,
    "look_at": (0.0, 0.0, 1.0),
    "up_direction": (0.0, -1.0, 0.0),
}


def main() -> None:
    address = re.sub("^http", "ws", sys.argv[1])
    pictures, last = 0, time.monotonic()
    with connect(address, subprotocols=[f"viser-v{viser.__version__}"], max_size=None) as socket:  # type: ignore[list-item]
        socket.send(msgspec.msgpack.encode(CAMERA))
        print("connected", flush=True)
        while True:
            for message in read(socket.recv()):
                if message["type"] == "LocalStorageGetItemRequestMessage":
                    answer = {"value": None, "error": None, "request_uuid": message["request_uuid"]}
                    socket.send(msgspec.msgpack.encode({"type": "LocalStorageGetItemResponseMessage", **answer}))
                pictures += "_data" in message.get("updates", ())
            if time.monotonic() - last > 5:
                print(f"{pictures / (time.monotonic() - last):.1f} pictures/s", flush=True)
                pictures, last = 0, time.monotonic()


def read(window: Any) -> list[dict[str, Any]]:
    """The messages of one of viser's windows, without their arrays."""
    size, packed = (int.from_bytes(window[at : at + 8], "little") for at in (0, 8))
    content = zstandard.decompress(window[16 : 16 + packed], max_output_size=size)
    messages: list[dict[str, Any]] = msgspec.msgpack.decode(content)["messages"]
    return messages


if __name__ == "__main__":
    main()
