"""git over HTTP: `git http-backend` behind the rights of a token."""

from __future__ import annotations

import subprocess
import time
from typing import IO, TYPE_CHECKING

from github_standin import faults, git, rules
from github_standin.models import Token
from github_standin.repository import Repository

if TYPE_CHECKING:
    from github_standin.server import Handler

PLAIN = {"Content-Type": "text/plain; charset=utf-8"}
ASK = {**PLAIN, "WWW-Authenticate": 'Basic realm="GitHub"'}
PACK = b"PACK\0\0\0\2"  # how a pack begins, and nothing else that upload-pack says
CHUNK = 1 << 16


def answer(handler: Handler, token: Token | None, known: bool, path: str, query: str, body: IO[bytes]) -> None:
    """One of git's requests: refs, a fetch, a push. Everything else below the root is 501."""
    owner, _, rest = path.lstrip("/").partition("/")
    name, _, service = rest.partition("/")
    if service not in ("info/refs", "git-upload-pack", "git-receive-pack"):
        return handler.send(501, {}, {"message": f"the stand-in for GitHub has no page {path}"})
    handler.fault = handler.fault or handler.hub.faults.take("git")
    if handler.fault and not handler.fault.executes:
        return handler.refuse("rest", "git", {})
    repository = handler.hub.find(owner, name.removesuffix(".git"))
    if repository and not repository.is_there(token):
        repository = None
    pushes = "git-receive-pack" in (service, query.partition("service=")[2])
    refused = _refusal(repository, token, known, pushes)
    if refused or repository is None:
        status, headers, text = refused or (404, PLAIN, "Repository not found.")
        return handler.send(status, headers, text.encode())
    environment = _environment(handler, repository, service, query, token if pushes else None)
    if service == "git-receive-pack":
        return _push(handler, repository, environment, body)
    return _stream(handler, environment, body)


def _refusal(
    repository: Repository | None, token: Token | None, known: bool, pushes: bool
) -> tuple[int, dict[str, str], str] | None:
    """(status, headers, text) where the request may not be served."""
    if not known:
        return 401, ASK, "Invalid username or token."
    if repository is None or not repository.may(token, "read"):
        return (404, PLAIN, "Repository not found.") if token else (401, ASK, "Repository not found.")
    if not pushes:
        return None
    if token is None:
        return 401, ASK, "Authentication is needed to push."
    if not repository.may(token, "write") or not token.covers(repository.is_private) or repository.is_archived:
        return 403, PLAIN, f"Permission to {repository.name_with_owner}.git denied to {token.user.login}."
    return None


def _environment(handler: Handler, repository: Repository, service: str, query: str, pusher: Token | None) -> dict[str, str]:
    given = {
        "GIT_PROJECT_ROOT": str(handler.hub.folder),
        "GIT_HTTP_EXPORT_ALL": "1",
        "PATH_INFO": f"/{repository.name_with_owner}.git/{service}",
        "QUERY_STRING": query,
        "REQUEST_METHOD": handler.command,
        "CONTENT_TYPE": handler.headers.get("Content-Type", ""),
        "HTTP_CONTENT_ENCODING": handler.headers.get("Content-Encoding", ""),
        "GIT_PROTOCOL": handler.headers.get("Git-Protocol", ""),
        "REMOTE_ADDR": "127.0.0.1",
    }
    if pusher:  # without a user, http-backend serves no push
        given["REMOTE_USER"] = pusher.user.login
    return {**git.environment(), **given}


def _start(environment: dict[str, str], body: IO[bytes]) -> subprocess.Popen[bytes]:
    """http-backend with the request's body, which lies in a file: neither side can wait for the other."""
    rollover = getattr(body, "rollover", None)
    if rollover:
        rollover()
        body.seek(0)
    return subprocess.Popen(["git", "http-backend"], stdin=body, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment)


def _read_head(output: IO[bytes]) -> tuple[int, dict[str, str]]:
    status, headers = 200, {}
    while line := output.readline().decode().strip():
        name, _, value = line.partition(":")
        if name.lower() == "status":
            status = int(value.split()[0])
        else:
            headers[name] = value.strip()
    return status, headers


def _push(handler: Handler, repository: Repository, environment: dict[str, str], body: IO[bytes]) -> None:
    before = repository.refs("refs/heads")
    with _start(environment, body) as process:
        assert process.stdout
        status, headers = _read_head(process.stdout)
        content = process.stdout.read()
    with handler.hub.lock:
        rules.follow_push(repository, before)
    handler.send(status, headers, content)


def _stream(handler: Handler, environment: dict[str, str], body: IO[bytes]) -> None:
    """Pass on what http-backend says while it says it."""
    fault = handler.fault
    if fault and fault.kind in {"lost", "garbage"} | faults.UNANSWERED:
        kind = (
            "result" if environment["REQUEST_METHOD"] == "POST" else "advertisement"
        )  # with another type git sees an empty repository
        return handler.send(200, {"Content-Type": f"application/x-git-upload-pack-{kind}"}, faults.GARBAGE)
    if fault and fault.kind == "slow":
        time.sleep(fault.seconds)
    with _start(environment, body) as process:
        assert process.stdout
        status, headers = _read_head(process.stdout)
        handler.note(status)
        handler.send_response(status)
        for name, value in {**headers, "Transfer-Encoding": "chunked"}.items():
            handler.send_header(name, value)
        handler.end_headers()
        tail = b""
        try:
            while part := process.stdout.read1(CHUNK):  # type: ignore[attr-defined]
                handler.seen.sent_pack = handler.seen.sent_pack or PACK in tail + part
                tail = (tail + part)[-len(PACK) :]
                handler.seen.bytes_out += len(part)
                if fault and fault.kind == "hangup":
                    handler.wfile.write(b"%x\r\n" % len(part) + part[: len(part) // 2])
                    handler.wfile.flush()
                    process.kill()
                    return handler.hang_up()
                handler.wfile.write(b"%x\r\n" % len(part) + part + b"\r\n")
            handler.wfile.write(b"0\r\n\r\n")
            handler.wfile.flush()
        except OSError:  # the client went away
            process.kill()
            handler.hang_up()
    return None
