"""A policy as an argument list of bubblewrap: an empty root in namespaces of its own, filled with what the policy names."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from autoresearch_git.lab.sandbox.policy import Policy


def command(program: str, policy: Policy, words: Sequence[str], seccomp: int) -> list[str]:
    """`bwrap … words`; `seccomp` is the descriptor that it reads the filter from. The environment is not said here: what bwrap is
    started with, the policy's and nothing else, is what the run gets, and `ps` does not show it."""
    shown = sorted(_binds(policy), key=lambda bind: len(Path(bind[2]).parts))  # what lies in another is laid over it
    return [
        program, "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL",
        "--proc", "/proc", "--dev", "/dev",
        *(word for bind in shown for word in bind),
        "--remount-ro", "/", "--chdir", str(policy.cwd), "--seccomp", str(seccomp), "--", *words,
    ]  # fmt: skip


def environment(policy: Policy) -> dict[str, str]:
    """The temporary folder is also /tmp, and goes by that name: sockets in it need a short one."""
    return {**policy.environment, "TMPDIR": "/tmp"}  # noqa: S108 — its own


def _binds(policy: Policy) -> Iterator[tuple[str, str, str]]:
    for path in policy.readable:
        top_link = path.is_symlink() and len(path.parts) == 2  # /bin → usr/bin
        yield ("--symlink", str(path.readlink()), str(path)) if top_link else _bind("--ro-bind-try", path)
    for path in policy.writable:
        yield _bind("--bind", path)
    for path in policy.fixed:
        yield _bind("--ro-bind-try", path)
    for path in policy.devices:
        yield _bind("--dev-bind-try", path)
    yield "--bind", str(policy.temporary), "/tmp"  # noqa: S108
    if os.geteuid() == 0:
        yield from (_bind("--ro-bind-try", path) for path in _of_the_kernel())


def _of_the_kernel() -> list[Path]:
    """What of /proc can be written and is not of a process. It belongs to root, who may write it even without any power, from
    any name space: core_pattern is a command that the kernel runs. bubblewrap 0.8 was seen to leave it open."""
    found = (path for path in Path("/proc").iterdir() if not path.name.isdigit() and not path.is_symlink())
    return [path for path in found if path.is_dir() or path.stat().st_mode & 0o222]


def _bind(how: str, path: Path) -> tuple[str, str, str]:
    return how, str(path), str(path)
