"""Start, supervise and end a whole process tree, and choose what it may see of our environment.

A run is started through `supervisor.py`, a small program of its own: it ends the tree when asked, when the command ends,
and when this process dies, however it dies.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import platform
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from autoresearch_git.errors import AutoresearchError
from autoresearch_git.lab import supervisor, survivors

SECCOMP_FD = supervisor.SECCOMP_FD
GRACE = 10.0  # seconds between TERM and KILL
LOG_LIMIT = 256 * 2**20  # bytes; a run that prints more is ended before it fills the disk

_SECRET_NAME = re.compile(
    r"TOKENS?(_|$)|SECRET|PASS|PWD$|_PW$|CREDENTIAL|COOKIE|API_?KEY|WEBHOOK|JWT|(^|_)(KEY|PAT|AUTH|SOCK)(_|$)"
    r"|^(GIT|GH|GITHUB|GITLAB|ANTHROPIC|OPENAI|GEMINI|GOOGLE|AWS|AZURE|HF|HUGGING_FACE|WANDB|SSH|GPG|NPM|PYPI|TWINE)_"
)
# No name in a program begins like a token and goes on as long without a word's end: `task-specific-…`, `hf_tokenizer_from_…`.
_TOKEN = re.compile(
    r"(?<![A-Za-z0-9])(?:(?:gh[pousr]|hf|npm|r8|github_pat)_[A-Za-z0-9]{20}|sk-[\w-]{0,64}[A-Za-z0-9]{16}|(?:glpat-|dckr_pat_|pypi-AgE)[\w-]{16}"
    r"|AKIA[A-Z0-9]{16}|AIza[\w-]{30}|xox[abpr]-[\w-]{10}|eyJ[\w-]{10,}\.[\w-]{10,}\.)"
)
_PASSWORD = re.compile(r"://[^/\s@]+:([^/\s@]+)@")
_PLACEHOLDER = re.compile(r"[{<$*]|%[s(]")  # where a program, or a reader, puts the password


@dataclass(frozen=True)
class Exit:
    """How a run ended. `returncode` is None where it was ended by us; `reason` then says why."""

    returncode: int | None
    reason: str
    wall_seconds: float
    peak_rss_mb: float = 0.0


@dataclass(frozen=True)
class Confinement:
    """What the supervisor does to a command that is confined. `seccomp` is the filter of system calls; with `landlock` rules the
    supervisor applies both itself, without them the command is bubblewrap, which reads the filter from SECCOMP_FD."""

    seccomp: bytes
    landlock: Mapping[str, Sequence[str]] | None = None


def scrubbed(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without git's variables, our own settings, and anything that is a secret by its name or value."""
    return {
        name: value
        for name, value in environment.items()
        if not ((name not in _PLAIN and _SECRET_NAME.search(name.upper())) or _TOKEN.search(value) or _PASSWORD.search(value))
        and not (name.startswith("AUTORESEARCH_") and name not in _PASSED_ON)
    }


_PASSED_ON = {"AUTORESEARCH_CACHE", "AUTORESEARCH_DEVICE", "AUTORESEARCH_CLIMBMIX_URL"}
_PLAIN = {"PWD", "OLDPWD"}


def holds_secret(text: str) -> bool:
    """Whether a text that will be recorded looks as if it held a token."""
    return bool(_TOKEN.search(text)) or not all(_PLACEHOLDER.match(found[1]) for found in _PASSWORD.finditer(text))


def argv(command: str, fix: str = "git config autoresearch.run 'python train.py'") -> list[str]:
    """The words of a configured command, or `sh -c` where it uses the shell's language: git's own rule for commands. `fix` is what
    to type where it cannot be split."""
    expanded = command.replace("{python}", shlex.quote(sys.executable))
    if re.match(r"\w+=", expanded) or re.search(r"[|&;<>()$`\\\n*?~#\[]", re.sub(r"'[^']*'|\"[^\"$`\\]*\"", "", expanded)):
        return ["/bin/sh", "-c", expanded]
    try:
        return shlex.split(expanded)
    except ValueError as error:
        raise AutoresearchError(f"the command {command!r} cannot be split into words: {error}", fix) from error


def end_survivors(marker: str) -> int:
    """Kill what an earlier, killed lab of this session may have left running. Returns how many there were."""
    left = survivors.marked(marker)
    deadline = time.monotonic() + GRACE + 2
    while _supervised(left) and time.monotonic() < deadline:  # it ends its tree itself, and knows it better than we do
        time.sleep(0.05)
        left = survivors.marked(marker)
    for process in left:
        try:
            process.send_signal(signal.SIGKILL)
            process.wait(5)
        except Exception:  # noqa: S112 — gone already, or not ours to kill; the next line of defence is the lock
            continue
    return len(left)


