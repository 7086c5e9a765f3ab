"""Who may open the page: the address it is at, the token, and pages of others that would use the browser's way in.

On a loopback address whoever works on this machine may. On any other one a token is asked for once; the browser then
has it as a cookie. In both cases a page of another origin gets nothing: it could otherwise set parameters of a robot
through the browser of somebody who only reads the news.
"""

from __future__ import annotations

import contextlib
import functools
import gzip
import hmac
import html
import http
import ipaddress
import logging
import secrets
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import websockets.asyncio.server
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from tiae_ros.errors import ParameterError

_LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
_SHORTEST_TOKEN = 8


def is_loopback(bind: str) -> bool:
    """Whether an address is reached from this machine alone. Raises ParameterError for none."""
    if bind in _LOCAL_NAMES:
        return True
    try:
        return ipaddress.ip_address(bind).is_loopback
    except ValueError:
        raise ParameterError(
            f"--bind {bind!r} cannot be used; give an IP address of this machine, or 0.0.0.0 for all of them"
        ) from None


class Door:
    """What is answered to who asks for the page; a token is made up when one is needed and none is given."""

    def __init__(self, bind: str, port: int, token: str = "") -> None:
        """Raises ParameterError: the address cannot be used, the port is taken, or the token is too short."""
        self.local = is_loopback(bind)
        if token and len(token) < _SHORTEST_TOKEN:
            raise ParameterError(f"--token has {len(token)} characters; it must have at least {_SHORTEST_TOKEN}")
        if token and not (token.isascii() and token.isalnum()):
            raise ParameterError("--token has other characters than letters and digits; these alone are accepted")
        self.token = token or ("" if self.local else secrets.token_hex(8))
        self.port = check_free(bind, port)
        self._cookie = f"tiae_view_{self.port}"  # browsers do not tell ports apart
        shown = bind if self.local else socket.gethostname() if bind in ("0.0.0.0", "::") else bind
        self.address = f"http://{f'[{shown}]' if ':' in shown else shown}:{self.port}/"

    @property
    def link(self) -> str:
        """The address, with the token in it."""
        return f"{self.address}?token={self.token}" if self.token else self.address

    def refusal(self, request: Request) -> Response | None:
        """What to answer instead of the page; None: come in."""
        host, origin = request.headers.get("Host", ""), request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return _answer(http.HTTPStatus.FORBIDDEN, "this page is not for pages of others")
        if not self.token:
            name = urlsplit(f"//{host}").hostname or ""
            if name in _LOCAL_NAMES or name.endswith(".localhost"):
                return None
            return _answer(http.HTTPStatus.FORBIDDEN, f"open {self.address}, or start tiae view with --bind")
        given = parse_qs(urlsplit(request.path).query).get("token", [""])[0]
        if given and self._is_token(given):
            headers = {
                "Location": "/",
                "Set-Cookie": f"{self._cookie}={self.token}; Path=/; HttpOnly; SameSite=Strict",
            }
            return _answer(http.HTTPStatus.FOUND, "come in", headers)
        cookies = (part.strip().partition("=") for part in request.headers.get("Cookie", "").split(";"))
        if any(name == self._cookie and self._is_token(value) for name, _, value in cookies):
            return None
        return _answer(http.HTTPStatus.UNAUTHORIZED, "wrong token" if given else "", form=True)

    @contextlib.contextmanager
    def guarding(self) -> Iterator[None]:
        """A viser server that is made in here asks this door first: viser has no way to say so, websockets has."""
        logging.getLogger("websockets.server").setLevel(logging.CRITICAL)  # it takes a page for a failed handshake
        serve = websockets.asyncio.server.serve

        def guarded(*arguments: Any, process_request: Any, **options: Any) -> Any:
            def answer(connection: Any, request: Request) -> Response | None:
                refused = self.refusal(request)
                return _titled(process_request(connection, request)) if refused is None else refused

            return serve(*arguments, process_request=answer, **options)

        websockets.asyncio.server.serve = guarded  # type: ignore[assignment,misc]
        try:
            yield
        finally:
            websockets.asyncio.server.serve = serve  # type: ignore[misc]

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self.token.encode())


def check_free(bind: str, port: int) -> int:
    """The port, or a free one for 0. Raises ParameterError when it cannot be listened on."""
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind((bind, port))
            return int(trial.getsockname()[1])
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ParameterError(
            f"the page cannot be at {bind} port {port} ({reason}); give another one by --port or --bind"
        ) from None


def _titled(response: Response | None) -> Response | None:
    """viser's page under our title, which viser has no way to say either."""
    if response is not None and response.headers.get("Content-Type", "").startswith("text/html") and response.body:
        response.body = _retitle(bytes(response.body), response.headers.get("Content-Encoding") == "gzip")
        del response.headers["Content-Length"]
        response.headers["Content-Length"] = str(len(response.body))
    return response


@functools.lru_cache(maxsize=4)
def _retitle(page: bytes, zipped: bool) -> bytes:
    text = gzip.decompress(page) if zipped else page
    text = text.replace(b"<title>Viser</title>", b"<title>tiae</title>", 1)
    return gzip.compress(text) if zipped else text


def _answer(
    status: http.HTTPStatus, text: str, headers: dict[str, str] | None = None, *, form: bool = False
) -> Response:
    asks = '<form>Token of tiae view: <input name="token" type="password" autofocus> <button>open</button></form>'
    body = f"<!doctype html><title>tiae view</title><p>{html.escape(text)}</p>{asks if form else ''}".encode()
    told = {"Content-Type": "text/html; charset=utf-8", "Content-Length": str(len(body)), "Cache-Control": "no-store"}
    return Response(status, status.phrase, Headers({**told, **(headers or {})}), body)
