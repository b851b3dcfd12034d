"""What git says of a report's branch: its commits beyond the hub's default branch, what each changes, and the files at its
head. Read for any number of heads in a handful of git processes; nothing is checked out."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from autoresearch_git.community import changes
from autoresearch_git.community.changes import Change
from autoresearch_git.errors import AutoresearchError
from autoresearch_git.experiment import Experiment
from autoresearch_git.ledger import trailers
from autoresearch_git.plaintext import one_line
from autoresearch_git.repository import CommitMessage, FileChange, Store

MOST_COMMITS = 1_000  # of one branch, the newest
MOST_FILES = 300  # whose blobs are remembered
DEEPEST = 2  # folders that they may lie in
CODE = (".py", ".toml", ".lock", ".txt", ".sh", ".c", ".cpp", ".cu", ".rs", ".go", ".js", ".ts", ".jl", ".json", ".yaml", ".yml")
MOST_LINES = 40  # of one diff that are kept to compare it by
_REVERTS = re.compile(r"This reverts commit ([0-9a-f]{7,40})")


@dataclass(frozen=True)
class BranchCommit:
    """One commit. `own`: it stands on the branch itself, not on one that was merged into it. `edits`: it changes an editable
    file. `restores`: it only brings back what was there before; the commits in between are `undone`. `told` is the
    experiment that its own trailers describe, where they do, and `metric` the name of what was measured."""

    sha: str
    subject: str
    body: str
    own: bool
    changes: tuple[Change, ...] = ()
    lines: frozenset[str] = frozenset()
    edits: bool = False
    restores: bool = False
    undone: bool = False
    told: Experiment | None = None
    metric: str = ""

    @property
    def tries(self) -> bool:
        """Whether it tries something: an edit of its own that is not the taking back of another."""
        return self.own and self.edits and not self.restores


@dataclass(frozen=True)
class Branch:
    """`commits` are the oldest first; `changed` what the head has changed since `base`, by path; `files` the blobs that may
    measure, empty where not all changes could be told."""

    head: str
    base: str
    commits: tuple[BranchCommit, ...] = ()
    changed: Mapping[str, FileChange] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)

    def find(self, sha: str) -> BranchCommit | None:
        """The commit that a (short) sha names, if exactly one does."""
        found = [c for c in self.commits if c.sha.startswith(sha)] if sha else []
        return found[0] if len(found) == 1 else None


def read_branches(store: Store, heads: Iterable[str], default: str, editable: Sequence[str]) -> dict[str, Branch]:
    """The branches that end at `heads`, by head. `default` is the tip of the hub's default branch, or empty."""
    tips = sorted(set(heads))
    exclude = [default] if default else []
    history = store.history(tips, exclude)
    ranks = store.ranks(default) if default else {}
    shapes = {tip: _walk(tip, history, ranks) for tip in tips}
    patches = dict(_patches(store, tips, exclude, editable))
    pairs = [(base, tip) for tip, (base, _) in shapes.items() if base and tip not in ranks]
    changed = dict(zip((tip for _, tip in pairs), store.changed_files(pairs), strict=True))
    trees: dict[str, dict[str, tuple[str, str]]] = {}
    edits = _edits(store, history, editable)
    branches = {}
    for tip, (base, shas) in shapes.items():
        files = _files_at(store, tip, base, changed.get(tip), trees)
        whole = changed[tip].complete if tip in changed else True
        own = _first_parents(tip, history)
        fates = _fates({path: blob for path, (_, blob) in trees[base or tip].items()}, own, edits, history, editable)
        commits = tuple(_commit(history[sha], patches.get(sha), set(own), fates) for sha in shas[-MOST_COMMITS:])
        branches[tip] = Branch(tip, base, commits, changed.get(tip, {}), _that_may_measure(files) if whole else {})
    return branches


def _that_may_measure(files: Mapping[str, str]) -> dict[str, str]:
    """Of the files at a head those that a harness may be made of, near the top: there may be a hundred thousand others."""
    return {path: files[path] for path in itertools.islice(filter(_is_near, sorted(files)), MOST_FILES)}


def _is_near(path: str) -> bool:
    return path.count("/") <= DEEPEST and path.endswith(CODE)


def remembered(paths: Iterable[str], files: Mapping[str, str]) -> list[str]:
    """Those of the paths that the remembered `files` of a head would hold if the head had them, in order."""
    near = sorted(filter(_is_near, files))
    last = near[MOST_FILES - 1] if len(near) >= MOST_FILES else None
    return sorted(path for path in paths if path in files or (_is_near(path) and (last is None or path <= last)))


