"""Who gets the page: by address, origin and token."""

import gzip
import socket
from pathlib import Path

import pytest

pytest.importorskip("viser", reason="the page's packages are not installed: pip install -e '.[view]'")

import viser
import websockets.asyncio.server
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from tiae_ros.errors import ParameterError
from tiae_ros.view.door import Door, is_loopback


def asks(door, path="/", **headers):
    """The status of the answer; 0: come in."""
    answer = door.refusal(Request(path, Headers(**{"Host": f"localhost:{door.port}", **headers})))
    return 0 if answer is None else answer.status_code


def test_this_machine_needs_no_token():
    door = Door("127.0.0.1", 0)
    assert door.link == f"http://127.0.0.1:{door.port}/"
    assert asks(door) == asks(door, Host="127.0.0.1:1234") == asks(door, Host=f"[::1]:{door.port}") == 0
    assert asks(door, Origin=f"http://localhost:{door.port}") == 0


def test_pages_of_others_get_nothing():
    """Neither by a socket from their page, nor by a name of theirs that leads here."""
    door = Door("127.0.0.1", 0)
    assert asks(door, Origin="http://news.example") == 403
    assert asks(door, Origin="null") == 403
    assert asks(door, Host="news.example", Origin="http://news.example") == 403


def test_an_address_that_others_reach_asks_for_a_token():
    door = Door("0.0.0.0", 0)
    assert len(door.token) >= 16
    assert door.link.endswith(f"/?token={door.token}")
    assert asks(door) == asks(door, "/?token=wrong") == asks(door, Cookie=f"tiae_view_{door.port}=wrong") == 401
    answer = door.refusal(Request(f"/?token={door.token}", Headers(Host="robot:8080")))
    assert (answer.status_code, answer.headers["Location"]) == (302, "/")
    cookie = answer.headers["Set-Cookie"].partition(";")[0]
    assert asks(door, Host="robot:8080", Cookie=f"other=1; {cookie}") == 0
    assert asks(door, Host="robot:8080", Cookie=cookie, Origin="http://news.example") == 403
    assert "HttpOnly" in answer.headers["Set-Cookie"]


def test_a_token_may_be_given_on_this_machine_too():
    door = Door("localhost", 0, "sesame1234")
    assert asks(door) == 401
    assert asks(door, "/?token=sesame1234") == 302


@pytest.mark.parametrize(
    ("bind", "token", "said"),
    [("0.0.0.0", "short", "at least 8"), ("0.0.0.0", "with a space", "letters and digits"), ("robot", "", "--bind")],
)
def test_what_cannot_be_used_is_refused(bind, token, said):
    with pytest.raises(ParameterError, match=said):
        Door(bind, 0, token)


def test_a_port_that_is_taken_is_said():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ParameterError, match=r"port \d+ .*--port"):
            Door("127.0.0.1", taken.getsockname()[1])
    with pytest.raises(ParameterError, match="--port"):
        Door("127.0.0.1", 99999)


def test_loopback_is_known():
    assert is_loopback("127.0.0.2")
    assert is_loopback("::1")
    assert not is_loopback("192.168.1.5")


@pytest.mark.parametrize("zipped", [False, True])
def test_the_browser_s_tab_is_called_tiae(zipped, monkeypatch):
    pages = []
    body = (Path(viser.__file__).parent / "client" / "build" / "index.html").read_bytes()
    headers = {"Content-Type": "text/html", "Content-Length": "0", "Content-Encoding": "gzip" if zipped else "identity"}
    page = Response(200, "OK", Headers(headers), gzip.compress(body) if zipped else body)
    monkeypatch.setattr(websockets.asyncio.server, "serve", lambda process_request: pages.append(process_request))
    door = Door("127.0.0.1", 0)
    with door.guarding():
        websockets.asyncio.server.serve(process_request=lambda connection, request: page)
    answer = pages[0](None, Request("/", Headers(Host="localhost")))
    assert answer.headers["Content-Length"] == str(len(answer.body))
    assert b"<title>tiae</title>" in (gzip.decompress(answer.body) if zipped else answer.body)
