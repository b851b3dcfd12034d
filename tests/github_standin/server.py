"""HTTP: who asks, what for, and every answer through one place that counts it."""

from __future__ import annotations

import base64
import contextlib
import json
import tempfile
import time
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from loopback import QuietHandler

from github_standin import faults, git_http, rest
from github_standin.graphql_api import Call
from github_standin.limits import Window
from github_standin.models import Json, Token

if TYPE_CHECKING:
    from github_standin.hub import GitHub


@dataclass
class Request:
    """One request as a test may look at it. It never holds a token."""

    method: str
    path: str  # as sent, with the query
    kind: str  # graphql, rest or git
    status: int = 0
    user: str | None = None
    points: int = 0
    bytes_out: int = 0  # of the body
    page_size: int = 0
    scheme: str | None = None  # of authorization: token, bearer or basic
    fault: str | None = None
    sent_pack: bool = False
    fields: str = ""  # of a GraphQL operation, the outermost

    @property
    def what(self) -> str:
        """What was asked: `createDiscussion`, `POST /repos/ada/x/pulls`, `POST /ada/x.git/git-receive-pack`."""
        path = self.path if self.kind == "git" else urlsplit(self.path).path.removeprefix("/api/v3")
        return self.fields if self.kind == "graphql" else f"{self.method} {path}"


