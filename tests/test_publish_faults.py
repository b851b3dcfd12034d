"""Publishing while everything goes wrong: every single request of it, API and git alike, lost; every write, and of the reads some,
refused, unanswered, cut, or the last one that a killed client has sent. Whatever happens, running it again ends in the world that
it would have been.
"""

from __future__ import annotations

import collections
import contextlib
import json
import os
import re
import shutil
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pytest
from conftest import BENCH, SOLVER, Ran, World
from github_standin import GitHub, git
from zygote import Zygote

HUB, FORK = "karpathy/autoresearch", "ada/autoresearch"
TOKEN = "ghp_0123456789abcdefghijABCDEFGHIJ012345"
BRANCH, NOTEBOOK = "refs/heads/exp/cpu/t", "refs/autoresearch/cpu/t"
LANES = 4  # cases at a time: most of them wait for something
RUNS = 3  # of one command, the one that goes wrong counted, until it must have succeeded

# kind → what the stand-in does at the request (see github_standin.faults), and when the client is killed there: before it is
# executed, which it then is not, or before it is answered. What git itself has started by then goes on, as after any kill -9.
KINDS: dict[str, tuple[str, str]] = {
    "lost": ("lost", ""),
    "502": ("502", ""),
    "silent-after": ("silent-after", ""),
    "secondary": ("secondary", ""),
    "reset": ("reset", ""),
    "reset-after": ("reset-after", ""),
    "killed-after": ("", "after"),
}
LASTING = ("lost", "killed-after")  # after which the server knows more than the client


@dataclass(frozen=True)
class Flow:
    """Something that is published, and where. `least` is how many requests that takes at least."""

    name: str
    least: int
    own: bool = False  # ada may push to the target
    before: str = ""  # the session that has been published there already
    session: str = "short"
    arguments: tuple[str, ...] = ("publish", "--yes")


FIRST_FORK = Flow("first publication, by a fork", 15)
FIRST_OWN = Flow("first publication, to one's own repository", 18, own=True)
UPDATE = Flow("after more experiments", 14, before="short", session="long")
WITHDRAWAL = Flow("withdrawal", 9, before="short", arguments=("publish", "--yes", "--unpublish"))


@dataclass
class Scene:
    """One GitHub, and ada's repository with the session, ready to publish."""

    github: GitHub
    world: World
    zygote: Zygote
    flow: Flow
    patience: int  # seconds that the client gives an answer of the API

    @property
    def environment(self) -> dict[str, str]:
        direct = {"NO_PROXY": "127.0.0.1"}  # macOS may end a fork that asks it for proxies
        return {**os.environ, **direct, "GH_ENTERPRISE_TOKEN": TOKEN, "AUTORESEARCH_API_TIMEOUT": str(self.patience)}

    def run(self, *arguments: str, started: Future[int] | None = None) -> Ran:
        call = self.zygote.call(self.world.root, self.environment, *arguments)
        if started:
            started.set_result(call.pid)
        ran = call.wait()
        check_manners(ran)
        return ran

    def ok(self, *arguments: str) -> None:
        ran = self.run(*arguments)
        assert ran.code == 0, ran.err

    def outcome(self) -> str:
        """Everything that is there in the end, to the last commit, and what ada's repository remembers of it."""
        there = [(name, each.refs(), sorted(each.labels)) for name, each in sorted(self.github.repositories.items())]
        here = git.refs(self.world.root / ".git", BRANCH, NOTEBOOK)
        memory = (self.world.folder() / "published.json").read_text().replace(self.github.url, "http://github")
        return f"{self.github.dump()}\n{there}\n{here}\n{memory}"


@dataclass
class Clean:
    """How a flow goes where nothing goes wrong."""

    requests: list[str]
    outcome: str


