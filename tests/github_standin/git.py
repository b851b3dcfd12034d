"""The git processes of the stand-in: bare repositories, commits made with fast-import, differences."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from github_standin.models import ChangedFile

# bytes or text of a regular file, (mode, content) of anything else, None to delete
Content = str | bytes | tuple[str, str | bytes] | None

_CONFIG = """\
[core]
\trepositoryformatversion = 0
\tbare = true
[uploadpack]
\tallowFilter = true
[receive]
\thideRefs = refs/pull
\tadvertiseAtomic = true
[gc]
\tauto = 0
[maintenance]
\tauto = false
"""

FORWARD_ONLY = """\
if git cat-file -e "$2" 2> /dev/null && ! git merge-base --is-ancestor "$2" "$3" 2> /dev/null; then
    echo "error: GH006: Protected branch update failed for $1." >&2
    echo "error: Cannot force-push to this branch" >&2
    exit 1
fi
"""


def environment() -> dict[str, str]:
    """Ours, without what would point git elsewhere or make a result depend on who runs the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return {**kept, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}


def run(git_dir: Path, *arguments: str, stdin: bytes | None = None, check: bool = True) -> str:
    done = subprocess.run(["git", f"--git-dir={git_dir}", *arguments], input=stdin, capture_output=True, env=environment())
    if check and done.returncode:
        raise RuntimeError(f"git {' '.join(arguments)}: {done.stderr.decode(errors='replace')}")
    return done.stdout.decode(errors="replace").rstrip("\n")


def succeeds(git_dir: Path, *arguments: str) -> bool:
    return subprocess.run(["git", f"--git-dir={git_dir}", *arguments], capture_output=True, env=environment()).returncode == 0


def make_bare(git_dir: Path, default_branch: str, borrow_from: Path | None = None) -> None:
    """A bare repository, written without a process as a filling makes many. `borrow_from` lends its objects."""
    for folder in ("objects/info", "objects/pack", "refs/heads", "refs/tags"):
        (git_dir / folder).mkdir(parents=True)
    (git_dir / "HEAD").write_text(f"ref: refs/heads/{default_branch}\n")
    (git_dir / "config").write_text(_CONFIG)
    if borrow_from:
        (git_dir / "objects/info/alternates").write_text(f"{(borrow_from / 'objects').resolve()}\n")


def refusing(message: str) -> str:
    return f"echo {shlex.quote(message)} >&2; exit 1\n"


def add_update_rule(git_dir: Path, pattern: str, script: str) -> None:
    """Let git run a script before it moves a ref that matches; $1, $2 and $3 are its name, the old and the new commit."""
    hook = git_dir / "hooks" / "update"
    hook.parent.mkdir(exist_ok=True)
    before = hook.read_text() if hook.exists() else "#!/bin/sh\n"
    hook.write_text(f'{before}case "$1" in {pattern})\n{script};;\nesac\n')
    hook.chmod(0o755)


def refs(git_dir: Path, *prefixes: str) -> dict[str, str]:
    rows = run(git_dir, "for-each-ref", "--format=%(objectname) %(refname)", *prefixes).splitlines()
    return {name: sha for sha, _, name in (row.partition(" ") for row in rows)}


def resolve(git_dir: Path, revision: str) -> str | None:
    """The commit that a revision names, or None."""
    return run(git_dir, "rev-parse", "--verify", "--quiet", "--end-of-options", revision + "^{commit}", check=False) or None


def add_packed_refs(git_dir: Path, named: Mapping[str, str], without: str = "") -> None:
    """Write many refs in one file, beside those that are there. `without` is a ref to delete."""
    loose = [path for path in (git_dir / "refs").rglob("*") if path.is_file()]
    packed = git_dir / "packed-refs"
    there = refs(git_dir) if loose or packed.exists() else {}
    there.pop(without, None)
    rows = "".join(f"{sha} {name}\n" for name, sha in sorted({**there, **named}.items()))
    packed.write_text(f"# pack-refs with: sorted \n{rows}")
    for path in loose:
        path.unlink()


def file_command(path: str, content: Content) -> bytes:
    """One change of a file in the language of `git fast-import`."""
    path = json.dumps(path, ensure_ascii=False) if set('"\n\\') & set(path) else path
    if content is None:
        return f"D {path}\n".encode()
    mode, data = content if isinstance(content, tuple) else ("100644", content)
    raw = data.encode() if isinstance(data, str) else data
    if mode == "160000":
        return b"M 160000 " + raw + f" {path}\n".encode()
    return f"M {mode} inline {path}\ndata {len(raw)}\n".encode() + raw + b"\n"


def commit_command(ref: str, mark: int, message: str, when: int, parent: str, files: Iterable[bytes], author: str = "Ada") -> bytes:
    """One commit in the language of `git fast-import`; `when` in seconds since 1970."""
    who = f"{author} <{author.lower().replace(' ', '-')}@example.org> {when} +0000"
    text = message.encode()
    start = f"from {parent}\n" if parent else ""
    head = f"commit {ref}\nmark :{mark}\nauthor {who}\ncommitter {who}\ndata {len(text)}\n".encode()
    return head + text + b"\n" + start.encode() + b"".join(files) + b"\n"


def fast_import(git_dir: Path, stream: bytes, marks: int) -> list[str]:
    """Run a stream; the shas of marks 1 to `marks`."""
    asked = "".join(f"get-mark :{number}\n" for number in range(1, marks + 1)).encode()
    return run(git_dir, "fast-import", "--quiet", "--force", "--done", stdin=stream + asked + b"done\n").split()


def changed_files(git_dir: Path, base: str, head: str) -> tuple[ChangedFile, ...]:
    """What a pull request shows: the difference between the head and where it left the base."""
    common = run(git_dir, "merge-base", base, head, check=False) or base
    text = run(git_dir, "diff-tree", "-r", "--no-renames", "--raw", "--numstat", "-z", common, head)
    kinds: dict[str, str] = {}
    counts: dict[str, tuple[int, int]] = {}
    fields = iter(text.split("\0"))
    for row in fields:
        if row.startswith(":"):
            kinds[next(fields)] = {"A": "ADDED", "D": "DELETED"}.get(row[-1], "MODIFIED")
        elif row:
            added, removed, path = row.split("\t")
            counts[path] = tuple(int(n) if n.isdigit() else 0 for n in (added, removed))  # type: ignore[assignment]
    return tuple(ChangedFile(path, kinds[path], *counts.get(path, (0, 0))) for path in sorted(kinds))


def read_blob(git_dir: Path, sha: str) -> bytes:
    done = subprocess.run(["git", f"--git-dir={git_dir}", "cat-file", "blob", sha], capture_output=True, env=environment())
    return done.stdout
