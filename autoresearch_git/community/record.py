"""The record block that a body begins with: one HTML comment with JSON, for the next reader instead of prose. Read and written.

    <!-- autoresearch:1
    {"session":"H100/mar8","head":"<40-hex>","metric":{"name":"val_bpb","direction":"min"},…}
    -->

Unknown keys are ignored, a missing key means unknown. Whoever wrote the block is a stranger: every value is checked for
its type and cut to size before it counts.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from autoresearch_git.experiment import Metric
from autoresearch_git.plaintext import one_line

VERSION = 1
WITHDRAWN = "<!-- git-autoresearch withdrawn -->"  # in the body of what its author took back
_OPENING = re.compile(r"<!--[ \t]{0,8}autoresearch:(\d{1,6})\b")
_SHA = re.compile(r"[0-9a-f]{40}")
MOST_CLAIMS = 2_000


class BrokenRecordError(ValueError):
    """A body begins with a record block that cannot be read; the message says why, on one line."""


@dataclass(frozen=True)
class Estimate:
    """A number measured `n` times: mean and standard deviation of one run, where they are told."""

    mean: float
    sd: float | None = None
    n: int | None = None


@dataclass(frozen=True)
class ClaimedChange:
    """One of the record's own findings: a commit, what it does, and the change of the metric it brought."""

    commit: str
    description: str
    delta: float | None
    status: str


@dataclass(frozen=True)
class Replication:
    """A claim of somebody else, measured again: `of` names the finding, `outcome` is confirmed, not-reproduced or contradicted.
    `commit` is what was measured; `budget_seconds` how long each run was to train."""

    of: str
    outcome: str
    commit: str = ""
    platform: str = ""
    claimed: float | None = None
    measured: float | None = None
    budget_seconds: float | None = None


@dataclass(frozen=True)
class Record:
    """What a record block says. `identity` is the commit that opened the session's notebook, which no other session has."""

    session: str = ""
    identity: str = ""
    repository: str = ""
    branch: str = ""
    base: str = ""
    head: str = ""
    metric: Metric | None = None
    baseline: Estimate | None = None
    best: Estimate | None = None
    experiments: Mapping[str, int] = field(default_factory=dict)
    harness: str = ""
    data: str = ""
    budget_seconds: float | None = None
    platform: Mapping[str, str] = field(default_factory=dict)
    researcher: str = ""
    adopted_from: tuple[str, ...] = ()
    replications: tuple[Replication, ...] = ()
    findings: tuple[ClaimedChange, ...] = ()
    seeds: tuple[int, ...] = ()
    program: str = ""
    cost: Mapping[str, float] = field(default_factory=dict)


def write(record: Record) -> str:
    """The block that says what the record says; what is not known is left out."""
    fields = {name: value for name, value in dataclasses.asdict(record).items() if value not in (None, "", (), {})}
    for part in ("baseline", "best"):
        fields |= {part: _known(fields[part])} if part in fields else {}
    for part in ("findings", "replications"):
        fields |= {part: [_known(row) for row in fields[part]]} if part in fields else {}
    text = json.dumps(fields, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    inert = text.replace("<", "\\u003c").replace(">", "\\u003e")  # nothing in it ends the comment
    return f"<!-- autoresearch:{VERSION}\n{inert}\n-->"


def _known(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value not in (None, "")}


def read(body: str) -> Record | None:
    """The record that a body begins with, or None. Raises BrokenRecordError."""
    text = body.lstrip()
    match = _OPENING.match(text)
    end = text.find("-->")
    if not match or end < 0:
        return None
    if int(match[1]) != VERSION:
        raise BrokenRecordError(f"its record has version {int(match[1])}, this program reads {VERSION}")
    try:
        fields = json.loads(text[match.end() : end], parse_constant=lambda word: None)
    except (ValueError, RecursionError) as error:
        raise BrokenRecordError(f"its record is no JSON: {one_line(str(error), 80)}") from error
    if not isinstance(fields, dict):
        raise BrokenRecordError("its record is no JSON object")
    return _record(fields)


def _record(fields: Mapping[str, Any]) -> Record:
    metric = fields.get("metric")
    counts = fields.get("experiments")
    platform = fields.get("platform")
    return Record(
        session=_text(fields.get("session")),
        identity=_sha(fields.get("identity")),
        repository=_text(fields.get("repository")),
        branch=_text(fields.get("branch")),
        base=_sha(fields.get("base")),
        head=_sha(fields.get("head")),
        metric=_metric(metric) if isinstance(metric, dict) else None,
        baseline=_estimate(fields.get("baseline")),
        best=_estimate(fields.get("best")),
        experiments={_text(k): v for k, v in counts.items() if type(v) is int and 0 <= v < 10**9}
        if isinstance(counts, dict)
        else {},
        harness=_text(fields.get("harness")),
        data=_text(fields.get("data")),
        budget_seconds=_number(fields.get("budget_seconds")),
        platform={_text(k): _text(v) for k, v in list(platform.items())[:32]} if isinstance(platform, dict) else {},
        researcher=_text(fields.get("researcher")),
        adopted_from=tuple(_text(item) for item in _list(fields.get("adopted_from"))),
        replications=tuple(_replication(item) for item in _list(fields.get("replications")) if isinstance(item, dict)),
        findings=tuple(_claim(item) for item in _list(fields.get("findings")) if isinstance(item, dict)),
        seeds=tuple(seed for seed in _list(fields.get("seeds")) if type(seed) is int and 0 <= seed < 2**63),
        program=_text(fields.get("program")),
        cost=_numbers(fields.get("cost")),
    )


def _numbers(value: object) -> dict[str, float]:
    pairs = ((_text(k), _number(v)) for k, v in list(value.items())[:32]) if isinstance(value, dict) else ()
    return {name: number for name, number in pairs if number is not None}


def _text(value: object, limit: int = 200) -> str:
    return one_line(str(value), limit) if isinstance(value, (str, int, float)) and not isinstance(value, bool) else ""


def _sha(value: object) -> str:
    return value if isinstance(value, str) and _SHA.fullmatch(value) else ""


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if abs(value) < 1e300 and math.isfinite(value) else None


def _list(value: object) -> list[Any]:
    return value[:MOST_CLAIMS] if isinstance(value, list) else []


def _metric(fields: Mapping[str, Any]) -> Metric | None:
    name, direction = _text(fields.get("name"), 40), _text(fields.get("direction"))
    return Metric(name, direction) if name and direction in ("min", "max") else None


def _estimate(value: object) -> Estimate | None:
    if not isinstance(value, dict):
        value = {"mean": value}
    mean, n = _number(value.get("mean", value.get("value"))), value.get("n")
    return None if mean is None else Estimate(mean, _number(value.get("sd")), n if type(n) is int and 0 < n < 10**6 else None)


def _claim(fields: Mapping[str, Any]) -> ClaimedChange:
    return ClaimedChange(
        _sha(fields.get("commit")), _text(fields.get("description"), 300), _number(fields.get("delta")), _text(fields.get("status"))
    )


def _replication(fields: Mapping[str, Any]) -> Replication:
    return Replication(
        of=_text(fields.get("of")),
        outcome=_text(fields.get("outcome")),
        commit=_sha(fields.get("commit")),
        platform=_text(fields.get("platform")),
        claimed=_number(fields.get("claimed")),
        measured=_number(fields.get("measured")),
        budget_seconds=_number(fields.get("budget_seconds")),
    )
