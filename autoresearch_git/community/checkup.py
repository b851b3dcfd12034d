"""What would be read from the community, and with which token: checked without the network."""

from __future__ import annotations

from collections.abc import Iterator

from autoresearch_git.community.hubs import Hub, hubs, token_for
from autoresearch_git.config import Settings
from autoresearch_git.errors import AutoresearchError
from autoresearch_git.lab.checkup import Check
from autoresearch_git.repository import Repository
from autoresearch_git.tokens import how_to_log_in


def checks(repository: Repository | None, settings: Settings | None) -> Iterator[Check]:
    """A line for each hub, and one for each GitHub host among them; nothing outside a repository."""
    if repository is None or settings is None:
        return
    try:
        found = hubs(repository, settings)
    except AutoresearchError as error:
        yield Check("hub", False, error.message, error.hint)
        return
    if not found:
        why = "origin is nothing that can be read" if "origin" in repository.remote_urls() else "there is no origin"
        yield Check("hub", False, f"none, as {why}", "git config autoresearch.hub karpathy/autoresearch", needed=False)
    for hub in found:
        how = "" if hub.api else ", by git alone: branches and pull-request heads"
        yield Check("hub", True, f"{hub.name} ({hub.source}){how}" + (f"; {hub.note}" if hub.note else ""))
    for host in dict.fromkeys(hub.host for hub in found if hub.host):
        yield _token(repository, next(hub for hub in found if hub.host == host))


def _token(repository: Repository, hub: Hub) -> Check:
    if not hub.trusted and hub.api.startswith("http:"):
        return Check("token", False, f"{hub.host}: none is sent, as it would travel in the clear",
                     f"git config autoresearch.api-url {hub.api.replace('http:', 'https:')}", needed=False)  # fmt: skip
    if not hub.trusted:
        return Check("token", False, f"{hub.host}: none is sent, as only {hub.source} names it, which came with the clone",
                     f"git config --add autoresearch.hub {hub.url}, if you know it", needed=False)  # fmt: skip
    try:
        token = token_for(repository, hub)
    except AutoresearchError as error:
        return Check("token", False, error.message, error.hint)
    if token is None:
        fact = f"{hub.host}: none, so only branches and pull-request heads are read; no Discussions"
        return Check("token", False, fact, how_to_log_in(hub.host), needed=False)
    return Check("token", True, f"{hub.host}: from {token.source}")