def _edits(store: Store, history: Mapping[str, CommitMessage], editable: Sequence[str]) -> dict[str, dict[str, FileChange]]:
    """commit → what it changes of the editable files, against its first parent."""
    pairs = [(message.parents[0], sha) for sha, message in history.items() if message.parents]
    found = store.changed_files(pairs, editable)
    return {sha: changed for (_, sha), changed in zip(pairs, found, strict=True) if changed}


def _first_parents(tip: str, history: Mapping[str, CommitMessage]) -> list[str]:
    """The branch itself, the oldest first: what was merged into it is somebody else's."""
    chain = []
    while tip in history:
        chain.append(tip)
        tip = history[tip].parents[0] if history[tip].parents else ""
    return chain[::-1]


@dataclass(frozen=True)
class _Fates:
    undone: frozenset[str]
    restores: frozenset[str]


def _fates(
    before: Mapping[str, str],
    own: Sequence[str],
    edits: Mapping[str, Mapping[str, FileChange]],
    history: Mapping[str, CommitMessage],
    editable: Sequence[str],
) -> _Fates:
    """Which commits were undone, and by which: a commit whose editable files are those of an earlier state undoes all between,
    whatever its message says; one that says `This reverts commit …` undoes that one."""
    state = tuple(before.get(path, "") for path in editable)
    states = [("", state)]
    undone: set[str] = set()
    restores: set[str] = set()
    for sha in own:
        changed = edits.get(sha, {})
        after = tuple(changed[path].blob if path in changed else blob for path, blob in zip(editable, state, strict=True))
        named = _REVERTS.search(history[sha].text[:4_000])
        known = next((i for i in range(len(states) - 1, -1, -1) if states[i][1] == after), None)
        if after != state and known is not None:
            undone |= {name for name, _ in states[known + 1 :]}
            restores.add(sha)
            del states[known + 1 :]
        elif after != state:
            states.append((sha, after))
            if named:
                undone |= {name for name in own if name.startswith(named[1])}
                restores.add(sha)
        state = after
    return _Fates(frozenset(undone), frozenset(restores))


def _walk(tip: str, history: Mapping[str, CommitMessage], ranks: Mapping[str, int]) -> tuple[str, list[str]]:
    """(merge base, commits oldest first) of one head: everything that it reaches in `history`; the base is the newest commit
    of the default branch that a commit of it has as parent."""
    if tip not in history:
        return tip, []
    seen: set[str] = set()
    edge: set[str] = set()
    order: list[str] = []
    stack = [(tip, False)]
    while stack:
        sha, done = stack.pop()
        if done:
            order.append(sha)
        elif sha not in seen:
            seen.add(sha)
            stack.append((sha, True))
            for parent in reversed(history[sha].parents):
                if parent in history:
                    stack.append((parent, False))
                else:
                    edge.add(parent)
    return min(edge, key=lambda sha: ranks.get(sha, len(ranks)), default=""), order


def _patches(
    store: Store, tips: Sequence[str], exclude: Sequence[str], editable: Sequence[str]
) -> Iterable[tuple[str, tuple[tuple[Change, ...], frozenset[str]]]]:
    for sha, patch in store.patches(tips, exclude, editable):
        yield sha, (changes.in_patch(patch), changes.normal_lines(patch))


def _commit(
    message: CommitMessage, patch: tuple[tuple[Change, ...], frozenset[str]] | None, own: set[str], fates: _Fates
) -> BranchCommit:
    subject, _, body = message.text.partition("\n")
    return BranchCommit(
        sha=message.sha,
        subject=one_line(subject),
        body=body[:4_000],
        own=message.sha in own and len(message.parents) < 2,
        changes=patch[0] if patch else (),
        lines=frozenset(sorted(patch[1])[:MOST_LINES]) if patch else frozenset(),
        edits=patch is not None,
        restores=message.sha in fates.restores,
        undone=message.sha in fates.undone,
        **_told(message.text),
    )


def _told(message: str) -> dict[str, Any]:
    """The fields that a message's trailers give."""
    if f"\n{trailers.PREFIX}Experiment: " not in message:
        return {}
    try:
        metric = one_line(trailers.parse(message)["Metric"][0].partition(" ")[0], 40)
        return {"told": trailers.read_experiment(message), "metric": metric}
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        return {}


def _files_at(
    store: Store, tip: str, base: str, changed: Mapping[str, FileChange] | None, trees: dict[str, dict[str, tuple[str, str]]]
) -> dict[str, str]:
    """path → blob of the files at a head that may be its harness: the base's, with what the branch changed."""
    start = base or tip
    if start not in trees:
        try:
            trees[start] = store.tree(start)
        except AutoresearchError:  # larger than anything that is looked at here
            trees[start] = {}
    files = {path: blob for path, (mode, blob) in trees[start].items() if mode.startswith("100")}
    for path, change in (changed or {}).items():
        if change.mode.startswith("100"):
            files[path] = change.blob
        else:
            files.pop(path, None)
    return files
