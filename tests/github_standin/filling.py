"""Thousands of pull requests and Discussions in a second or two: the same ones every time.

They look like what karpathy/autoresearch carries: one file changed, a results table at some heads, bodies that are
empty, prose, a table, a fenced log or a record; numbers on three platforms; most pull requests closed.
"""

from __future__ import annotations

import json
import random
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from github_standin import git
from github_standin.models import ChangedFile, Discussion, Pull

if TYPE_CHECKING:
    from github_standin.repository import Repository

AUTHORS = 40
PLATFORMS = ("H100", "RTX4090", "M4Max")
KNOBS = (
    ("TOTAL_BATCH_SIZE", "2**19", "2**18", "halve the total batch"),
    ("DEPTH", "8", "9", "one more layer"),
    ("MATRIX_LR", "0.04", "0.05", "higher matrix learning rate"),
    ("WARMDOWN_RATIO", "0.5", "0.7", "longer warmdown"),
    ("WINDOW_PATTERN", '"SSSL"', '"SSSSL"', "more short windows"),
    ("WEIGHT_DECAY", "0.2", "0.1", "less weight decay"),
)
TRAIN = (
    "from prepare import evaluate_bpb\n"
    + "".join(f"{name} = {value}\n" for name, value, _, _ in KNOBS)
    + 'print("val_bpb:", 0.9979)\n'
)
FILES: dict[str, git.Content] = {
    "train.py": TRAIN,
    "prepare.py": "TIME_BUDGET = 300\n\n\ndef evaluate_bpb(model):\n    return model\n",
    "program.md": "# program\n\nLower val_bpb.\n",
    "README.md": "# autoresearch\n",
}
SCRATCH = "refs/filling"
BEGINNING = datetime(2026, 3, 8, tzinfo=timezone.utc)


def fill(repository: Repository, pulls: int, discussions: int) -> None:
    if not repository.refs(f"refs/heads/{repository.default_branch}"):
        repository.commit(FILES, branch=repository.default_branch, message="base")
    repository.has_discussions_enabled = repository.has_discussions_enabled or discussions > 0
    base = repository.base_oid(repository.default_branch)
    made: dict[int, Pull] = {}
    first_pull, first_discussion = len(repository.pulls), len(repository.discussions)  # a second filling goes on
    for turn in range(max(pulls, discussions)):
        if turn < pulls:
            made[first_pull + turn] = _pull(repository, first_pull + turn, base, random.Random(f"pull {first_pull + turn}"))
        if turn < discussions:
            _discussion(repository, first_discussion + turn, random.Random(f"discussion {first_discussion + turn}"))
    _write_heads(repository, made, base)


def _times(turn: int, rng: random.Random) -> tuple[str, str]:
    """Created ten minutes apart; most were touched again within the next day."""
    created = BEGINNING + timedelta(minutes=10 * turn)
    updated = created + timedelta(seconds=rng.choice((0, rng.randrange(86_400))))
    return tuple(f"{moment:%Y-%m-%dT%H:%M:%SZ}" for moment in (created, updated))  # type: ignore[return-value]


def _pull(repository: Repository, turn: int, base: str, rng: random.Random) -> Pull:
    hub = repository.hub
    author = hub.person(f"author{turn % AUTHORS}")
    fork = hub.find(author.login, repository.name) or hub.add_repository(author, repository.name, parent=repository)
    knob, platform = KNOBS[turn % len(KNOBS)], PLATFORMS[turn % len(PLATFORMS)]
    branch = f"exp/{platform}/fill{turn}"
    title = rng.choice((branch, f"[{platform}] {knob[3]}: val_bpb {_metric(rng):.6f}", f"{knob[0]} {knob[1]} → {knob[2]}"))
    body = _body(rng, repository.name_with_owner, platform, branch, knob[3])
    pull = repository.add_pull(
        title, body, author, fork, branch, "", repository.default_branch, rng.random() < 0.2, write_ref=False
    )
    pull.base_ref_oid = base
    pull.created_at, pull.updated_at = _times(turn, rng)
    pull.state = rng.choices(("CLOSED", "OPEN", "MERGED"), (70, 27, 3))[0]
    pull.closed_at = None if pull.state == "OPEN" else pull.updated_at
    pull.merged_at = pull.updated_at if pull.state == "MERGED" else None
    _converse(repository, pull, rng)
    if turn % 50 == 7:  # the account is gone
        pull.author = None
    if pull.state != "OPEN" and turn % 20 == 3:  # the fork is gone
        pull.head_repository = None
    return pull


def _discussion(repository: Repository, turn: int, rng: random.Random) -> None:
    knob, platform = KNOBS[turn % len(KNOBS)], PLATFORMS[turn % len(PLATFORMS)]
    author = repository.hub.person(f"author{(turn * 7) % AUTHORS}")
    start = _metric(rng)
    title = rng.choice(
        (f"Session report: {start:.4f} → {start - 0.01:.4f} in {20 + turn % 90} experiments", knob[3], f"{platform} notes")
    )
    body = _body(rng, repository.name_with_owner, platform, f"exp/{platform}/fill{turn}", knob[3])
    category = repository.categories[-1] if turn % 5 else repository.categories[1]
    discussion = repository.add_discussion(title, body, author, category)
    discussion.created_at, discussion.updated_at = _times(turn, rng)
    _converse(repository, discussion, rng)


