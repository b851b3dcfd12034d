"""Experiment and Session ⇄ commit message.

The format is public: other tools read it. One trailer a line, JSON with sorted keys and no spaces; a measurement's line
holds the metric under its own name beside the run's other figures.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from autoresearch_git.experiment import Experiment, Figure, Measurement, Metric, Session, Spending, Status
from autoresearch_git.plaintext import defuse, one_line
from autoresearch_git.replication import Outcome, Replication

PREFIX = "Autoresearch-"
ADOPTED = "Adopted-from"
LONGEST_SOURCE = 600  # characters; a branch may have a long name
LONGEST_IDEA = 500
_TRAILER = re.compile(rf"^(Autoresearch-[A-Za-z]+|{ADOPTED}): (.*)$")
_OWN_KEYS = {"seed", "channel", "crash", "arm"}


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _measurement(metric: Metric, m: Measurement, arm: str = "") -> str:
    own: dict[str, Figure] = {**m.figures, "seed": m.seed, "channel": m.channel, **({"arm": arm} if arm else {})}
    if m.crash:
        own["crash"] = m.crash
    if m.value is not None:
        own[metric.name] = m.value
    return _json(own)


def _spending(spending: Spending) -> str:
    """What was spent, less what is nothing; empty where nothing was."""
    if spending == Spending():
        return ""
    told = {**dataclasses.asdict(spending), "seconds": round(spending.seconds, 1)}
    return _json({name: value for name, value in told.items() if value != 0})


def _trailers(session: Session, experiment: Experiment) -> list[str]:
    rows = [
        ("Experiment", f"{session.name}/{experiment.number:04d}"),
        ("Status", str(experiment.status)),
        ("Metric", f"{session.metric.name} {'nan' if experiment.value is None else repr(experiment.value)}"),
        *(("Measurement", _measurement(session.metric, m)) for m in experiment.measurements),
        ("Reason", one_line(experiment.reason)),
        ("Harness", experiment.harness),
        ("Platform", _json(dict(experiment.platform))),
        ("Researcher", one_line(experiment.researcher)),
        ("Program", experiment.program),
        ("Idea", one_line(experiment.idea, LONGEST_IDEA)),
        ("Expected", one_line(experiment.expected)),
        *(("Mended", one_line(crash)) for crash in experiment.mended),
        ("Spending", _spending(experiment.spending)),
        ("Inspiration", one_line(experiment.inspired_by)),
        ("Claimed", "" if experiment.claimed is None else repr(experiment.claimed)),
        ("Step", "{}/{}".format(*experiment.step) if experiment.step else ""),
        ("Ported", one_line(experiment.ported)),
    ]
    adopted = [f"{ADOPTED}: {one_line(experiment.adopted_from, LONGEST_SOURCE)}"] if experiment.adopted_from else []
    return [*(f"{PREFIX}{key}: {value}" for key, value in rows if value), *adopted]


def _indented(text: str) -> str:
    """Free text that cannot be mistaken for a trailer, whatever it holds."""
    return "\n".join(("    " + line).rstrip() for line in defuse(text).strip().splitlines())


def experiment_message(session: Session, experiment: Experiment) -> str:
    """The message of the experiment's own commit: the change, why, how it crashed, and the trailers."""
    rationale = "\n".join(line.rstrip() for line in experiment.rationale.strip().splitlines())
    tracebacks = [_indented(m.traceback) for m in experiment.measurements if m.traceback]
    if _TRAILER.search(rationale) or any(_TRAILER.match(line) for line in rationale.splitlines()):
        rationale = _indented(rationale)
    trailers = "\n".join(_trailers(session, experiment))
    parts = [one_line(experiment.description) or "(no description)", rationale, *tracebacks, trailers]
    return "\n\n".join(part for part in parts if part) + "\n"


def read_rationale(message: str) -> str:
    """Why it was tried, from the message of the experiment's own commit; the ends of its runs' output are indented there."""
    paragraphs = message.rstrip("\n").split("\n\n")[1:-1]
    return defuse("\n\n".join(text for text in paragraphs if not text.startswith("    "))).strip()


def record_message(session: Session, experiment: Experiment) -> str:
    """The message of the record that carries an experiment into the notebook."""
    subject = f"{experiment.number:04d} {experiment.status}: {one_line(experiment.description)}"
    return "\n".join([subject, "", f"{PREFIX}Record: experiment", *_trailers(session, experiment)]) + "\n"


