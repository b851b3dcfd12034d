"""Finding the route of a REST request, and what all answers share: errors, ETags, pages."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

from github_standin.errors import Refused, Unknown, not_found
from github_standin.limits import Window
from github_standin.models import Json, Token, User
from github_standin.repository import Repository

if TYPE_CHECKING:
    from github_standin.hub import GitHub

ROOT = "/api/v3"


@dataclass
class Asked:
    """One request for REST."""

    hub: GitHub
    token: Token | None
    method: str
    target: str
    body: bytes
    url: str  # http://host:port as the client wrote it
    window: Window

    @property
    def path(self) -> str:
        return urlsplit(self.target).path.removeprefix(ROOT)

    @property
    def query(self) -> dict[str, str]:
        return {name: values[-1] for name, values in parse_qs(urlsplit(self.target).query).items()}

    @property
    def json(self) -> Any:
        try:
            return json.loads(self.body or b"{}")
        except ValueError as error:
            raise Refused(400, "Problems parsing JSON") from error

    @property
    def input(self) -> Json:
        given = self.json
        if not isinstance(given, dict):
            raise Refused(422, "Invalid request.")
        return given

    @property
    def viewer(self) -> User:
        if self.token is None:
            raise Refused(401, "Requires authentication")
        return self.token.user


@dataclass
class Reply:
    content: Any
    status: int = 200
    headers: dict[str, str] | None = None


Route = Callable[..., Reply]
ROUTES: list[tuple[str, re.Pattern[str], Route]] = []


def route(method: str, pattern: str) -> Callable[[Route], Route]:
    """Register `method pattern`; `{name}` is one segment and `{name*}` takes slashes too. {owner}/{repo} become a Repository."""
    text = re.sub(r"\\{(\w+)\\\*\\}", r"(?P<\1>.+)", re.escape(pattern))
    compiled = re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", text))

    def register(function: Route) -> Route:
        ROUTES.append((method, compiled, function))
        return function

    return register


def page_size(target: str) -> int:
    size = parse_qs(urlsplit(target).query).get("per_page", ["0"])[-1]
    return int(size) if size.isdigit() else 0


def answer(asked: Asked, etag: str | None) -> tuple[int, dict[str, str], Any]:
    """(status, headers, content), with an ETag for what was read; 304 without content where the client has it already."""
    try:
        reply = _dispatch(asked)
    except Refused as refused:
        message = "Not Found" if refused.status == 404 else "Validation Failed" if refused.errors else refused.message
        content: Json = {"message": message, "documentation_url": "https://docs.github.com/rest", "status": str(refused.status)}
        if refused.errors:
            content["errors"] = refused.errors
        return refused.status, {}, content
    except Unknown as unknown:
        return 501, {}, {"message": str(unknown)}
    headers = dict(reply.headers or {})
    if asked.method in ("GET", "HEAD"):
        text = json.dumps(reply.content, sort_keys=True) + headers.get("Link", "") + str(asked.token and asked.token.number)
        headers["ETag"] = f'W/"{hashlib.sha256(text.encode()).hexdigest()}"'
        if etag == headers["ETag"]:
            return 304, headers, None
    return reply.status, headers, reply.content


def _dispatch(asked: Asked) -> Reply:
    method = "GET" if asked.method == "HEAD" else asked.method
    for wanted, pattern, function in ROUTES:
        match = pattern.fullmatch(asked.path)
        if match and wanted == method:
            words: dict[str, Any] = {name: unquote(value) for name, value in match.groupdict().items()}
            if "owner" in words:
                words["repository"] = _visible(asked, words.pop("owner"), words.pop("repo"))
            return function(asked, **words)
    raise Unknown(f"the stand-in for GitHub has no route {asked.method} {asked.path}")


def _visible(asked: Asked, owner: str, name: str) -> Repository:
    repository = asked.hub.find(owner, name)
    if repository is None or not repository.may(asked.token, "read") or not repository.is_there(asked.token):
        raise not_found()
    return repository


def paged(asked: Asked, items: list[Any], shape: Callable[[Any], Json]) -> Reply:
    """One page of a list, with the Link header to the others."""
    size = min(100, page_size(asked.target) or 30)
    page = int(asked.query["page"]) if asked.query.get("page", "0").isdigit() and asked.query.get("page", "0") != "0" else 1
    last = max(1, -(-len(items) // size))
    links = {"first": 1, "prev": page - 1} if page > 1 else {}
    if page < last:
        links |= {"next": page + 1, "last": last}
    place = f"{asked.url}{ROOT}{quote(asked.path)}"
    text = ", ".join(f'<{place}?{urlencode({**asked.query, "page": to})}>; rel="{name}"' for name, to in links.items())
    content = [shape(item) for item in items[(page - 1) * size : page * size]]
    return Reply(content, headers={"Link": text} if text else None)


def number_of(text: str) -> int:
    if not text.isdigit():
        raise not_found()
    return int(text)
