"""The folder that a command-line agent works in: made for one turn, outside every repository, and gone afterwards.

It holds copies of what the agent may read and of the editable files, and nothing by which a repository tells an agent, or a program
that it starts, what to do: agents run the hooks and servers that such files name without asking.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from autoresearch_git.errors import AutoresearchError
from autoresearch_git.experiment import LARGEST_FILE
from autoresearch_git.lab.sandbox.room import read_plain, remove
from autoresearch_git.ledger.session import uninterrupted
from autoresearch_git.research.program import PATH
from autoresearch_git.research.researchers import View

PROMPT, DIGEST, ANSWER = "prompt.md", "digest.json", "proposal.json"
LARGEST_ANSWER = 64 * 1024  # bytes
MOST_SEEN = 2_000  # files that an agent left behind, looked at one by one
# What agents read as settings or instructions, besides all that begins with a dot.
_AGENTS_OWN = {"claude.md", "claude.local.md", "agents.md", "agents.override.md", "gemini.md", "qwen.md", "opencode.json"}


class InvalidEditError(Exception):
    """What the agent left in the place of an editable file can be no proposal; the message says why."""


@dataclass(frozen=True)
class Answer:
    """What `proposal.json` says. `there`: it could be read, so the agent had come to its end."""

    there: bool = False
    description: str = ""
    rationale: str = ""
    expected: str = ""
    usd: float | None = None


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """An empty folder that only this user can open, removed with all that is in it. Raises AutoresearchError where it would lie in
    a repository."""
    folder = Path(tempfile.mkdtemp(prefix="autoresearch-")).resolve()
    try:
        for above in folder.parents:
            if os.path.lexists(above / ".git"):
                raise AutoresearchError(f"the temporary folder {folder.parent} lies in the git repository {above}, which an agent "
                                        "would find", "export TMPDIR=<a folder outside of it>")  # fmt: skip
        yield folder
    finally:
        with uninterrupted():
            remove(folder)


def fill(folder: Path, view: View, prompt: str, digest: str) -> dict[str, bytes]:
    """Write all that the agent may see; what was written, by path. Raises AutoresearchError where an editable file would be more to
    an agent than a file to edit."""
    for path in view.files:
        if path in (PROMPT, DIGEST, ANSWER) or _speaks_to_agents(path):
            raise AutoresearchError(f"{path} is editable, but an agent would take it for its own",
                                    "rename it, or take another researcher: --researcher sweep")  # fmt: skip
    read = {PATH: view.program.text, **{path: text for path, text in view.context.items() if not _speaks_to_agents(path)}}
    told = {PROMPT: prompt, DIGEST: digest}
    put = {path: text.encode() for path, text in {**read, **told, **view.files}.items()}
    for path, content in put.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        if path not in view.files:
            target.chmod(0o444)
    return put


def _speaks_to_agents(path: str) -> bool:
    parts = PurePosixPath(path).parts
    return any(part.startswith(".") for part in parts) or parts[-1].lower() in _AGENTS_OWN


def edited(folder: Path, files: Mapping[str, str]) -> dict[str, str]:
    """The text of each editable file that is another now. Raises InvalidEditError."""
    texts = {path: _text(folder, path) for path in files}
    return {path: text for path, text in texts.items() if text != files[path]}


def _text(folder: Path, path: str) -> str:
    content = _plain(folder, path, LARGEST_FILE + 1)
    if content is None:
        raise InvalidEditError(f"{path} is no regular file any more" if os.path.lexists(folder / path) else f"{path} is gone")
    if len(content) > LARGEST_FILE:
        raise InvalidEditError(f"{path} is larger than {LARGEST_FILE >> 10} KiB")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text or text.startswith("\ufeff"):
        raise InvalidEditError(f"{path} is not UTF-8 text without a byte order mark")
    return text


def _plain(folder: Path, path: str, limit: int) -> bytes | None:
    """A file of the folder; None where it is none, or where a link leads to it."""
    place = folder / path
    return read_plain(place, limit) if os.path.realpath(place) == str(place) else None


def strays(folder: Path, put: Mapping[str, bytes], editable: Mapping[str, str]) -> list[str]:
    """What the agent made, changed or removed besides the editable files and its answer."""
    found = {path for path, content in put.items() if path not in editable and _plain(folder, path, len(content) + 1) != content}
    seen = 0
    for place, folders, names in os.walk(folder):
        links = [name for name in folders if os.path.islink(os.path.join(place, name))]
        for name in (*names, *links):
            path = os.path.relpath(os.path.join(place, name), folder)
            if path not in put and path != ANSWER:
                found.add(path)
            seen += 1
            if seen >= MOST_SEEN:
                return sorted(found)
    return sorted(found)


def answer(folder: Path) -> Answer:
    """What `proposal.json` says, as far as it says it in the form asked for."""
    content = _plain(folder, ANSWER, LARGEST_ANSWER + 1)
    if content is None or len(content) > LARGEST_ANSWER:
        return Answer()
    try:
        told = json.loads(content)
    except (ValueError, RecursionError):
        return Answer()
    if not isinstance(told, dict):
        return Answer()
    words = {name: told[name] for name in ("description", "rationale", "expected") if isinstance(told.get(name), str)}
    return Answer(True, **words, usd=dollars(told.get("cost_usd")))


def dollars(value: object) -> float | None:
    """An amount that can have been paid; None where it is none."""
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e6 else None
