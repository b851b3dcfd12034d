"""What carrying out a plan would change, in the words in which it is told before anybody agrees. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from autoresearch_git.community import record
from autoresearch_git.community.github import LABEL, Discussion, PullRequest, Target
from autoresearch_git.publishing.pages import Pages
from autoresearch_git.publishing.plan import MAY_LABEL, MAY_PUSH, Plan

AS_IT_IS = "as it is"


def withdrawn(item: PullRequest | Discussion) -> bool:
    """Whether it is closed, and by whoever posted it: then publishing again reopens it."""
    closed = item.state == "CLOSED" if isinstance(item, PullRequest) else item.closed
    return closed and record.WITHDRAWN in item.body


def says(item: PullRequest | Discussion, title: str, body: str) -> bool:
    """Whether it is what we would write, whatever line ends GitHub gave it."""
    return item.title == title and same_text(item.body, body)


def same_text(one: str, other: str) -> bool:
    """Whether both are the same but for line ends."""
    return one.replace("\r\n", "\n").strip() == other.replace("\r\n", "\n").strip()


def unlabelled(target: Target, items: Iterable[PullRequest | Discussion | None]) -> list[PullRequest | Discussion]:
    """Those that lack the label, where the viewer may set it."""
    may = target.permission in MAY_LABEL and (target.label or target.permission in MAY_PUSH)
    return [item for item in items if item and LABEL not in item.labels] if may else []


def of_pull(plan: Plan, told: Pages) -> str:
    """What becomes of the pull request. One that somebody else closed or merged is left alone."""
    pull = plan.pull
    if pull is None:
        return f"new, a draft into {plan.target.default_branch}"
    if pull.state != "OPEN" and not withdrawn(pull):
        return f"{pull.state.lower()} there, {AS_IT_IS}"
    return _becomes(pull, pull.state != "OPEN", says(pull, told.title, told.pull))


def of_discussion(plan: Plan, told: Pages) -> str:
    """What becomes of the Discussion; empty where there is none, and will be none."""
    discussion = plan.discussion
    if discussion is None:
        return f"new, in {plan.categories[0].name}" if plan.categories else ""
    return _becomes(discussion, withdrawn(discussion), says(discussion, told.title, told.paper))


def _becomes(item: PullRequest | Discussion, reopened: bool, same: bool) -> str:
    words = [*(["reopened"] if reopened else []), *([] if same else ["updated"])]
    return f"will be {' and '.join(words)}" if words else AS_IT_IS


def changes(plan: Plan, told: Pages, head: str, tip: str, lands: bool) -> Iterator[str]:
    """Everything that would not be as it is, a few words each. `head` and `tip` are where the branch and the notebook end here;
    `lands`: the notebook is yet to say that the branch ends there."""
    place = plan.place
    if plan.home is None:
        yield f"the fork {place.repository} is made"
    if plan.refs.get(plan.branch) != head:
        yield f"{place.branch} is pushed"
    if place.notebook and (lands or plan.refs.get(place.notebook) != tip):
        yield f"{place.notebook} is pushed"
    for name, state in (("the pull request", of_pull(plan, told)), ("the paper", of_discussion(plan, told))):
        if state.startswith(("new", "will be ")):
            yield f"{name} is {state.removeprefix('will be ')}"
    kept = plan.pull if plan.pull and plan.pull.state == "OPEN" else None
    if kept and unlabelled(plan.target, (kept, plan.discussion)):
        yield f"the label {LABEL} is set"