class Handler(QuietHandler):
    hub: GitHub
    seen: Request
    number: int  # of the request among all
    fault: faults.Fault | None  # what is to go wrong with it
    url: str

    # -- one request --------------------------------------------------------------------------------------------

    def answer_request(self) -> None:
        place = urlsplit(self.path)
        self.url = f"http://{self.headers.get('Host', '')}"
        kind = "graphql" if place.path == "/api/graphql" else "rest" if place.path.startswith("/api/") else "git"
        self.seen = Request(self.command, self.path, kind)
        self.number = self.hub.faults.arrive()
        self.fault = self.hub.faults.planned(self.number)
        token, known = self._token()
        self.seen.user = token.user.login if token else None
        try:
            with self._body() as body:
                self.hub.faults.call(self.number, after=False)
                if kind == "git":
                    git_http.answer(self, token, known, unquote(place.path), place.query, body)
                else:
                    self._answer_api(kind, token, known, body.read())
        except ConnectionError:
            raise
        except Exception as bug:
            self.hub.bugs.append(bug)
            self.send(500, {}, {"message": f"the stand-in for GitHub has a bug: {bug!r}"})

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = do_HEAD = answer_request

    def _token(self) -> tuple[Token | None, bool]:
        """(what the credentials stand for, whether they are good or there are none)."""
        scheme, _, value = self.headers.get("Authorization", "").partition(" ")
        if not scheme:
            return None, True
        self.seen.scheme = scheme.lower()
        if self.seen.scheme == "basic":
            with contextlib.suppress(ValueError):
                value = base64.b64decode(value).decode().partition(":")[2]
        found = self.hub.tokens.get(value.strip())
        return found, found is not None

    def _body(self) -> IO[bytes]:
        """The request's body, on disk where it is large. git sends it in chunks when it is."""
        body = tempfile.SpooledTemporaryFile(max_size=1 << 20)  # noqa: SIM115
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body.write(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
        else:
            left = int(self.headers.get("Content-Length") or 0)
            while left > 0 and (part := self.rfile.read(min(left, 1 << 20))):
                body.write(part)
                left -= len(part)
        body.seek(0)
        return body

    # -- the API ------------------------------------------------------------------------------------------------

    def _answer_api(self, kind: str, token: Token | None, known: bool, body: bytes) -> None:
        who = f"user ID {token.user.database_id}" if token else "127.0.0.1"
        window = self.hub.limits.window(token.number if token else 0, kind)
        headers = {"X-GitHub-Media-Type": "github.v3; format=json"}
        if token and not token.fine_grained:
            headers["X-OAuth-Scopes"] = ", ".join(token.scopes or ())
        call = Call(self.hub, token, self.url, body, window) if kind == "graphql" and token else None
        self.seen.fields, self.seen.page_size = call.fields if call else "", call.cost.page if call else rest.page_size(self.path)
        if self.fault and not self.fault.executes:
            return self.refuse(kind, who, {**headers, **window.headers()})
        if not self.headers.get("User-Agent"):
            return self.send(403, headers, {"message": "Request forbidden by administrative rules."})
        if not known:
            return self.send(401, headers, {"message": "Bad credentials", "status": "401"})
        if kind == "graphql" and token is None:
            return self.send(401, headers, {"message": "This endpoint requires you to be authenticated."})
        self.fault = self.fault or self.hub.faults.take(kind, self.seen.page_size)
        if self.fault and not self.fault.executes:
            return self.refuse(kind, who, {**headers, **window.headers()})
        if window.remaining == 0 and not self.path.endswith("/rate_limit"):
            status, extra, content = faults.rate_limited(kind, who, window.headers())
            return self.send(status, {**headers, **extra}, content)
        status, extra, content = self._execute(call, token, body, window)
        return self.send(status, {**headers, **window.headers(), **extra}, content)

    def refuse(self, kind: str, who: str, headers: dict[str, str]) -> None:
        """What a fault gives that executes nothing."""
        assert self.fault
        if self.fault.kind in faults.UNANSWERED:
            return self._leave()
        status, extra, content = faults.refusal(self.fault, kind, who)
        return self.send(status, {**headers, **extra}, content)

    def _execute(self, call: Call | None, token: Token | None, body: bytes, window: Window) -> tuple[int, dict[str, str], Any]:
        with self.hub.lock:
            if call:
                window.used += call.cost.points
                self.seen.points = call.cost.points
                status, content = call.answer()
                return status, {}, content
            asked = rest.Asked(self.hub, token, self.command, self.path, body, self.url, window)
            status, extra, answer = rest.answer(asked, self.headers.get("If-None-Match"))
            if status != 304 and not self.path.endswith("/rate_limit"):
                window.used += 1
            return status, extra, answer

    # -- answers ------------------------------------------------------------------------------------------------

    def send(self, status: int, headers: dict[str, str], content: bytes | Json | list[Any] | None) -> None:
        """The only way out for a whole answer. A fault that executes changes it here."""
        fault = self.fault.kind if self.fault else ""
        if fault in faults.UNANSWERED:
            return self._leave()
        if self.fault and fault == "slow":
            time.sleep(self.fault.seconds)
        if fault == "partial" and isinstance(content, dict):
            content = faults.drop_nodes(content)
        raw = content if isinstance(content, bytes) else b"" if content is None else json.dumps(content).encode()
        kind = "application/json; charset=utf-8"
        if fault == "lost":
            status, headers, raw, kind = 502, {}, faults.BAD_GATEWAY, "text/html"
        if fault == "garbage":
            status, raw = 200, faults.GARBAGE
        whole = len(raw)
        if fault == "hangup":
            raw = raw[: whole // 2]
        self.note(status, len(raw))
        self.send_response(status)
        for name, value in {"Content-Type": kind, **headers, "Content-Length": str(whole)}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(raw)
        self.wfile.flush()
        if fault == "hangup":
            self.hang_up()
        return None

    def note(self, status: int, size: int = 0) -> None:
        """Remember the request, before the client can know that it was answered."""
        self.seen.status, self.seen.bytes_out = status, size
        self.seen.fault = self.fault.kind if self.fault else None
        self.hub.requests.append(self.seen)
        self.hub.faults.call(self.number, after=True)

    def _leave(self) -> None:
        """No answer: the connection ends at once with a reset, or after a silence."""
        assert self.fault
        self.note(0)
        if self.fault.kind.startswith("silent"):
            self.hub.closing.wait(self.fault.seconds)
            return self.hang_up()
        return self.reset()