def _converse(repository: Repository, subject: Pull | Discussion, rng: random.Random) -> None:
    for _ in range(rng.choice((0, 0, 0, 1, 2))):
        author = repository.hub.person(f"author{rng.randrange(AUTHORS)}")
        comment = repository.add_comment(subject, author, f"Same here: val_bpb {_metric(rng):.6f}.", append=False)
        comment.created_at = comment.updated_at = subject.updated_at
        subject.comments.append(comment)
        if isinstance(subject, Discussion) and rng.random() < 0.3:
            reply = repository.add_comment(subject, author, "With which seed?", comment, append=False)
            reply.created_at = reply.updated_at = subject.updated_at
            comment.replies.append(reply)
    repository.hub.observe(subject.updated_at)


def _metric(rng: random.Random) -> float:
    return 0.9979 - rng.random() * 0.02


def _rows(rng: random.Random, count: int) -> list[tuple[str, float, float, str, str]]:
    """(commit, val_bpb, memory in GB, status, description)."""
    return [
        (f"{rng.getrandbits(28):07x}", _metric(rng), 44.0, rng.choice(("keep", "discard")), rng.choice(KNOBS)[3])
        for _ in range(count)
    ]


def _body(rng: random.Random, repository: str, platform: str, branch: str, idea: str) -> str:
    kind = rng.randrange(5)
    if kind == 0:
        return ""
    if kind == 1:
        return f"I tried to {idea} on {platform}. val_bpb went from {0.9979:.6f} to {_metric(rng):.6f}.\n"
    rows = _rows(rng, rng.randrange(1, 8))
    if kind == 2:
        table = "".join(f"| {sha} | {value:.6f} | {status} | {words} |\n" for sha, value, _, status, words in rows)
        return f"## Results\n\n| commit | val_bpb | status | description |\n|---|---|---|---|\n{table}"
    if kind == 3:
        return f"{idea}\n\n```\nval_bpb:          {_metric(rng):.6f}\ntraining_seconds: 300.1\nnum_steps:        953\n```\n"
    best = min(value for _, value, *_ in rows)
    findings = [
        {"commit": sha, "delta": round(value - 0.9979, 6), "description": words, "status": status}
        for sha, value, _, status, words in rows
    ]
    record = {"session": branch.partition("/")[2], "repository": repository, "branch": branch, "platform": {"name": platform},
              "metric": {"name": "val_bpb", "direction": "min"}, "baseline": {"mean": 0.9979, "n": 2},
              "best": {"mean": round(best, 6)}, "findings": findings}  # fmt: skip
    return f"<!-- autoresearch:1\n{json.dumps(record)}\n-->\n\n{idea}\n"


def _write_heads(repository: Repository, pulls: dict[int, Pull], base: str) -> None:
    """One commit a pull request, all in one `git fast-import`; then every fork's branches in one file."""
    stream: list[bytes] = []
    branches: dict[Repository, dict[str, str]] = {}
    start = int(BEGINNING.timestamp())
    for mark, (turn, pull) in enumerate(pulls.items(), 1):
        files, pull.known_files = _head_files(turn)
        stream.append(git.commit_command(SCRATCH, mark, pull.title, start + 600 * turn, base, files, pull.head_owner))
    shas = git.fast_import(repository.git_dir, b"".join(stream), len(pulls)) if pulls else []
    heads = {f"refs/pull/{pull.number}/head": sha for pull, sha in zip(pulls.values(), shas, strict=True)}
    git.add_packed_refs(repository.git_dir, heads, without=SCRATCH)  # a loose ref each would take ten times as long
    for pull, sha in zip(pulls.values(), shas, strict=True):
        pull.head_ref_oid = sha
        fork = pull.head_repository
        if fork is None:
            continue
        branches.setdefault(fork, {f"refs/heads/{fork.default_branch}": base})[f"refs/heads/{pull.head_ref_name}"] = sha
    for fork, named in branches.items():
        git.add_packed_refs(fork.git_dir, named)


def _head_files(turn: int) -> tuple[list[bytes], tuple[ChangedFile, ...]]:
    """The changes of one head, for git and as GitHub shows them: train.py, and a table in every fourth."""
    rng = random.Random(f"head {turn}")
    name, old, new, _ = KNOBS[turn % len(KNOBS)]
    text = TRAIN.replace(f"{name} = {old}\n", f"{name} = {new}  # {turn}\n")
    files, known = [git.file_command("train.py", text)], [ChangedFile("train.py", "MODIFIED", 1, 1)]
    if turn % 4 == 0:
        rows = _rows(rng, 3)
        table = "commit\tval_bpb\tmemory_gb\tstatus\tdescription\n" + "".join(
            f"{sha}\t{value:.6f}\t{memory}\t{status}\t{words}\n" for sha, value, memory, status, words in rows
        )
        files.append(git.file_command("results.tsv", table))
        known.insert(0, ChangedFile("results.tsv", "ADDED", len(rows) + 1, 0))
    return files, tuple(known)