def session_message(session: Session) -> str:
    """The message of the record that opens a notebook."""
    fields = dataclasses.asdict(session)
    subject = f"session {session.name}: {session.metric.name} ({session.metric.direction}), {session.budget:g} s a run"
    return "\n".join([subject, "", f"{PREFIX}Record: session", f"{PREFIX}Session: {_json(fields)}"]) + "\n"


def inspiration_message(findings: Sequence[str]) -> str:
    """The message of the record that says which findings a session had read."""
    subject = f"inspiration: {len(findings)} findings read"
    return "\n".join([subject, "", f"{PREFIX}Record: inspiration", f"{PREFIX}Findings: {_json(list(findings))}"]) + "\n"


def publication_message(tried: int) -> str:
    """The message of the record that says which result commit was made."""
    subject = f"publication: results of {tried} experiment{'s' * (tried != 1)}"
    return "\n".join([subject, "", f"{PREFIX}Record: publication"]) + "\n"


def measurement_message(session: Session, experiment: Experiment) -> str:
    """The message of the record that says what an experiment gave that was not measured when it was recorded."""
    assert experiment.value is not None
    lines = [
        f"{PREFIX}Record: measurement",
        f"{PREFIX}Experiment: {session.name}/{experiment.number:04d}",
        f"{PREFIX}Metric: {session.metric.name} {experiment.value!r}",
        *(f"{PREFIX}Measurement: {_measurement(session.metric, m)}" for m in experiment.measurements),
    ]
    return "\n".join([f"{experiment.number:04d} measured: {session.metric.name} {experiment.value:g}", "", *lines]) + "\n"


def read_measurement(message: str) -> tuple[int, float, tuple[Measurement, ...]]:
    """(number, value, runs) that such a record tells. Raises ValueError, KeyError or IndexError where it is damaged."""
    found = parse(message)
    metric, _, value = found["Metric"][0].partition(" ")
    runs = tuple(_read_measurement(metric, text) for text in found["Measurement"])
    return int(found["Experiment"][0].rpartition("/")[2]), float(value), runs


def replication_message(session: Session, replication: Replication, harness: str, platform: Mapping[str, Figure]) -> str:
    """The message of the record that carries a replication, and of the commit that holds what was measured."""
    subject = f"{replication.outcome}: {one_line(replication.of)}: {one_line(replication.description)}"
    told = {name: getattr(replication, name) for name in _REPLICATION if getattr(replication, name) not in (None, False)}
    if math.isinf(replication.error):
        del told["error"]
    runs = (("base", replication.base), ("tip", replication.tip))
    lines = [
        f"{PREFIX}Record: replication",
        f"{PREFIX}Replication: {_json({**told, 'outcome': str(replication.outcome)})}",
        *(f"{PREFIX}Measurement: {_measurement(session.metric, m, arm)}" for arm, measured in runs for m in measured),
        *([f"{PREFIX}Harness: {harness}"] if harness else []),
        f"{PREFIX}Platform: {_json(dict(platform))}",
    ]
    return "\n".join([subject, "", *lines]) + "\n"


def read_replication(metric: str, message: str) -> Replication | None:
    """The replication that such a record tells; None for any other record. Raises ValueError where it is damaged."""
    found = parse(message)
    if found.get("Record") != ["replication"]:
        return None
    told = _object(found["Replication"][0])
    runs = [(_object(text).get("arm"), _read_measurement(metric, text)) for text in found.get("Measurement", [])]
    return Replication(
        of=one_line(str(told["of"])),
        commit=one_line(str(told["commit"]), 64),
        description=one_line(str(told.get("description", ""))),
        outcome=Outcome(told["outcome"]),
        claimed=_float(told.get("claimed")),
        measured=_float(told.get("measured")),
        error=math.inf if told.get("error") is None else float(told["error"]),
        base=tuple(m for arm, m in runs if arm == "base"),
        tip=tuple(m for arm, m in runs if arm == "tip"),
        whole=told.get("whole") is True,
        budget_seconds=_float(told.get("budget_seconds")),
        claimed_budget_seconds=_float(told.get("claimed_budget_seconds")),
    )


_REPLICATION = ("of", "commit", "description", "claimed", "measured", "error", "whole", "budget_seconds", "claimed_budget_seconds")


def _float(value: object) -> float | None:
    return None if value is None else float(str(value))


def read_inspiration(message: str) -> tuple[str, ...]:
    """The findings that such a record names; empty for any other record. Raises ValueError where it is damaged."""
    found = parse(message)
    return tuple(str(key) for key in json.loads(found["Findings"][0])) if found.get("Record") == ["inspiration"] else ()