def _supervised(processes: list[psutil.Process]) -> bool:
    for process in processes:
        try:
            if supervisor.__file__ in process.cmdline():
                return True
        except psutil.Error:
            continue
    return False


def run(
    command: Sequence[str],
    *,
    cwd: Path,
    environment: Mapping[str, str],
    log: Path,
    timeout: float | None = None,
    tick: Callable[[float], str | None] = lambda elapsed: None,
    confinement: Confinement | None = None,
    stdin: Path = Path(os.devnull),
    grace: float = GRACE,
) -> Exit:
    """Run a command to its end, its input from the file `stdin`, its output in `log`, calling `tick(seconds so far)` a few times a
    second.

    Whatever ends it (its own end, the timeout, too long a log, a reason that `tick` returns, an exception such as ^C from
    it or a signal), the whole tree is gone when this returns or raises.
    """
    started = time.monotonic()
    marker = environment.get("AUTORESEARCH_SESSION", "")
    with open(log, "ab") as trouble:  # of the supervisor itself
        child = subprocess.Popen(
            [sys.executable, supervisor.__file__, str(grace), str(log)],
            cwd=cwd, env=environment_for_run({"AUTORESEARCH_SESSION": marker}), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=trouble, start_new_session=True,  # ^C reaches us, and we end the tree in order
        )  # fmt: skip
    reason = ""
    try:
        _instruct(child, command, environment, confinement, stdin)
        while not reason:
            try:
                child.wait(0.1)
                break
            except subprocess.TimeoutExpired:
                elapsed = time.monotonic() - started
                reason = tick(elapsed) or _too_much(elapsed, timeout, log)
    finally:
        report = _stop(child, marker)
    if "error" in report:
        raise AutoresearchError(f"the command cannot be started: {report['error']}", "git autoresearch config")
    returncode = report.get("returncode")
    if returncode is None and not reason:
        reason = "the supervisor of the run was killed, or could not start"
    return Exit(
        None if reason else int(str(returncode)),
        reason,
        time.monotonic() - started,
        float(str(report.get("peak_rss_mb", 0.0))),
    )


def _instruct(
    child: subprocess.Popen[bytes],
    command: Sequence[str],
    environment: Mapping[str, str],
    confinement: Confinement | None,
    stdin: Path,
) -> None:
    """Tell the supervisor what to run, in one line that no other process sees."""
    told: dict[str, object] = {"command": list(command), "environment": dict(environment), "stdin": str(stdin)}
    if confinement:
        filter_ = base64.b64encode(confinement.seccomp).decode()
        told |= {"seccomp": filter_, "landlock": confinement.landlock, "machine": platform.machine()}
    assert child.stdin
    with contextlib.suppress(BrokenPipeError):  # it is gone already; its report, or its silence, says why
        child.stdin.write(json.dumps(told).encode() + b"\n")
        child.stdin.flush()


def _too_much(elapsed: float, timeout: float | None, log: Path) -> str:
    if timeout is not None and elapsed > timeout:
        return f"killed after {timeout:g} s, the timeout"
    if log.exists() and log.stat().st_size > LOG_LIMIT:
        return f"killed after printing {LOG_LIMIT >> 20} MiB"
    return ""


def _stop(child: subprocess.Popen[bytes], marker: str) -> dict[str, object]:
    """Let go of the supervisor, wait until its tree is gone, and read its report; empty where it was killed itself."""
    assert child.stdin
    assert child.stdout
    interrupted: KeyboardInterrupt | None = None
    while True:
        try:
            with contextlib.suppress(BrokenPipeError):
                child.stdin.close()
            text = child.stdout.read()
            child.wait()
            break
        except KeyboardInterrupt as again:  # ^C does not leave a tree behind: it is heard when the tree is gone
            interrupted = again
    child.stdout.close()
    if not text:
        end_survivors(marker)
    if interrupted:
        raise interrupted
    if not text:
        return {}
    report: dict[str, object] = json.loads(text)
    return report


def environment_for_run(extra: Mapping[str, str]) -> dict[str, str]:
    """What a run sees: ours without secrets, unbuffered output so that a killed run's log is whole, and the contract."""
    return {**scrubbed(os.environ), "PYTHONUNBUFFERED": "1", **extra}
