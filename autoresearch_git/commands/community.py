"""How commands reach the community: the library and the store of this repository, its hubs, and what a number means here."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from autoresearch_git import constants, tokens
from autoresearch_git.community.comparable import Comparability, Here, compare
from autoresearch_git.community.findings import Finding
from autoresearch_git.community.hubs import Hub, hubs, no_api, token_for, with_parent
from autoresearch_git.community.inspiration import Inspiration, inspire
from autoresearch_git.community.library import Heard, Library, open_library
from autoresearch_git.community.sources import Sources
from autoresearch_git.config import Settings
from autoresearch_git.errors import AutoresearchError
from autoresearch_git.experiment import Experiment, Figure, Metric, Session
from autoresearch_git.lab import machine
from autoresearch_git.lab.harness import LOCK_FILES, read_harness
from autoresearch_git.ledger import notebook
from autoresearch_git.ledger.session import begun_here, session_names
from autoresearch_git.plaintext import one_line
from autoresearch_git.repository import Repository, open_store

if TYPE_CHECKING:
    from autoresearch_git.community.sync import Syncer

PATIENCE = 900.0  # seconds that a sync asked for waits for a rate limit


@dataclass
class Told:
    """What a sync came to, over all hubs; `others` are the reports that are not our own."""

    reports: int = 0
    findings: int = 0
    others: int = 0
    others_findings: int = 0
    calls: int = 0
    points: int = 0
    read: int = 0  # hubs that answered
    unread: int = 0


@dataclass
class Standpoint:
    """From where the community's findings are looked at: a repository, its library, and what numbers mean here."""

    repository: Repository
    library: Library
    here: Here
    editable: tuple[str, ...]
    replications: dict[str, list[Heard]]

    def verdict(self, finding: Finding) -> Comparability:
        return compare(finding, self.here, self.replications.get(finding.report.key, ()))


def library_path(repository: Repository) -> Path:
    return repository.common_dir / "autoresearch" / "community" / "library.sqlite"


def read_library(repository: Repository) -> Library:
    return open_library(library_path(repository))


def here(repository: Repository, settings: Settings, platform: str | None = None, base: str = "HEAD") -> Here:
    """What a number of this repository means on this machine, or on the platform that the user names."""
    own = settings.platform or machine.hardware_class(machine.gpu_name())
    metric = Metric(settings.metric, settings.direction)
    commit = repository.resolve(base)
    mine = _own(repository)
    if commit is None:
        return Here(metric, platform or own, settings.budget, own=mine)
    session = Session(
        own, "", commit, metric, settings.run, settings.editable, settings.budget, settings.timeout, prepare=settings.prepare
    )
    harness = read_harness(repository, session)
    data = _data(repository, own) if platform in (None, own) else ""
    files = {path: blob for path, blob in harness.files.items() if path not in LOCK_FILES}
    return Here(metric, platform or own, settings.budget, files, data, mine)


def _own(repository: Repository) -> frozenset[str]:
    """The commits of the sessions that were begun here: experiments, the results that were published, and all records."""
    begun = [notebook.NAMESPACE + name for name in session_names(repository) if begun_here(repository, name)]
    return frozenset(repository.chained(begun))


def _data(repository: Repository, platform: str) -> str:
    """The data that the latest session of this machine was measured on, as its harness named it."""
    for name in session_names(repository):
        if name.startswith(f"{platform}/") and begun_here(repository, name):
            experiments = notebook.read(repository, notebook.NAMESPACE + name).experiments
            if experiments:
                return str(experiments[0].measurements[0].figures.get("data", ""))
    return ""


def sync(
    repository: Repository, settings: Settings, library: Library, say: Callable[[str], None], patience: float, seconds: float
) -> Told:
    """Bring the library up to date with every hub. What cannot be read is said, and the rest is read."""
    queue, told, done, names = hubs(repository, settings), Told(), set[str](), list[str]()
    if not queue:
        with library.transaction():
            library.keep_only([])
        return told
    from autoresearch_git.community.sync import Syncer  # only who reads a hub needs PyGithub

    store = open_store(library.path.parent / "store.git")
    own = _own(repository)
    syncer = Syncer(library, store, say, Metric(settings.metric, settings.direction), settings.editable, own, seconds)
    while queue:
        hub = queue.pop(0)
        if hub.key in done:
            continue
        done.add(hub.key)
        names.append(hub.name)
        parent = _sync_one(repository, syncer, hub, say, patience, seconds, settings.api_timeout, settings.api_url, told)
        parent = parent or library.hub_state(hub.name).get("parent", "")
        if parent and not settings.hub:
            queue.append(with_parent(hub, parent))
    with library.transaction():
        library.keep_only(names)
    return told