def parse(message: str) -> dict[str, list[str]]:
    """The trailers of a message: the `Autoresearch-` lines (without the prefix) of its last paragraph, and those that say
    what was adopted, in order."""
    found: dict[str, list[str]] = {}
    for line in message.rstrip("\n").rpartition("\n\n")[2].split("\n"):
        match = _TRAILER.match(line)
        if match:
            found.setdefault(match[1].removeprefix(PREFIX), []).append(match[2])
    return found


def read_session(message: str) -> Session:
    """The session that an opening record describes. Raises ValueError or KeyError where it is none; extra keys are ignored."""
    fields: dict[str, Any] = _object(parse(message)["Session"][0])
    kinds = {f.name: _KINDS.get(f.name, str) for f in dataclasses.fields(Session)}
    fields = {k: v for k, v in fields.items() if k in kinds}
    metric, editable = fields["metric"], fields["editable"]
    fields["metric"] = Metric(one_line(metric["name"], 80), metric["direction"]) if isinstance(metric, dict) else None
    fields["editable"] = tuple(editable) if isinstance(editable, list) and all(isinstance(p, str) for p in editable) else None
    for name, value in fields.items():
        if not isinstance(value, kinds[name]) or isinstance(value, bool):
            raise ValueError(f"{name} of the session cannot be {value!r}"[:200])
    if fields["metric"].direction not in ("min", "max"):
        raise ValueError("the metric of the session has no direction")
    if not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", fields["base"]):  # git is asked for it, and must not take it for an option
        raise ValueError("the base of the session is no commit")
    return Session(**fields)


_KINDS: dict[str, Any] = {
    "metric": Metric, "editable": tuple, "budget": (int, float), "timeout": (int, float), "seed": int, "baseline_runs": int,
    "machine": dict,
}  # fmt: skip


def _object(text: str) -> dict[str, Any]:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError("no JSON object")
    return value


@functools.lru_cache(maxsize=64)
def _platform(text: str) -> Mapping[str, Figure]:
    platform: dict[str, Figure] = _object(text)
    return platform


def _read_measurement(metric: str, text: str) -> Measurement:
    fields = _object(text)
    figures = {k: v for k, v in fields.items() if k not in _OWN_KEYS and k != metric}
    return Measurement(fields.get(metric), fields["seed"], figures, fields.get("channel", ""), fields.get("crash", ""))


def _read_spending(text: str) -> Spending:
    fields = {name: value for name, value in _object(text).items() if name in _SPENDING}
    known = (value for name, value in fields.items() if not (name == "usd" and value is None))
    if not all(isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e15 for value in known):
        raise ValueError("what was spent is no number")
    return Spending(**fields)


_SPENDING = {field.name for field in dataclasses.fields(Spending)}


def _read_step(text: str) -> tuple[int, int]:
    number, _, total = text.partition("/")
    if not 0 <= int(number) <= int(total) < 10**6:
        raise ValueError(f"{text!r} is no step")
    return int(number), int(total)


def _told(found: Mapping[str, list[str]], key: str) -> str:
    return one_line("".join(found.get(key, [])[:1]))


def read_experiment(message: str) -> Experiment:
    """The experiment that a record or an experiment's commit describes, without its place in git.

    Raises ValueError, KeyError or IndexError where the message is none of ours.
    """
    found = parse(message)
    metric, _, value = found["Metric"][0].partition(" ")
    subject = message.partition("\n")[0]
    status = Status(found["Status"][0])
    number = int(found["Experiment"][0].rpartition("/")[2])
    return Experiment(
        number=number,
        status=status,
        description=one_line(subject.removeprefix(f"{number:04d} {status}: "), len(subject)),
        value=None if value == "nan" else float(value),
        measurements=tuple(_read_measurement(metric, text) for text in found.get("Measurement", [])),
        reason=_told(found, "Reason"),
        researcher=_told(found, "Researcher"),
        expected=_told(found, "Expected"),
        idea=one_line("".join(found.get("Idea", [])[:1]), LONGEST_IDEA),
        program=_told(found, "Program"),
        spending=_read_spending(found["Spending"][0]) if "Spending" in found else Spending(),
        mended=tuple(one_line(text) for text in found.get("Mended", [])),
        inspired_by=_told(found, "Inspiration"),
        adopted_from=one_line("".join(found.get(ADOPTED, [])[:1]), LONGEST_SOURCE),
        claimed=float(found["Claimed"][0]) if "Claimed" in found else None,
        step=_read_step(found["Step"][0]) if "Step" in found else None,
        ported=_told(found, "Ported"),
        harness="".join(found.get("Harness", [])[:1]),
        platform=_platform(found["Platform"][0]) if "Platform" in found else {},
    )
