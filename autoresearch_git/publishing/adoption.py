"""The command that adopts a session's commits: it measures what the session measured, wherever they are fetched.

What a session was run with may stand in its author's git configuration alone, which no clone brings along.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection

from autoresearch_git import config
from autoresearch_git.experiment import Session
from autoresearch_git.plaintext import defuse

_UNPLAIN = re.compile(r"[\s,]")  # where a path is none of several on one line


def options(session: Session, named: Collection[str]) -> str:
    """The options of `start`, ready for a shell, that differ from the defaults or from what the clone's own files may say: those
    have a word on `named`. Each has a space before it."""
    metric, timeout = session.metric, config.default_timeout(session.budget)
    wanted = (
        ("run", session.run, config.DEFAULT_RUN),
        ("prepare", session.prepare, config.default("prepare")),
        ("metric", metric.name, config.default("metric")),
        ("direction", metric.direction, config.default("direction")),
        ("editable", session.editable, config.default("editable")),
        ("budget", session.budget, config.default("budget")),
        ("timeout", session.timeout, timeout),
    )
    told = (f" --{name} {_word(value)}" for name, value, usual in wanted if value != usual or name in named)
    return defuse("".join(told)).replace("\n", " ")  # whoever wrote a notebook need not have used our program


def _word(value: object) -> str:
    if isinstance(value, tuple):
        return _paths(value)
    return shlex.quote(f"{value:f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value))


def _paths(paths: tuple[str, ...]) -> str:
    """Several on one line; one a line, as a shell writes it on one, where a path has a space in it."""
    if not any(_UNPLAIN.search(path) for path in paths):
        return shlex.quote(" ".join(paths))
    lines = "".join(path.replace("\\", "\\\\").replace("'", "\\'") + "\\n" for path in paths)
    return f"$'{lines}'"
