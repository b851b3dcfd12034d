"""Pushing: one ref moves from where it was expected, or it is said why not; nothing else does, here or there.

The server is the stand-in for GitHub, whose git is real; what GitHub itself would say is said there by a hook.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import threading
import time
from pathlib import Path

import pytest
from conftest import World, wait_for
from github_standin import GitHub
from github_standin.repository import Repository as Hub

from autoresearch_git.errors import AutoresearchError
from autoresearch_git.repository import PushRefusedError, Remote, Repository, open_repository, open_store

TOKEN = "ghp_0123456789abcdefghijABCDEFGHIJ012345"
BRANCH = "refs/heads/exp/cpu/t"
SECONDS = 30.0


@pytest.fixture
def hub(github: GitHub) -> Hub:
    """Ada's own repository, empty."""
    github.user("ada", token=TOKEN)
    return github.repository("ada/toy")


@pytest.fixture
def remote(github: GitHub, hub: Hub) -> Remote:
    return Remote(f"{github.url}/{hub.name_with_owner}.git", TOKEN)


@pytest.fixture
def mine(toy: World) -> Repository:
    return open_repository(toy.root)


def child(repository: Repository, parent: str, text: str = "N = 6\n") -> str:
    """A commit that no ref names."""
    return repository.commit_tree(repository.tree_with(parent, {"solver.py": text}), [parent], "a step")


def hook(hub: Hub, script: str, name: str = "pre-receive") -> None:
    (hub.git_dir / "hooks").mkdir(exist_ok=True)
    (hub.git_dir / "hooks" / name).write_text(f"#!/bin/sh\n{script}\n")
    (hub.git_dir / "hooks" / name).chmod(0o755)


def snapshot(folder: Path) -> dict[str, str]:
    """Every file below a folder, by its hash."""
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*") if p.is_file()}


# -- what moves -------------------------------------------------------------------------------------------------


def test_a_ref_moves_only_from_where_it_was_expected(toy: World, mine: Repository, hub: Hub, remote: Remote) -> None:
    base = toy.git("rev-parse", "HEAD")
    one, other = child(mine, base), child(mine, base, "N = 7\n")
    before = snapshot(toy.root), snapshot(Path.home())
    assert mine.remote_refs(remote, [BRANCH], SECONDS) == {}
    mine.push(remote, one, BRANCH, "", SECONDS)
    assert mine.remote_refs(remote, [BRANCH, "refs/heads/main"], SECONDS) == {BRANCH: one}
    for expected in ("", base):
        with pytest.raises(PushRefusedError) as refused:
            mine.push(remote, other, BRANCH, expected, SECONDS)
        assert refused.value.reason == "stale"
        assert BRANCH in refused.value.message
        assert "again" in refused.value.hint
    mine.push(remote, other, BRANCH, one, SECONDS)  # not a descendant
    mine.push(remote, other, BRANCH, one, SECONDS)  # nothing is left to do
    assert hub.refs() == {BRANCH: other}
    assert (snapshot(toy.root), snapshot(Path.home())) == before


