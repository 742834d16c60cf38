"""A server of one page on the loopback interface, for those who know its address and come from nowhere else."""

from __future__ import annotations

import hmac
import json
import secrets
import sys
import threading
import traceback
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files

import torch
from jinja2 import Environment

from surflow.app.explore.questions import Answer, Explorer
from surflow.errors import FileError, SurflowError

_LOOPBACK = "127.0.0.1"
# A tunnel may give the page another port, so that the port of a request says nothing.
_HOSTS = ("127.0.0.1", "localhost")
_MOST_BYTES = 2**16
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Server(ThreadingHTTPServer):
    """Serves the page of a model until it is told to stop.

    Args:
        explorer: what answers.
        port: to listen on; 0 for one that is free.

    Attributes:
        token: without which no address is known.

    Raises:
        FileError: for a port that cannot be had.
    """

    daemon_threads = True

    def __init__(self, explorer: Explorer, port: int = 0) -> None:
        self.explorer, self.token = explorer, secrets.token_urlsafe(24)
        self.one_at_a_time = threading.Lock()
        folder = files("surflow.app.explore") / "page"
        self.page = {each.name: each.read_text(encoding="utf-8") for each in folder.iterdir() if each.is_file()}
        template = Environment(autoescape=True).from_string(self.page.pop("page.html.j2"))
        shown = template.render(title=explorer.title, sentence=explorer.sentence, kind=explorer.kind)
        self.page["index.html"] = shown
        try:
            super().__init__((_LOOPBACK, port), _Handler)
        except (OSError, OverflowError) as error:
            raise FileError(
                f"port {port} of this machine cannot be had: {error}: choose another with --port"
            ) from error

    @property
    def address(self) -> str:
        """Where the page is."""
        return f"http://{_LOOPBACK}:{self.server_address[1]}/{self.token}/"

    def answer(self, name: str, asked: dict[str, object]) -> Answer:
        """What the model says to one question; one at a time, as draws of torch are from one generator."""
        with self.one_at_a_time, torch.no_grad():
            return self.explorer.questions[name](asked)


class _Refused(Exception):
    def __init__(self, status: HTTPStatus, words: str) -> None:
        super().__init__(words)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "surflow", ""
    timeout = 60.0

    def do_GET(self) -> None:
        self._reply(self._file)

    def do_POST(self) -> None:
        self._reply(self._answer)

    def _reply(self, make: Callable[[str], tuple[str, str]]) -> None:
        try:
            kind, body = make(self._path())
            self._send(HTTPStatus.OK, kind, body)
        except _Refused as refused:
            self.close_connection = True  # what has not been read of it is no next request
            self._send(refused.status, "application/json", json.dumps({"error": str(refused)}))
        except SurflowError as error:
            self._send(HTTPStatus.BAD_REQUEST, "application/json", json.dumps({"error": str(error)}))
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        except Exception:
            traceback.print_exc(file=sys.stderr)
            words = "surflow failed at this question; the terminal in which it runs says where"
            self._send(HTTPStatus.INTERNAL_SERVER_ERROR, "application/json", json.dumps({"error": words}))

    def _path(self) -> str:
        """What is asked for behind the token, of one who knows it and comes from this page."""
        host = self.headers.get("Host", "")
        if host.rpartition(":")[0] not in _HOSTS and host not in _HOSTS:
            raise _Refused(HTTPStatus.FORBIDDEN, "this page answers at 127.0.0.1 and localhost alone")
        origin, site = self.headers.get("Origin"), self.headers.get("Sec-Fetch-Site")
        if origin not in (None, f"http://{host}") or site not in (None, "none", "same-origin"):
            raise _Refused(HTTPStatus.FORBIDDEN, "this page answers itself alone, and no other")
        token, slash, rest = self.path.partition("?")[0].removeprefix("/").partition("/")
        if not slash or not hmac.compare_digest(token.encode("utf-8", "replace"), self.server.token.encode()):
            raise _Refused(HTTPStatus.NOT_FOUND, "the address needs the token that surflow explore printed")
        return rest

    def _file(self, path: str) -> tuple[str, str]:
        name = path or "index.html"
        if name not in self.server.page:
            raise _Refused(HTTPStatus.NOT_FOUND, "there is no such page")
        return _TYPES[name[name.rindex(".") :]], self.server.page[name]

    def _answer(self, path: str) -> tuple[str, str]:
        folder, _, name = path.partition("/")
        if folder != "ask" or name not in self.server.explorer.questions:
            known = ", ".join(sorted(self.server.explorer.questions))
            raise _Refused(HTTPStatus.NOT_FOUND, f"there is no such question: expected one of {known}")
        if self.headers.get_content_type() != "application/json":
            raise _Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "a question is JSON, of the type application/json")
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            raise _Refused(HTTPStatus.LENGTH_REQUIRED, "a question states its length")
        if len(length) > 9 or int(length) > _MOST_BYTES:
            raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a question has at most {_MOST_BYTES:,} bytes")
        try:
            asked = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError) as error:
            raise _Refused(HTTPStatus.BAD_REQUEST, f"the question is no JSON: {error}") from error
        if not isinstance(asked, dict):
            raise _Refused(HTTPStatus.BAD_REQUEST, "a question is an object of JSON")
        return "application/json", json.dumps(self.server.answer(name, asked), allow_nan=False)

    def _send(self, status: HTTPStatus, kind: str, body: str) -> None:
        data = body.encode("utf-8", "replace")
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: a line for every question would fill the terminal."""
