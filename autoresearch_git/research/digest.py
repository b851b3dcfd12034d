"""What a researcher is told of its session: rebuilt from the ledger each time, and bounded however long the session is.

It is JSON, as descriptions may be a stranger's: what was adopted keeps its author's words. Lists begin with what matters most, and
are filled in turns, an entry of each, while the whole fits.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from autoresearch_git.community import changes
from autoresearch_git.community.tokencount import count_tokens
from autoresearch_git.experiment import Experiment, Metric, Session, Status
from autoresearch_git.noise import Noise
from autoresearch_git.plaintext import one_line
from autoresearch_git.research.duplicates import is_near_miss
from autoresearch_git.research.plateau import PLATEAU, without_gain

MOST_TOKENS = 3_000
LONGEST_LIST = 40
MOST_COMPARED = 500  # experiments whose words are read to group them, the latest

Row = dict[str, Any]


def digest(session: Session, experiments: Sequence[Experiment], noise: Noise, most_tokens: int = MOST_TOKENS) -> str:
    """The session so far, as JSON of at most `most_tokens` tokens."""
    lists = _lists(session.metric, experiments, noise)
    head = _head(session, experiments, noise)
    picks = [name for n in range(LONGEST_LIST) for name, items in lists.items() if n < len(items)]
    low, high = 0, len(picks)
    while low < high:  # as many entries as fit
        middle = (low + high + 1) // 2
        fits = count_tokens(_text(head, lists, Counter(picks[:middle]))) <= most_tokens
        low, high = (middle, high) if fits else (low, middle - 1)
    return _text(head, lists, Counter(picks[:low]))


def _head(session: Session, experiments: Sequence[Experiment], noise: Noise) -> Row:
    kept = [e for e in experiments if e.status.advances]
    since = without_gain(experiments)
    return {
        "metric": session.metric.name,
        "better": "lower" if session.metric.direction == "min" else "higher",
        "budget_seconds": session.budget,
        "baseline": kept[0].value if kept else None,
        "incumbent": {"number": kept[-1].number, "value": kept[-1].value} if kept else None,
        "noise": {"sd_of_one_run": _short(noise.sd), "gain_kept_at_once": _short(noise.floor) if noise.degrees else None},
        "counts": {s.value: sum(e.status is s for e in experiments) for s in (Status.KEEP, Status.DISCARD, Status.CRASH)},
        "without_gain": since,
        **({"plateau": f"{since} experiments in a row gained nothing: change direction"} if since >= PLATEAU else {}),
    }


def _lists(metric: Metric, experiments: Sequence[Experiment], noise: Noise) -> Mapping[str, Sequence[Row]]:
    values = {e.commit: e.value for e in experiments}
    tried = [e for e in experiments if e.status is not Status.BASELINE]
    lost = [e for e in reversed(tried) if e.status is Status.DISCARD]
    near = [e for e in lost if is_near_miss(metric, e, values.get(e.parent), noise)]
    near_numbers = {e.number for e in near}
    far = [e for e in lost if e.number not in near_numbers][:MOST_COMPARED]

    def row(experiment: Experiment) -> Row:
        return _row(experiment, values.get(experiment.parent))

    return {
        "recent": [{**row(e), "status": e.status.value} for e in tried[-LONGEST_LIST:][::-1]],
        "kept": [row(e) for e in reversed(tried) if e.status is Status.KEEP][:LONGEST_LIST],
        "near_misses": [row(e) for e in near[:LONGEST_LIST]],
        "dead_ends": _dead_ends(far, values)[:LONGEST_LIST],
        "crashes": _crashes(tried)[:LONGEST_LIST],
    }


def _row(experiment: Experiment, before: float | None) -> Row:
    change = None if experiment.value is None or before is None else _short(experiment.value - before)
    return {"n": experiment.number, "what": one_line(experiment.description, 120), "change": change}


def _dead_ends(lost: Sequence[Experiment], values: Mapping[str, float | None]) -> list[Row]:
    """What was clearly worse, one row for all that turned the same knobs, most often tried first."""
    groups: dict[object, list[Experiment]] = {}
    for experiment in lost:
        names = frozenset(change.key for change in changes.in_words(experiment.description))
        groups.setdefault(names or experiment.description, []).append(experiment)
    return [
        {"times": len(group), "what": [_row(e, values.get(e.parent)) for e in group[:3]]}
        for group in sorted(groups.values(), key=len, reverse=True)
    ]


def _crashes(tried: Sequence[Experiment]) -> list[Row]:
    reasons = Counter(one_line(e.reason, 120) for e in tried if e.status is Status.CRASH)
    last = {one_line(e.reason, 120): e for e in tried if e.status is Status.CRASH}
    return [
        {"why": reason, "times": times, "last": one_line(last[reason].description, 120)} for reason, times in reasons.most_common()
    ]


def _short(number: float) -> float:
    return float(f"{number:.4g}")


def _text(head: Row, lists: Mapping[str, Sequence[Row]], shown: Mapping[str, int]) -> str:
    rows = {name: list(lists[name][:n]) for name, n in shown.items()}
    cut = any(len(items) > shown.get(name, 0) for name, items in lists.items())
    told = {**head, **rows, **({"cut": "what fits of each list, what matters most first"} if cut else {})}
    return "{" + ",\n".join(f"{json.dumps(key)}: {_compact(value)}" for key, value in told.items()) + "}"


def _compact(value: object) -> str:
    """JSON on one line, or a line for each entry of a list."""
    if isinstance(value, list) and value:
        return "[\n" + ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in value) + "]"
    return json.dumps(value, ensure_ascii=False)
