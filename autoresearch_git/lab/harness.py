"""The fingerprint of what no experiment may change: everything besides the editable files that defines the number.

Covered are the run and prepare commands, the budget, the blobs of the local files that a run reads, and the data that the
harness names in its channel. Where the command is one Python script, those are the script, what it imports or names in a
string, directly or through others, and the lock files; for any other command they are all files except prose.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from autoresearch_git.experiment import Session
from autoresearch_git.repository import Repository

LOCK_FILES = ("uv.lock", "poetry.lock", "pdm.lock", "requirements.txt", "environment.yml")
_PROSE = re.compile(r"(^|/)(\.git[^/]*|\.github/.*|LICENSE.*|docs?/.*|results\.tsv)$|\.(md|rst|txt|png|jpe?g|svg|gif|ipynb)$")


@dataclass(frozen=True)
class Harness:
    """`files` are path → blob of what the run reads besides the editable files."""

    run: str
    prepare: str
    budget: float
    files: Mapping[str, str]
    reports: bool  # whether a file of the harness knows the channel AUTORESEARCH_RESULT

    def fingerprint(self, data: str = "") -> str:
        """`sha256:…` over the run command, budget, files, and the data that a run named."""
        rows = [
            f"run {self.run}",
            f"prepare {self.prepare}",
            f"budget {self.budget:g}",
            *(f"file {p} {b}" for p, b in sorted(self.files.items())),
        ]
        if data:
            rows.append(f"data {data}")
        return "sha256:" + hashlib.sha256("\n".join(rows).encode()).hexdigest()


def is_prose(path: str) -> bool:
    """Whether a file is for people: no run reads it."""
    return bool(_PROSE.search(path))


def read_harness(repository: Repository, session: Session) -> Harness:
    tree = {path: blob for path, (mode, blob) in repository.tree(session.base).items() if mode.startswith("100")}
    script = re.fullmatch(
        r"(?:\{python\}|python[\d.]*|uv run(?: python)?) (?:-u )?(?:\./)?([\w./-]+\.py)((?: [\w./=@:-]+)*)", session.run
    )
    texts: dict[str, bytes] = {}
    if script and script[1] in tree:
        read = _closure(repository, session.base, tree, [script[1], *session.editable], texts)
        read |= {path for path in tree if path in LOCK_FILES or path in re.split("[ =]", script[2])}
    else:
        read = {path for path in tree if not is_prose(path)}
    files = {path: tree[path] for path in read - set(session.editable)}
    known = (texts.get(path) or repository.read_file(session.base, path) or b"" for path in files if path.endswith(".py"))
    return Harness(session.run, session.prepare, session.budget, files, any(b"AUTORESEARCH_RESULT" in text for text in known))


def python_texts(repository: Repository, session: Session, harness: Harness) -> dict[str, str]:
    """The harness's Python files, path → text."""
    read = {path: repository.read_file(session.base, path) for path in harness.files if path.endswith(".py")}
    return {path: content.decode(errors="replace") for path, content in read.items() if content is not None}


def _closure(repository: Repository, commit: str, tree: Mapping[str, str], start: list[str], texts: dict[str, bytes]) -> set[str]:
    """The files named, the local modules that they import, directly or through others, and the files that they name."""
    queue = [path for path in start if path in tree]
    seen: set[str] = set()
    while queue:
        path = queue.pop()
        if path in seen:
            continue
        seen.add(path)
        if path.endswith(".py"):
            texts[path] = repository.read_file(commit, path) or b""
            text = texts[path].decode(errors="replace")
            queue += [found for found in _imports(path, text) if found in tree]
            queue += [found for found in tree if found not in seen and _names(text, found)]
    return seen


def _names(text: str, path: str) -> bool:
    """Whether a program speaks of a file in a string: data it opens, a script it starts. A text is data then, if no document."""
    name = PurePosixPath(path).name
    return (path.endswith(".txt") or not is_prose(path)) and bool(re.search(rf"['\"/]{re.escape(name)}['\"]", text))


def _imports(path: str, text: str) -> set[str]:
    """Paths at which the modules that a Python file imports would lie, beside it or at the top of the repository."""
    try:
        nodes = list(ast.walk(ast.parse(text)))
    except SyntaxError:
        return set()
    modules: set[tuple[int, str]] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            modules |= {(0, alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            modules |= {(node.level, base), *((node.level, f"{base}.{alias.name}".strip(".")) for alias in node.names)}
    found = set()
    for level, module in modules:
        here = PurePosixPath(path).parent
        for _ in range(max(0, level - 1)):
            here = here.parent
        for root in [here] if level else [here, PurePosixPath()]:
            stem = root / module.replace(".", "/")
            found |= {f"{stem}.py", f"{stem}/__init__.py", *(f"{parent}/__init__.py" for parent in stem.parents if parent.name)}
    return found