def test_nothing_that_is_configured_adds_to_a_push(
    toy: World, mine: Repository, hub: Hub, remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy.git("tag", "-a", "-m", "x", "v1")
    toy.git("branch", "other")
    trap = tmp_path / "ran"
    (tmp_path / "hooks").mkdir()
    for name in ("pre-push", "reference-transaction", "gpg", "askpass", "helper"):
        (tmp_path / "hooks" / name).write_text(f"#!/bin/sh\necho {name} >> {trap}\nexit 1\n")
        (tmp_path / "hooks" / name).chmod(0o755)
    settings = {
        "push.default": "matching", "push.followTags": "true", "push.gpgSign": "true", "push.pushOption": "ci.skip",
        "push.recurseSubmodules": "only", "push.autoSetupRemote": "true", "push.negotiate": "true", "remote.pushDefault": "origin",
        "core.hooksPath": str(tmp_path / "hooks"), "gpg.program": str(tmp_path / "hooks" / "gpg"),
        "core.askPass": str(tmp_path / "hooks" / "askpass"), "credential.helper": str(tmp_path / "hooks" / "helper"),
    }  # fmt: skip
    for key, value in settings.items():
        toy.git("config", key, value)
    toy.git("remote", "add", "--mirror=push", "origin", remote.url)
    toy.git("config", "--add", "remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*")
    monkeypatch.setenv("GIT_ASKPASS", settings["core.askPass"])
    monkeypatch.chdir(tmp_path)
    before = snapshot(toy.root)
    mine.push(remote, toy.git("rev-parse", "HEAD"), BRANCH, "", SECONDS)
    assert hub.refs() == {BRANCH: toy.git("rev-parse", "HEAD")}
    assert snapshot(toy.root) == before
    assert not trap.exists()


def test_refs_are_asked_for_by_their_whole_names(toy: World, mine: Repository, hub: Hub, remote: Remote) -> None:
    hub.import_from(toy.root / ".git", ["+HEAD:refs/heads/x", "+HEAD:refs/other/refs/heads/x", "+HEAD:refs/autoresearch/cpu/t"])
    names = ["refs/heads/x", "refs/autoresearch/cpu/t", "refs/heads/cpu/t"]
    assert set(mine.remote_refs(remote, names, SECONDS)) == set(names[:2])
    for wrong in ("x", "--upload-pack=touch x", "refs/heads/*", "HEAD"):
        with pytest.raises(ValueError, match="full name"):
            mine.remote_refs(remote, [wrong], SECONDS)
        with pytest.raises(ValueError, match="not a move"):
            mine.push(remote, toy.git("rev-parse", "HEAD"), wrong, "", SECONDS)


def test_a_push_goes_where_the_user_sends_pushes(
    toy: World, mine: Repository, github: GitHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`pushInsteadOf` names the address of a push, and so of what is looked at before it; ssh asks nobody, and sees no token."""
    there = tmp_path / "there.git"
    subprocess.run(["git", "init", "-q", "--bare", str(there)], check=True)
    program = tmp_path / "ssh"
    program.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/told\nenv >> {tmp_path}/told\nfor last; do :; done\nexec sh -c "$last"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("GIT_SSH_COMMAND", str(program))
    toy.git("config", "--global", f"url.ssh://git@example.org{there.parent}/.pushInsteadOf", f"{github.url}/ada/")
    toy.git("config", "--global", "url.ext::sh -c false.insteadOf", "ssh://git@example.org")
    remote = Remote(f"{github.url}/ada/there.git", TOKEN)
    head = toy.git("rev-parse", "HEAD")
    mine.push(remote, head, BRANCH, "", SECONDS)
    assert mine.remote_refs(remote, [BRANCH], SECONDS) == {BRANCH: head}
    assert github.requests == []
    told = (tmp_path / "told").read_text()
    assert "-o BatchMode=yes" in told
    assert TOKEN not in told


# -- why it does not --------------------------------------------------------------------------------------------

PROTECTED = """\
echo 'error: GH006: Protected branch update failed for refs/heads/exp/cpu/t.' >&2
echo 'error: Changes must be made through a pull request.' >&2; exit 1"""
RULESET = """\
printf 'error: GH013: Repository rule violations found for refs/heads/exp/cpu/t.\\n' >&2
printf 'Review all repository rules at https://github.com/ada/toy/rules\\n\\n- Cannot create ref due to creations being restricted.\\n' >&2; exit 1"""
WORKFLOW = """\
echo 'refusing to allow an OAuth App to create or update workflow `.github/workflows/ci.yml` without `workflow` scope' >&2; exit 1"""
LARGE = """\
echo 'error: Trace: 0123456789abcdef' >&2; echo 'error: See https://gh.io/lfs for more information.' >&2
echo "error: File model.bin is 123.00 MB; this exceeds GitHub's file size limit of 100.00 MB" >&2; exit 1"""
REFUSALS = {
    "a protected branch": (BRANCH, PROTECTED, "protected", "GH006: Protected branch update failed", "fork"),
    "a ruleset": (BRANCH, RULESET, "protected", "Cannot create ref due to creations being restricted", "fork"),
    "a workflow": (BRANCH, WORKFLOW, "workflow", "without `workflow` scope", "gh auth refresh -s workflow"),
    "a large file": (BRANCH, LARGE, "refused", "exceeds GitHub's file size limit", "run the command again"),
    "a hook of their own": (BRANCH, "exit 1", "refused", "pre-receive hook declined", "run the command again"),
    "a name that is kept": ("refs/pull/1/head", "", "hidden", "deny updating a hidden ref", "only the branch"),
    "a notebook": ("refs/autoresearch/cpu/t", "echo 'only branches here' >&2; exit 1", "hidden", "only branches here", "only the branch"),
    "a name in the way": ("refs/heads/main/exp", "", "refused", "'refs/heads/main' exists", "run the command again"),
    "a race": (BRANCH, f"unset GIT_QUARANTINE_PATH; git update-ref {BRANCH} refs/heads/main", "stale", "", "again"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS)
def test_a_refusal_says_in_the_servers_words_why(case: str, toy: World, mine: Repository, hub: Hub, remote: Remote) -> None:
    ref, script, reason, words, hint = REFUSALS[case]
    hub.import_from(toy.root / ".git", ["+HEAD:refs/heads/main"])
    hook(hub, script or "exit 0")
    with pytest.raises(PushRefusedError) as refused:
        mine.push(remote, child(mine, "HEAD"), ref, "", SECONDS)
    assert refused.value.reason == reason
    assert refused.value.message.startswith(f"{remote.url} does not take {ref}: ")
    assert words in refused.value.message
    assert hint in refused.value.hint
    assert refused.value.message.isprintable()


def test_what_a_server_says_steers_no_terminal_and_gives_no_token_away(
    toy: World, mine: Repository, hub: Hub, remote: Remote
) -> None:
    hook(hub, f"printf 'no: \\033]52;c;QQ\\007 {TOKEN} \\342\\200\\256\\n' >&2; yes 'flood of words' | head -c 300000 >&2; exit 1")
    with pytest.raises(PushRefusedError) as refused:
        mine.push(remote, toy.git("rev-parse", "HEAD"), BRANCH, "", SECONDS)
    assert "no: " in refused.value.message
    assert TOKEN not in repr(refused.value)
    assert refused.value.message.isprintable()
    assert len(refused.value.message) < 500


def test_a_token_that_may_not_push_there_is_told_from_one_that_is_none(
    github: GitHub, toy: World, mine: Repository, hub: Hub, remote: Remote
) -> None:
    github.user("bob", token="t-bob")
    head = toy.git("rev-parse", "HEAD")
    with pytest.raises(PushRefusedError) as refused:
        mine.push(Remote(remote.url, "t-bob"), head, BRANCH, "", SECONDS)
    assert refused.value.reason == "denied"
    assert "Permission to ada/toy.git denied to bob." in refused.value.message
    assert "a token or key that may write there" in refused.value.hint
    for secret in ("", "t-nobody"):
        with pytest.raises(AutoresearchError, match="cannot be pushed to") as error:
            mine.push(Remote(remote.url, secret), head, BRANCH, "", SECONDS)
        assert not isinstance(error.value, PushRefusedError)
        assert "GH_TOKEN" in error.value.hint
    with pytest.raises(AutoresearchError, match=r"cannot be pushed to: .*not found") as error:
        mine.push(Remote(f"{github.url}/ada/nothing", TOKEN), head, BRANCH, "", SECONDS)
    assert "address" in error.value.hint
    assert hub.refs() == {}


@pytest.mark.parametrize(
    ("kind", "after"), [("500", 1), ("hangup", 1), ("slow", 1), ("502", 2), ("hangup", 2), ("lost", 2), ("slow", 2)]
)
def test_a_push_that_was_cut_can_be_made_again(
    kind: str, after: int, github: GitHub, toy: World, mine: Repository, hub: Hub, remote: Remote
) -> None:
    """Whether the ref has moved or not: the lease is what the caller knew before."""
    head = toy.git("rev-parse", "HEAD")
    github.fail(kind, after=after, where="git", seconds=3)
    seconds = 1.0 if kind == "slow" else SECONDS
    with pytest.raises(AutoresearchError, match=r"cannot be pushed to: |was not pushed to within 1 s") as error:
        mine.push(remote, head, BRANCH, "", seconds)
    assert not isinstance(error.value, PushRefusedError), error.value.message
    assert error.value.hint == "check the network, then run the command again", error.value.message
    mine.push(remote, head, BRANCH, "", SECONDS)
    assert hub.refs() == {BRANCH: head}


# -- the token --------------------------------------------------------------------------------------------------


def family(pid: int) -> list[Path]:
    """The processes that descend from one, as far as they can be told."""
    parents = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            parents[int(name)] = int(Path("/proc", name, "stat").read_text().rpartition(")")[2].split()[1])
    found, queue = [], [pid]
    while queue:
        above = queue.pop()
        queue += (below := [child for child, parent in parents.items() if parent == above])
        found += [Path("/proc", str(child)) for child in below]
    return found


class Watch(threading.Thread):
    """Looks at every process that descends from this one, as often as it can."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.seen: dict[str, str] = {}  # what it was started as → all that an onlooker can read of it
        self.done = threading.Event()

    def run(self) -> None:
        while not self.done.is_set():
            for process in family(os.getpid()):
                with contextlib.suppress(OSError):
                    line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    self.seen[line] = line + (process / "environ").read_bytes().decode(errors="replace")
            self.done.wait(0.003)

    def __enter__(self) -> Watch:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.join()


def descriptors() -> dict[str, str]:
    found = {}
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # that of this listing itself
            found[entry.name] = os.readlink(entry)
    return found


@pytest.mark.parametrize("crowded", [False, True])
def test_no_process_can_be_seen_to_hold_the_token(
    crowded: bool, github: GitHub, toy: World, mine: Repository, hub: Hub, remote: Remote, tmp_path: Path
) -> None:
    """Not in the argv, nor in the environment of git or of whatever it starts; with more than ten descriptors open, too."""
    hub.is_private = True
    store = open_store(tmp_path / "store")
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(20 * crowded)]
    before = descriptors()
    github.fail("slow", times=9, where="git", seconds=0.3)
    with Watch() as watch:
        mine.push(remote, toy.git("rev-parse", "HEAD"), BRANCH, "", SECONDS)
        store.fetch(remote, ["+refs/heads/*:refs/hub/1/*"])
        assert mine.remote_refs(remote, [BRANCH], SECONDS) == {BRANCH: store.ref_target("refs/hub/1/exp/cpu/t")}
    wait_for(lambda: descriptors() == before)  # the server of this process closes its own a moment later
    for descriptor in held:
        os.close(descriptor)
    for verb in (" push ", " fetch ", " ls-remote ", "git-remote-http", " send-pack "):
        assert any(verb in line for line in watch.seen), (verb, list(watch.seen))
    for line, everything in watch.seen.items():
        assert TOKEN not in everything, line


def test_a_helper_answers_again_and_again(mine: Repository, remote: Remote, toy: World) -> None:
    """git asks once more where a server forgets, and in each process of its own that talks to the server."""
    with remote.credentials() as (settings, inherited):
        script = "for n in 1 2 3; do printf 'url=%s\\n\\n' \"$URL\" | git credential fill; done"
        done = subprocess.run(["git", "-c", settings[0], "-c", f"alias.thrice=!{script}", "thrice"], pass_fds=inherited,
                              capture_output=True, text=True, env={**os.environ, "URL": remote.url})  # fmt: skip
    assert done.stdout.count(f"username=x-access-token\npassword={TOKEN}\n") == 3


@pytest.mark.parametrize("secret", ["", "wide " * 30_000])
def test_a_token_that_is_not_asked_for_or_fits_no_pipe_blocks_nobody(
    secret: str, toy: World, mine: Repository, hub: Hub, remote: Remote
) -> None:
    hub.import_from(toy.root / ".git", [f"+HEAD:{BRANCH}"])
    before, began = descriptors(), time.monotonic()
    assert mine.remote_refs(Remote(remote.url, secret or TOKEN), [BRANCH], SECONDS)
    if secret:
        with pytest.raises(AutoresearchError, match="cannot be pushed to"):
            mine.push(Remote(remote.url, secret), child(mine, "HEAD"), BRANCH, toy.git("rev-parse", "HEAD"), SECONDS)
    assert time.monotonic() - began < 5
    wait_for(lambda: descriptors() == before)  # the server of this process closes its own a moment later


def test_a_token_goes_to_no_other_child(mine: Repository, remote: Remote) -> None:
    with remote.credentials() as (_, inherited):
        listed = subprocess.run(["ls", "/proc/self/fd"], close_fds=False, capture_output=True, text=True).stdout.split()
        assert str(inherited[0]) not in listed