def sources(repository: Repository, settings: Settings, library: Library, onto: str, say: Callable[[str], None]) -> Sources:
    """What finds the commits that a user names: at the hubs, in what they were forked from, and in this repository. `onto` is the
    commit that the session which takes them grew from."""
    known = hubs(repository, settings)
    parents = ((hub, library.hub_state(hub.name).get("parent", "")) for hub in known if not settings.hub)
    every = [*known, *(with_parent(hub, parent) for hub, parent in parents if parent)]
    store = open_store(library.path.parent / "store.git", repository.common_dir / "objects")

    def secret(hub: Hub) -> str:
        token = token_for(repository, hub)
        return token.value if token else ""

    return Sources(repository, settings, library, store, onto, list({hub.key: hub for hub in every}.values()), secret, say)


def _sync_one(
    repository: Repository,
    syncer: Syncer,
    hub: Hub,
    say: Callable[[str], None],
    patience: float,
    seconds: float,
    timeout: float,
    api_url: str,
    told: Told,
) -> str:
    from autoresearch_git.community.github import TRIES, Reader

    if hub.note:
        say(f"note: {hub.name}: {hub.note}")
    token = token_for(repository, hub)
    reader = None
    if token and hub.api:
        hurried = seconds < PATIENCE  # a session waits for us
        reader = Reader(hub.api, hub.owner_name, hub.name, token.value, token.source, say, patience,
                        timeout=min(10.0, timeout) if hurried else timeout, tries=2 if hurried else TRIES)  # fmt: skip
    elif hub.api:
        say(f"{hub.name}: {tokens.what_a_token_adds(hub.host)}")
    elif why := no_api(hub, api_url):
        say(f"{hub.name}: {why}")
    outcome = syncer.sync(hub, reader, token.value if token else "")
    for problem in outcome.problems:
        say(f"{hub.name}: {problem}")
    told.reports += outcome.reports
    told.findings += outcome.findings
    told.others += outcome.others
    told.others_findings += outcome.others_findings
    told.calls += outcome.calls
    told.points += outcome.points
    told.read += outcome.answered
    told.unread += not outcome.answered
    return outcome.parent


def inspire_here(
    repository: Repository, settings: Settings, library: Library, session: Session, facts: Mapping[str, Figure]
) -> Inspiration:
    """What the library holds for a session on this machine, given what failed here before. `facts` are the figures of its
    baseline's run, which say what constants are in force."""
    place = dataclasses.replace(here(repository, settings, base=session.base), metric=session.metric, platform=session.platform)
    place = dataclasses.replace(place, budget=session.budget)
    failed = [
        experiment.description
        for name in session_names(repository)
        if name.startswith(f"{session.platform}/")
        for experiment in notebook.read(repository, notebook.NAMESPACE + name).experiments
        if not experiment.status.advances
    ]
    path = next((p for p in session.editable if p.endswith(".py")), None)
    text = (repository.read_file(session.base, path) or b"").decode(errors="replace") if path else ""
    known = {name.upper(): value for name, value in facts.items() if isinstance(value, str)}
    try:
        found = constants.read(text, known).constants
    except SyntaxError:
        found = {}
    return inspire(library, place, found, failed)


def claimed(repository: Repository, experiments: Iterable[Experiment]) -> dict[str, float | None]:
    """What the findings that inspired experiments told of them, as far as the library still holds them."""
    wanted = {e.inspired_by for e in experiments if e.inspired_by}
    if not wanted or not library_path(repository).exists():
        return {}
    found: dict[str, float | None] = {}
    with read_library(repository) as library:
        for name in wanted:
            key, _, sha = name.rpartition(" ")
            claims = (claim for finding in library.named(key) for claim in finding.claims if sha and claim.sha.startswith(sha))
            found[name] = next((claim.delta for claim in claims), None)
    return found


def told_of(repository: Repository) -> Callable[[str], tuple[str, str, str]]:
    """What gives (title, author, address) of a finding by its key, as far as the library holds it."""

    def told(key: str) -> tuple[str, str, str]:
        if not library_path(repository).exists():
            return "", "", ""
        with read_library(repository) as library:
            report = library.report(key)
        return (one_line(report.title), one_line(report.author), report.url) if report else ("", "", "")

    return told


def no_hub() -> AutoresearchError:
    return AutoresearchError(
        "this repository has no hub to read: no `origin`, and no setting", "git config autoresearch.hub karpathy/autoresearch"
    )
