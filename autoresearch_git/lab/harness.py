"""The fingerprint of what no experiment may change: everything besides the editable files that defines the number.

Covered are the run command, the budget, the blobs of the local files that the command reads, and the data that the
harness names in its channel. Which files the command reads is found from its words and from the imports of its Python
files; where the command names no file of the repository, every file counts except prose.
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
    budget: float
    files: Mapping[str, str]
    reports: bool  # whether a file of the harness knows the channel AUTORESEARCH_RESULT

    def fingerprint(self, data: str = "") -> str:
        """`sha256:…` over the run command, budget, files, and the data that a run named."""
        rows = [f"run {self.run}", f"budget {self.budget:g}", *(f"file {p} {b}" for p, b in sorted(self.files.items()))]
        if data:
            rows.append(f"data {data}")
        return "sha256:" + hashlib.sha256("\n".join(rows).encode()).hexdigest()


def read_harness(repository: Repository, session: Session) -> Harness:
    tree = {path: blob for path, (_mode, blob) in repository.tree(session.base).items()}
    words = [word.strip("'\"") for word in re.split(r"[\s;&|()]+", session.run)]
    named = [path for word in words for path in (word.removeprefix("./"), word.replace(".", "/") + ".py") if path in tree]
    if named:
        read = _closure(repository, session.base, tree, [*named, *session.editable])
        read |= {path for path in LOCK_FILES if path in tree}
    else:
        read = {path for path in tree if not _PROSE.search(path)}
    files = {path: tree[path] for path in read - set(session.editable)}
    reports = any(b"AUTORESEARCH_RESULT" in (repository.read_file(session.base, path) or b"")
                  for path in files if path.endswith(".py"))  # fmt: skip
    return Harness(session.run, session.budget, files, reports)


def _closure(repository: Repository, commit: str, tree: Mapping[str, str], start: list[str]) -> set[str]:
    """The named files and every local module that they import, directly or through others."""
    seen: set[str] = set()
    queue = [path for path in start if path in tree]
    while queue:
        path = queue.pop()
        if path in seen:
            continue
        seen.add(path)
        if path.endswith(".py"):
            text = (repository.read_file(commit, path) or b"").decode(errors="replace")
            queue += [found for found in _imports(path, text) if found in tree]
    return seen


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
            found |= {f"{stem}.py", f"{stem}/__init__.py"}
    return found
