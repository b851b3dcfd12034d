"""Which kind of sandbox works here: each is tried with a small run in it, the best first, and what failed is remembered."""

from __future__ import annotations

import errno
import functools
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from autoresearch_git.errors import AutoresearchError
from autoresearch_git.lab import process
from autoresearch_git.lab.sandbox import bubblewrap, landlock, seccomp
from autoresearch_git.lab.sandbox.policy import Policy
from autoresearch_git.plaintext import one_line

NONE = "none"
KINDS = ("bubblewrap", "landlock")
_PATIENCE = 300.0  # seconds for a probe: torch from a cold disk takes its time

_INSTALL = "install bubblewrap: apt, dnf, pacman, zypper and apk have it under this name"
_APPARMOR = (
    "sudo apt install apparmor-profiles && sudo cp /usr/share/apparmor/extra-profiles/bwrap-userns-restrict /etc/apparmor.d/ "
    "&& sudo apparmor_parser -r /etc/apparmor.d/bwrap-userns-restrict"
)
_NO_LANDLOCK = {
    errno.ENOSYS: ("not in this kernel (Linux 5.13 has it)", "run on a newer kernel"),
    errno.EOPNOTSUPP: ("switched off in this kernel", "boot with lsm=landlock before the other names of lsm="),
}
_USER_NAMESPACES = (
    "allow user namespaces: sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone, or the container's rules"
)


@dataclass(frozen=True)
class Failure:
    """Why a kind does not work here, and what to do about it."""

    kind: str
    reason: str
    fix: str


@dataclass(frozen=True)
class Found:
    """The best kind that works, or `none`, and why those above it do not."""

    kind: str
    failures: tuple[Failure, ...]

    @property
    def why(self) -> str:
        return "; ".join(f"{failure.kind}: {failure.reason}" for failure in self.failures)

    @property
    def fix(self) -> str:
        return self.failures[0].fix if self.failures else ""


def best(policy: Policy, words: Sequence[str]) -> Found:
    """Try the kinds with a small command, until one works."""
    failures: list[Failure] = []
    for kind in KINDS:
        failure = probe(kind, policy, words)
        if failure is None:
            return Found(kind, tuple(failures))
        failures.append(failure)
    return Found(NONE, tuple(failures))


def probe(kind: str, policy: Policy, words: Sequence[str]) -> Failure | None:
    """Run `words` in a sandbox of this kind; None where they succeed."""
    if not sys.platform.startswith("linux"):
        return Failure(kind, f"there is none for {platform.system()}", "run in a virtual machine with Linux")
    if not seccomp.supported():
        return Failure(kind, f"no filter of system calls for {platform.machine()} yet", "")
    try:
        return _try_bubblewrap(policy, words) if kind == "bubblewrap" else _try_landlock(policy, words)
    except (OSError, subprocess.SubprocessError) as error:
        return Failure(kind, one_line(str(error)), "git autoresearch doctor")


def confined(
    kind: str, policy: Policy, words: Sequence[str], log: Path
) -> tuple[list[str], Mapping[str, str], process.Confinement]:
    """The command, its environment, and what the supervisor does before it starts it. The run may open `log`, its output."""
    if kind == "bubblewrap":
        if not shutil.which(words[0], path=policy.environment.get("PATH")) and not (policy.cwd / words[0]).is_file():
            why = f"{os.strerror(errno.ENOENT)}: {words[0]}"
            raise AutoresearchError(f"the command cannot be started: {why}", "git autoresearch config")
        program = shutil.which("bwrap") or "bwrap"
        command = bubblewrap.command(program, policy, words, process.SECCOMP_FD)
        return command, bubblewrap.environment(policy), process.Confinement(seccomp.program(own_network=True))
    filter_ = seccomp.program(own_network=False)
    rules = landlock_rules(policy)
    return list(words), policy.environment, process.Confinement(filter_, {**rules, "write": [*rules["write"], str(log)]})


def landlock_rules(policy: Policy) -> dict[str, list[str]]:
    devices = ("null", "zero", "full", "random", "urandom", *(["shm"] if policy.shares_memory else []))
    return {
        "read": ["/proc", *map(str, policy.readable)],
        "write": [*map(str, policy.writable), *(["/dev/shm"] if policy.shares_memory else [])],  # noqa: S108
        "devices": [*(f"/dev/{name}" for name in devices), *map(str, policy.devices)],
    }


def _try_bubblewrap(policy: Policy, words: Sequence[str]) -> Failure | None:
    program = shutil.which("bwrap")
    if program is None:
        return Failure("bubblewrap", "not installed", _INSTALL)
    with tempfile.TemporaryFile() as filter_:
        filter_.write(seccomp.program(own_network=True))
        filter_.seek(0)
        command = bubblewrap.command(program, policy, words, filter_.fileno())
        done = subprocess.run(command, env=dict(bubblewrap.environment(policy)), stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=_PATIENCE, pass_fds=(filter_.fileno(),))  # fmt: skip
    return _failure("bubblewrap", done)


def _try_landlock(policy: Policy, words: Sequence[str]) -> Failure | None:
    try:
        landlock.version()
    except OSError as error:
        reason, fix = _NO_LANDLOCK.get(error.errno or 0, (os.strerror(error.errno or 0), "git autoresearch doctor"))
        return Failure("landlock", reason, fix)
    made = landlock.ruleset(landlock_rules(policy))
    enter = functools.partial(landlock.enter, made, seccomp.program(own_network=False), platform.machine())
    try:
        done = subprocess.run(words, env=dict(policy.environment), cwd=policy.cwd, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=_PATIENCE, preexec_fn=enter)  # fmt: skip
    finally:
        os.close(made)
    return _failure("landlock", done)


def works_outside(words: Sequence[str]) -> bool:
    try:
        return subprocess.run(words, capture_output=True, stdin=subprocess.DEVNULL, timeout=_PATIENCE).returncode == 0
    except (OSError, subprocess.SubprocessError):
        return False


def _failure(kind: str, done: subprocess.CompletedProcess[str]) -> Failure | None:
    if done.returncode == 0:
        return None
    said = one_line((done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1])
    return Failure(kind, said, _advice(said))


def _advice(said: str) -> str:
    if ("uid map" in said or "RTM_NEWADDR" in said) and _restricted_by_apparmor():
        return _APPARMOR
    if "namespace" in said or "uid map" in said or "RTM_NEWADDR" in said:
        return _USER_NAMESPACES
    return "git config --add autoresearch.sandbox-read PATH where a file is missing"


def _restricted_by_apparmor() -> bool:
    try:
        return Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns").read_text().strip() == "1"
    except OSError:
        return False
