"""The whole stand-in: people, tokens, repositories, its clock, its server, and what it saw."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import TracebackType
from typing import Any

from loopback import Server

from github_standin import dump
from github_standin.faults import Faults
from github_standin.limits import Limits
from github_standin.models import Token, User
from github_standin.repository import Repository, valid_name
from github_standin.server import Handler, Request

BIRTH = datetime(2026, 3, 1, tzinfo=timezone.utc)


class GitHub:
    """GitHub on a free port of 127.0.0.1, from construction to `close()`.

    Its clock starts on 2026-03-01 and ticks a second with each event, so that the same actions give the same world.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.lock = threading.RLock()  # one API request at a time sees or changes the world
        self.users: dict[str, User] = {}
        self.tokens: dict[str, Token] = {}
        self.repositories: dict[str, Repository] = {}
        self.nodes: dict[str, Any] = {}
        self.by_database_id: dict[int, Any] = {}
        self._now = BIRTH
        self.faults = Faults()
        self.limits = Limits()
        self.requests: list[Request] = []
        self.bugs: list[Exception] = []
        self.closing = threading.Event()  # ends what is silent
        self._server = Server(Handler, hub=self)

    def close(self) -> None:
        """End the server. Raises RuntimeError where the stand-in itself failed at a request: no test may pass on that."""
        self.closing.set()
        self._server.close()
        if self.bugs:
            raise RuntimeError(f"{len(self.bugs)} requests hit a bug of the stand-in") from self.bugs[0]

    def __enter__(self) -> GitHub:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    # -- where it is --------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Of the web pages and of git: http://127.0.0.1:PORT."""
        return f"http://127.0.0.1:{self._server.port}"

    @property
    def api_url(self) -> str:
        """The root of REST, as on GitHub Enterprise; GraphQL is beside it at /api/graphql."""
        return f"{self.url}/api/v3"

    # -- people and repositories --------------------------------------------------------------------------------

    def user(self, login: str, token: str | None = None, scopes: tuple[str, ...] = ("repo",), fine_grained: bool = False,
             app: bool = False, discussions: bool = True) -> User:  # fmt: skip
        """A user, and one of their tokens: classic if nothing else is said, or one that an app was given for them. Without
        `discussions` it may not read those. Call it again for another token of the same user."""
        user = self.person(login)
        kept = None if fine_grained or app else scopes
        self.tokens[token or secrets.token_hex(8)] = Token(user, kept, len(self.tokens) + 1, app, discussions)
        return user

    def person(self, login: str) -> User:
        """The user of this name, made where there is none."""
        known = self.users.get(login.lower())
        if known is None:
            known = self.users[login.lower()] = User("", 0, login, self.now())
            known.id, known.database_id = self.new_id("U", known)
        return known

    def repository(self, full_name: str, *, discussions: bool = True, private: bool = False, parent: Repository | None = None,
                   default_branch: str = "main") -> Repository:  # fmt: skip
        """An empty bare repository, or a fork that starts with the parent's branches."""
        owner, _, name = full_name.partition("/")
        return self.add_repository(self.person(owner), name, private=private, discussions=discussions, parent=parent,
                                   default_branch=default_branch, branches=True)  # fmt: skip

    def add_repository(self, owner: User, name: str, *, private: bool = False, discussions: bool = False,
                       parent: Repository | None = None, default_branch: str = "main", branches: bool = False) -> Repository:  # fmt: skip
        if not valid_name(owner.login) or not valid_name(name) or self.find(owner.login, name):
            raise ValueError(f"no repository can be called {owner.login}/{name}")
        branch = parent.default_branch if parent else default_branch
        repository = Repository(self, owner, name, private=private, discussions=discussions, parent=parent, default_branch=branch)
        self.repositories[repository.name_with_owner.lower()] = repository
        if parent and branches:
            repository.import_from(parent.git_dir, ["+refs/heads/*:refs/heads/*"])
        return repository

    def find(self, owner: str, name: str) -> Repository | None:
        return self.repositories.get(f"{owner}/{name}".lower())

    # -- time and names -----------------------------------------------------------------------------------------

    def now(self) -> str:
        """The next second."""
        self._now += timedelta(seconds=1)
        return f"{self._now:%Y-%m-%dT%H:%M:%SZ}"

    def seconds(self) -> int:
        """The next second, since 1970."""
        self.now()
        return int(self._now.timestamp())

    def observe(self, *times: str | None) -> None:
        """Nothing that happens later may look older than what a test put here."""
        for time in filter(None, times):
            self._now = max(self._now, datetime.strptime(time, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc))

    def new_id(self, kind: str, thing: object) -> tuple[str, int]:
        """An opaque node id, and the number that REST knows it by."""
        number = len(self.nodes) + 1
        node_id = f"{kind}_kwDO{number:08d}"
        self.nodes[node_id] = self.by_database_id[number] = thing
        return node_id, number

    # -- faults -------------------------------------------------------------------------------------------------

    def fail(self, kind: str, times: int = 1, after: int = 0, where: str = "graphql", *, seconds: float = 1.0,
             retry_after: int | None = None) -> None:  # fmt: skip
        """Let requests go wrong: after `after` good ones, `times` in a row. See faults.KINDS for what `kind` may be.

        `where` is graphql, rest or git. `seconds` is how long "slow" and "silent" take and when "rate-limit" ends.
        """
        self.faults.add(kind, times, after, where, seconds, retry_after)

    def fail_at(self, n: int, kind: str, *, seconds: float = 1.0, retry_after: int | None = None) -> None:
        """Let the n-th request from now on go wrong, 0 being the next one: API and git count alike.

        It goes wrong before anybody asks who sent it. Run a flow once and look at `count` and `requests` to learn how many
        there are, and what each one is. git itself sends a request again, at once, when a connection that it has used before
        ends without an answer: let the next one fail as well.
        """
        self.faults.plan(n, kind, seconds, retry_after)

    def on_request(self, n: int, function: Callable[[], object], after: bool = False) -> None:
        """Call a function when the n-th request from now on is here: before it is executed, or after that and before it is
        answered. With `fail_at` of the same request it is not executed, or not answered, at all."""
        self.faults.plan_call(n, function, after)

    def fail_above(self, page_size: int, kind: str = "504") -> None:
        """Let every GraphQL request for more than `page_size` items at once go wrong."""
        self.faults.add_above(page_size, kind)

    # -- what it saw --------------------------------------------------------------------------------------------

    @property
    def count(self) -> int:
        """Requests that have arrived, of the API and of git, those without an answer too."""
        return self.faults.arrived

    @property
    def graphql_calls(self) -> int:
        return sum(request.kind == "graphql" for request in self.requests)

    @property
    def points(self) -> int:
        """What all GraphQL calls cost together."""
        return sum(request.points for request in self.requests)

    @property
    def git_fetches(self) -> int:
        """Fetches that were answered with a pack; listing refs is none."""
        return sum(request.sent_pack for request in self.requests)

    def dump(self) -> str:
        """The whole world as text that is the same whenever the same things happened: compare it with a golden one."""
        return dump.dump(self)
