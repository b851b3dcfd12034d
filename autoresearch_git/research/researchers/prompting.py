"""The prompt of a researcher that reads: rendered from `prompt.md.j2`, what changes least first."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from autoresearch_git.experiment import LARGEST_FILE
from autoresearch_git.plaintext import defuse
from autoresearch_git.rendering import render
from autoresearch_git.research.digest import MOST_TOKENS, digest
from autoresearch_git.research.duplicates import patch_of
from autoresearch_git.research.researchers import View

TEMPLATE = "prompt.md.j2"
PARTS = ("rules", "files", "state", "folder")
LONGEST_PATCH = 8_000  # characters of what was returned


@dataclass(frozen=True)
class Prompt:
    """`rules` is the same for a whole session, `files` until something is kept, `state` is of this turn; `folder` tells one who
    finds the files in a folder how to answer."""

    rules: str
    files: str
    state: str
    folder: str


def prompt(view: View, templates: Path | None, *, community: bool = True, most_tokens: int = MOST_TOKENS) -> Prompt:
    """What the view says, in words. Without `community` no word of strangers is in it but those of commits that were adopted, or
    that are to be ported; `most_tokens` bounds the digest of the session."""
    session = view.session
    values = {
        "editable": session.editable,
        "budget": f"{session.budget:g} seconds",
        "metric": session.metric.name,
        "better": "lower" if session.metric.direction == "min" else "higher",
        "largest": f"{LARGEST_FILE >> 10} KiB",
        "program": view.program.text.strip(),
        "files": view.files,
        "fence": _fence(view),
        "ideas": view.ideas,
        "digest": digest(session, view.experiments, view.noise, most_tokens),
        "community": view.inspiration.digest if community else "",
        "port": view.port,
        "returned": [(one, patch_of(view.files, one.proposal.files)[:LONGEST_PATCH]) for one in view.returned],
    }
    filters = {"json": lambda text: json.dumps(defuse(text), ensure_ascii=False)}
    parts = (render(TEMPLATE, templates, filters, part=part, **values).strip() + "\n" for part in PARTS)
    return Prompt(*parts)


def _fence(view: View) -> str:
    """More backquotes than any file has in a row, so that none can end its own quotation."""
    longest = max((len(run) for text in view.files.values() for run in re.findall(r"`+", text)), default=0)
    return "`" * max(3, longest + 1)