@dataclass
class Workshop:
    """What is made once, and copied for each case."""

    folder: Path
    _clean: dict[str, Clean] = field(default_factory=dict)
    _tidy: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    @cached_property
    def sessions(self) -> dict[str, Path]:
        """Repositories with a session and its result commit, which have forgotten that it was published; `long` is `short` after
        five more experiments."""
        world = World(self.folder / "repo")
        world.root.mkdir()
        world.git("init", "-q")
        world.commit({"solver.py": SOLVER, "bench.py": BENCH, ".gitignore": "__pycache__/\n"})
        world.configure(metric="score", direction="max", run="{python} bench.py", editable="solver.py", inspiration="no",
                        baseline_runs="1")  # fmt: skip
        found = {}
        for name, more in (("short", ["--experiments", "4"]), ("long", ["--experiments", "5", "--resume"])):
            world.ok("start", "--tag", "t", *more)
            with GitHub(self.folder / f"github-{name}") as github:
                publish_once(github, world)
            found[name] = Path(shutil.copytree(world.root, self.folder / name, symlinks=True))
            (found[name] / ".git/autoresearch/cpu/t/published.json").unlink()
            World(found[name]).git("remote", "remove", "origin")
            world.git("remote", "remove", "origin")
        return found

    @cached_property
    def zygote(self) -> Zygote:
        found = Zygote(self.sessions["short"], "publish", "--dry-run", "--to", HUB)
        self._tidy.callback(found.close)
        return found

    @contextlib.contextmanager
    def scene(self, flow: Flow, place: Path, patience: int = 20) -> Iterator[Scene]:
        """A world of one case's own, at the beginning of a flow."""
        with GitHub(place / "github") as github:
            world = World(place / "repo")
            shutil.copytree(self.sessions[flow.before or flow.session], world.root, symlinks=True)
            prepare(github, world, flow.own)
            scene = Scene(github, world, self.zygote, flow, patience)
            if flow.before:
                scene.ok("publish", "--yes")
                memory = (world.folder() / "published.json").read_text()
                if flow.session != flow.before:
                    shutil.rmtree(world.root)
                    shutil.copytree(self.sessions[flow.session], world.root, symlinks=True)
                    connect(github, world)
                    (world.folder() / "published.json").write_text(memory)
            github.requests.clear()
            yield scene
        shutil.rmtree(place)

    def clean(self, flow: Flow) -> Clean:
        if flow.name not in self._clean:
            with self.scene(flow, self.folder / f"clean-{len(self._clean)}") as scene:
                scene.ok(*flow.arguments)
                requests = [request.what for request in scene.github.requests]
                check_world(scene)
                check_nothing_changes(scene)
                self._clean[flow.name] = Clean(requests, scene.outcome())
        assert len(self._clean[flow.name].requests) >= flow.least
        return self._clean[flow.name]

    def close(self) -> None:
        self._tidy.close()


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    found = Workshop(tmp_path_factory.mktemp("workshop"))
    yield found
    found.close()


def prepare(github: GitHub, world: World, own: bool) -> None:
    github.user("ada", token=TOKEN)
    hub = github.repository(HUB, discussions=True)
    hub.import_from(world.root / ".git", ["+refs/heads/main:refs/heads/main"])
    if own:
        hub.allow("ada", "write")
    connect(github, world)


def connect(github: GitHub, world: World) -> None:
    with (world.root / ".git" / "config").open("a") as file:
        file.write(f'[remote "origin"]\n\turl = {github.url}/{HUB}.git\n[autoresearch]\n\tapi-url = {github.api_url}\n')


def publish_once(github: GitHub, world: World) -> None:
    prepare(github, world, own=False)
    ran = world.run("publish", "--yes", env={"GH_ENTERPRISE_TOKEN": TOKEN})
    assert ran.code == 0, ran.err


# -- what must hold -----------------------------------------------------------------------------------------------------


def check_manners(ran: Ran) -> None:
    """Whatever went wrong, a user reads what happened and what to type, and no secret."""
    said = f"{ran.out}\n{ran.err}"
    assert ran.code in (0, 1, -signal.SIGKILL), said
    assert "Traceback" not in said
    assert TOKEN not in said
    if ran.code == 1:
        assert re.search(r"^error: .+\n  try: .+\n\Z", ran.err, re.MULTILINE), ran.err


def check_world(scene: Scene) -> None:
    """One pull request with the branch's very commits, one Discussion, each with the other's link, and nothing besides."""
    where = HUB if scene.flow.own else FORK
    hub, home = scene.github.repositories[HUB], scene.github.repositories[where]
    (pull,), (discussion,) = hub.pulls.values(), hub.discussions.values()
    assert f"{scene.github.url}/{HUB}/discussions/{discussion.number}" in pull.body
    assert f"{scene.github.url}/{HUB}/pull/{pull.number}" in discussion.body
    tip = scene.world.git("rev-parse", BRANCH)
    assert pull.head_ref_oid == tip
    commits = git.run(hub.git_dir, "rev-list", "--topo-order", f"refs/heads/main..refs/pull/{pull.number}/head")
    assert commits == scene.world.git("rev-list", "--topo-order", f"main..{BRANCH}")
    ours = {ref: sha for ref, sha in home.refs().items() if not ref.startswith("refs/pull/") and ref != "refs/heads/main"}
    assert ours == {BRANCH: tip, NOTEBOOK: scene.world.git("rev-parse", NOTEBOOK)}
    assert set(scene.github.repositories) == {HUB, where}
    withdrawn = scene.flow is WITHDRAWAL
    assert (pull.state, discussion.closed) == ("CLOSED" if withdrawn else "OPEN", withdrawn)
    labels = ["autoresearch"] if scene.flow.own else []
    assert [list(hub.labels), [x.name for x in pull.labels], [x.name for x in discussion.labels]] == [labels] * 3


def check_nothing_changes(scene: Scene) -> None:
    before, asked = scene.outcome(), len(scene.github.requests)
    scene.ok(*scene.flow.arguments)
    assert [request.what for request in scene.github.requests[asked:] if writes(request.what)] == []
    assert scene.outcome() == before


def writes(what: str) -> bool:
    """Whether a request is one that changes something: REST and git by their method, GraphQL by its field."""
    reads = ("GET ", "viewer", "repository")
    return not what.startswith(reads) and not what.endswith("git-upload-pack")


# -- one case -----------------------------------------------------------------------------------------------------------


def spoil(github: GitHub, kind: str, n: int, times: int, started: Future[int]) -> None:
    """Let the n-th request from now on go wrong, and those that follow it, `times` in all."""
    fault, killed = KINDS[kind]
    for place in range(n, n + times):
        if fault:
            github.fail_at(place, fault, seconds=2.5, retry_after=1)
        if killed:
            github.on_request(place, lambda: os.killpg(started.result(20), signal.SIGKILL), after=killed == "after")


def run_case(workshop: Workshop, flow: Flow, kind: str, n: int, times: int, place: Path) -> int:
    """How many runs it took to succeed."""
    with workshop.scene(flow, place, 2 if "silent" in kind else 20) as scene:
        started: Future[int] = Future()
        spoil(scene.github, kind, n, times, started)
        ran = scene.run(*flow.arguments, started=started)
        fault, killed = KINDS[kind]
        assert (ran.code == -signal.SIGKILL) == bool(killed), f"{ran.code}\n{ran.err}"
        assert killed or sum(request.fault == fault for request in scene.github.requests) == times
        runs = 1
        while ran.code != 0:
            assert runs < RUNS, f"after {runs} runs: {ran.err}"
            ran = scene.run(*flow.arguments)
            runs += 1
        assert scene.outcome() == workshop.clean(flow).outcome  # which holds all that must hold, and nothing changes any more
        if kind == "killed-after":
            check_nothing_changes(scene)
        for path in scene.world.root.rglob("*"):
            assert not path.is_file() or TOKEN.encode() not in path.read_bytes(), path
        return runs


def run_cases(workshop: Workshop, flow: Flow, kind: str, places: Sequence[int], folder: Path, times: int = 1) -> None:
    """A case for each of these requests. Every one that ends wrong is told, and how many runs the others took."""
    asked = workshop.clean(flow).requests
    with ThreadPoolExecutor(LANES) as lanes:
        cases = {n: lanes.submit(run_case, workshop, flow, kind, n, times, folder / str(n)) for n in places}
    wrong = [f"{kind} at {n} ({asked[n]}): {error!r}" for n, each in cases.items() if (error := each.exception())]
    taken = collections.Counter(each.result() for each in cases.values() if not each.exception())
    print(f"{flow.name}, {kind}: {len(cases)} points; runs needed: {json.dumps(taken, sort_keys=True)}")
    assert not wrong, "\n\n".join(wrong)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.startswith("reset")])  # to the client those are lost, too
def test_a_first_publication_survives_a_fault_at_any_request(kind: str, workshop: Workshop, tmp_path: Path) -> None:
    asked = workshop.clean(FIRST_FORK).requests
    every, turn = kind == "lost", list(KINDS).index(kind)  # at a read the others differ little: each read sees one or two of them
    points = [n for n, what in enumerate(asked) if every or writes(what) or n % 3 == turn % 3]
    run_cases(workshop, FIRST_FORK, kind, points, tmp_path)


@pytest.mark.parametrize("kind", [*LASTING, "502", "reset"])
def test_labels_survive_a_fault_at_any_request(kind: str, workshop: Workshop, tmp_path: Path) -> None:
    """Only who may push to the target sets them; all else is asked of a fork, too."""
    labels = [n for n, what in enumerate(workshop.clean(FIRST_OWN).requests) if "abel" in what]
    assert len(labels) >= 3
    run_cases(workshop, FIRST_OWN, kind, labels, tmp_path)


@pytest.mark.parametrize("kind", LASTING)
@pytest.mark.parametrize("flow", [UPDATE, WITHDRAWAL], ids=lambda flow: flow.name)
def test_what_is_published_survives_a_fault_at_any_write(flow: Flow, kind: str, workshop: Workshop, tmp_path: Path) -> None:
    """What these flows read, a first publication reads, too."""
    run_cases(workshop, flow, kind, [n for n, what in enumerate(workshop.clean(flow).requests) if writes(what)], tmp_path)


@pytest.mark.parametrize("kind", ["reset", "reset-after"])
def test_a_push_that_git_itself_sends_again_may_fail_again(kind: str, workshop: Workshop, tmp_path: Path) -> None:
    """git sends a push a second time where a connection that it has used before ends without an answer."""
    asked = workshop.clean(FIRST_FORK).requests
    run_cases(workshop, FIRST_FORK, kind, [n for n, what in enumerate(asked) if "POST" in what and "receive" in what], tmp_path, 2)
