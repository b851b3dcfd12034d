"""Comments where claims stand: one on each pull request or Discussion whose claims were measured, by the real command."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import signal
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import pytest
from author import HUB, TOKEN, Author, author, said
from conftest import SOLVER, World, make_empty, seal
from github_standin import GitHub, git
from github_standin.models import Comment, Discussion, Pull
from notebooks import experiment, write_session
from zygote import Zygote

from autoresearch_git.community import record
from autoresearch_git.experiment import Status

BENCH = """\
import os
from solver import ALPHA, N
noise = (int(os.environ["AUTORESEARCH_SEED"]) % 3 - 1) * 0.0004
print("score:", round(1 - (ALPHA - 0.6) ** 2 - 0.01 * (N - 7) ** 2 + noise, 6))
"""
HOSTILE = "alpha | 0.5, @karpathy <img src=x> closes #1"
PULL, PAPER, OTHER = f"{HUB}#44", f"{HUB}#45", "bob/autoresearch#5"
KINDS = {"lost": ("lost", False), "silent-after": ("silent-after", False), "killed-after": ("", True)}


def solver(alpha: float, n: int) -> str:
    return SOLVER.replace("0.3", str(alpha)).replace("N = 5", f"N = {n}")


def table(*rows: tuple[str, float]) -> str:
    lines = [f"{sha[:7]}\t{value:.6f}\t0.0\tkeep\tx" for sha, value in (("base", 0.87), *rows)]
    return "\n".join(["commit\tscore\tmemory_gb\tstatus\tdescription", *lines]) + "\n"


def fill(github: GitHub, seed: Path | None = None) -> None:
    """A hub with grace's pull request, and lin's Discussion that names commits; bob's repository with a pull request. The commits
    come from the repository `seed`, where one is given, so that they are the same."""
    hub = github.repositories[HUB]
    if seed:
        hub.import_from(seed, [f"+refs/heads/exp/cpu/{name}:refs/heads/exp/cpu/{name}" for name in "glb"])
    else:
        one = hub.commit({"solver.py": solver(0.5, 5)}, "exp/cpu/g", message=HOSTILE, author="Grace")
        two = hub.commit({"solver.py": solver(0.5, 6)}, "exp/cpu/g", message="one more step", author="Grace")
        hub.commit({"results.tsv": table((one, 0.95), (two, 0.98))}, "exp/cpu/g", message="results", author="Grace")
        hub.commit({"solver.py": solver(0.1, 5)}, "exp/cpu/l", message="alpha to 0.1", author="Lin")
        hub.commit({"solver.py": solver(0.6, 5)}, "exp/cpu/b", message="alpha to 0.6", author="Bob")
    heads = hub.refs("refs/heads")
    told = {"session": "cpu/l", "branch": "exp/cpu/l", "head": heads["refs/heads/exp/cpu/l"], "repository": HUB,
            "metric": {"name": "score", "direction": "max"}, "baseline": {"mean": 0.87}, "best": {"mean": 0.9}}  # fmt: skip
    hub.pull("exp/cpu/g", "exp/cpu/g: 0.87 → 0.98", author="grace", number=44)
    hub.discussion("a paper", f"<!-- autoresearch:1\n{json.dumps(told)}\n-->\nprose\n", author="lin", number=45)
    bobs = github.repository("bob/autoresearch", parent=hub)
    bobs.pull("exp/cpu/b", "exp/cpu/b", author="bob", number=5)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory, zygote: Zygote) -> Path:
    """A folder with a GitHub's repositories, and `repo` with a session that has measured what others claim there."""
    folder = tmp_path_factory.mktemp("measured")
    with pytest.MonkeyPatch.context() as patch, GitHub(folder / "github") as github:
        seal(patch, folder)
        world = make_empty(folder)
        world.commit({"solver.py": SOLVER, "bench.py": BENCH, ".gitignore": "__pycache__/\n"})
        world.configure(metric="score", direction="max", run="{python} bench.py", editable="solver.py", inspiration="no")
        world.git("checkout", "-qb", "theirs")
        world.commit({"solver.py": solver(0.55, 5)}, "a branch here")
        world.git("checkout", "-q", "main")
        ada = author(folder / "ada", world.root, github)
        ada.world.zygote = zygote
        fill(github)
        for command in (["findings", "--sync"], ["adopt", "#44", "--yes", "--tag", "t"], ["reproduce", "#45", "--yes", "--runs", "2"],
                        ["reproduce", OTHER, "--yes", "--runs", "2"], ["adopt", "theirs", "--yes"], ["publish", "--yes"]):  # fmt: skip
            ran = ada.run(*command)
            assert ran.code == 0, f"{command}\n{ran.out}\n{ran.err}"
        (ada.world.folder() / "published.json").unlink()
        ada.world.git("remote", "remove", "origin")
        shutil.rmtree(world.root)
    return folder


@pytest.fixture
def ada(tmp_path: Path, measured: Path, github: GitHub, zygote: Zygote) -> Author:
    """Who has measured others' claims, and published nothing yet."""
    found = author(tmp_path, measured / "ada" / "repo", github)
    found.world.zygote = zygote
    fill(github, measured / "github" / "karpathy" / "autoresearch.git")
    return found


def threads(ada: Author) -> dict[str, Pull | Discussion]:
    return {PULL: ada.hub.pulls[44], PAPER: ada.hub.discussions[45], OTHER: ada.github.repositories["bob/autoresearch"].pulls[5]}


def comments(ada: Author) -> dict[str, list[str]]:
    """Source → the bodies of what is said there."""
    return {key: [comment.body for comment in thread.comments] for key, thread in threads(ada).items()}


def told(body: str) -> record.Record:
    found = record.read(body)
    assert found
    return found


def cells(body: str) -> list[list[str]]:
    """The rows of its table, without the hardware, which is whatever the tests run on."""
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in body.splitlines() if line.startswith("| ")]
    places = [place for place, name in enumerate(rows[0] if rows else ()) if name.strip() != "hardware"]
    return [[row[place].strip() for place in places] for row in rows]


# -- what is said -------------------------------------------------------------------------------------------------------


def test_each_source_is_told_once_what_became_of_its_claim(ada: Author) -> None:
    ran = ada.publish("--comment", "--json")
    posted = comments(ada)
    assert [len(bodies) for bodies in posted.values()] == [1, 1, 1]
    told_of = {key: told(bodies[0]) for key, bodies in posted.items()}
    assert {key: found.replications[-1].outcome for key, found in told_of.items()} == {
        PULL: "confirmed", PAPER: "contradicted", OTHER: "confirmed",
    }  # fmt: skip
    for key, found in told_of.items():
        assert {replication.of for replication in found.replications} == {key}
        assert (found.session, found.metric and found.metric.name, found.platform["name"]) == ("cpu/t", "score", "cpu")
        assert found.identity == told(ada.hub.discussions[47].body).identity
        assert not found.findings
        assert len(posted[key][0]) < 4_000
        assert f"{ada.url}/pull/46, {ada.url}/discussions/47" in posted[key][0]
    shown = json.loads(ran.out)
    assert shown["comments"] == [ada.github.url + suffix for suffix in (
        f"/{HUB}/pull/44#issuecomment-{ada.hub.pulls[44].comments[0].database_id}",
        f"/{HUB}/discussions/45#discussioncomment-{ada.hub.discussions[45].comments[0].database_id}",
        f"/bob/autoresearch/pull/5#issuecomment-{threads(ada)[OTHER].comments[0].database_id}",
    )]  # fmt: skip
    assert shown["notes"] == ["theirs cannot be commented on: it is no pull request or Discussion"]


def test_people_read_numbers_and_the_word_and_strangers_text_is_inert(ada: Author) -> None:
    ada.publish("--comment")
    pull, paper, _ = (bodies[0] for bodies in comments(ada).values())
    shas = git.run(ada.hub.git_dir, "rev-list", "--reverse", "--abbrev-commit", "--abbrev=7", "main..exp/cpu/g")
    one, two, _ = shas.split()
    confined = ada.world.experiments()[1]["measurements"][0]["sandbox"]  # by whatever this machine has
    assert cells(pull) == [
        ["what", "claimed", "here", "outcome", "runs", "sandbox"],
        [f"alpha \\| 0.5, `@karpathy` \\<img src=x\\> closes `#1` `{one}`", "+0.080000", "+0.0798 ± 0.0022", "confirmed", "1 run", confined],
        [f"one more step `{two}`", "+0.030000", "+0.0300 ± 0.0025", "confirmed", "1 run", confined],
        ["together", "+0.110000", "+0.1098 ± 0.0033", "confirmed", "", ""],
    ]  # fmt: skip
    assert "**confirmed**, that is, it is better here, and not by chance. score changed by +0.1098 ± 0.0033" in pull
    assert "+0.110000 was claimed" in pull
    (row,) = cells(paper)[1:]
    assert row[1:5] == ["+0.030000", "−0.16000 ± 0.00083", "contradicted", "2 runs, 2 without it"]


def test_however_much_was_adopted_the_comment_stays_small_and_a_crash_is_told(ada: Author) -> None:
    crash = dataclasses.replace(
        experiment(1, Status.CRASH, "boom", None, "exit 1"), adopted_from=f"{PULL} {'a' * 40}", claimed=0.1, step=(1, 1)
    )
    many = [dataclasses.replace(experiment(n, Status.KEEP, "x" * 300, 0.87 + n / 1000), claimed=0.001, step=(n - 1, 60),
                                adopted_from=f"{PAPER} {n:040x}") for n in range(2, 62)]  # fmt: skip
    texts = [solver(0.3 + n / 1000, 5) for n in range(62)]
    write_session(ada.world, "u", [experiment(0, Status.BASELINE, "baseline", 0.87), crash, *many], texts)
    shown = json.loads(ada.world.ok("publish", "cpu/u", "--dry-run", "--comment", "--json"))["comments"]
    assert "and its runs crashed." in shown[PULL]
    assert [row[2:4] for row in cells(shown[PULL])[1:]] == [["crashed", "crashed"]]
    body = shown[PAPER]
    assert len(body) < 10_000
    assert (len(told(body).replications), told(body).replications[-1].outcome) == (20, "confirmed")
    assert cells(body)[-1][:2] == ["together", "+0.060000"]
    assert "The other 41 are in the paper." in body


def test_a_dry_run_shows_the_comments_and_contacts_nobody(ada: Author, tmp_path: Path) -> None:
    asked = ada.github.count
    ran = ada.run("publish", "--dry-run", "--comment", "--json", env={"GH_ENTERPRISE_TOKEN": ""})
    shown = json.loads(ran.out)["comments"]
    assert list(shown) == [PULL, PAPER, OTHER]
    assert "(links follow)" in shown[PULL]
    out = ada.run("publish", "--dry-run", "--comment", "--output", str(tmp_path / "there")).out
    assert f"======== comment on {PULL} ========" in out
    assert (tmp_path / "there" / "comment-karpathy-autoresearch-44.md").read_text() == shown[PULL]
    assert ada.github.count == asked
    ada.publish("--comment")
    links = "(links follow)", f"{ada.url}/pull/46, {ada.url}/discussions/47"
    assert comments(ada)[PULL] == [shown[PULL].replace(*links)]


def test_a_template_of_ones_own_words_it(ada: Author, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "comment.md.j2").write_text(
        '{% extends "packaged/comment.md.j2" %}{% block table %}{{ standing.line }}\n\n{% endblock %}'
    )
    ada.world.configure(templates=str(own))
    ada.publish("--comment")
    (body,) = comments(ada)[PULL]
    assert told(body).replications
    assert cells(body) == []
    assert "confirmed: claimed +0.110000, here +0.1098 ± 0.0033 on cpu" in body
    (own / "comment.md.j2").write_text("{{ 'long' * 20000 }}")
    before = ada.github.dump()
    message, hint = ada.refused("--comment")
    assert message.startswith("comment.md.j2 gives 80,")
    assert hint == "shorten your template"
    assert ada.github.dump() == before


# -- who is asked -------------------------------------------------------------------------------------------------------


def test_nothing_is_commented_unasked(ada: Author) -> None:
    ran = ada.publish("--json")
    assert json.loads(ran.out)["comments"] == []
    assert not any(comments(ada).values())
    assert not [request for request in ada.github.requests if "bob" in request.path]


def test_a_terminal_is_asked_apart_and_only_where_there_is_something_new_to_say(ada: Author) -> None:
    declined = ada.answer("y\nn\n")
    shown, _, rest = declined.err.partition("publish this? [y/N]")
    assert PULL + ", new" not in shown, "what is agreed to with that question is the publication"
    preview, asked, _ = rest.partition(f"comment on {PULL}, {PAPER} and {OTHER}? [y/N]")
    assert asked
    assert f"comment    {PULL}, new: confirmed: claimed +0.110000, here +0.1098 ± 0.0033 on cpu" in preview
    assert f"comment    {PAPER}, new: contradicted: claimed +0.030000, here −0.16000 ± 0.00083 on cpu" in preview
    assert (declined.code, len(ada.hub.pulls), any(comments(ada).values())) == (0, 2, False)
    agreed = ada.answer("y\n")
    assert agreed.err.count("? [y/N]") == 1, "the publication is in place"
    assert [len(bodies) for bodies in comments(ada).values()] == [1, 1, 1]
    assert len(agreed.out.splitlines()) == 5
    again = ada.answer("")
    assert "? [y/N]" not in again.err
    assert "nothing to do: everything is in place" in again.err


def test_with_the_option_one_question_is_asked_that_shows_both(ada: Author) -> None:
    ran = ada.answer("n\n", "--comment")
    assert said(ran)[0] == "nothing was published"
    shown, asked, _ = ran.err.partition("publish this? [y/N]")
    assert asked
    assert f"comment    {PULL}, new" in shown
    assert ada.written() == []


# -- again --------------------------------------------------------------------------------------------------------------


def test_a_second_run_posts_nothing_and_more_measurements_edit_the_comment(ada: Author) -> None:
    ada.publish("--comment")
    before, seen = ada.github.dump(), len(ada.github.requests)
    (ada.world.folder() / "published.json").unlink()
    ran = ada.publish("--comment")
    assert ran.err.splitlines()[-2:] == ["nothing to do: everything is in place",
                                         "note: theirs cannot be commented on: it is no pull request or Discussion"]  # fmt: skip
    assert len(ran.out.splitlines()) == 5
    assert (ada.github.dump(), ada.written(seen)) == (before, [])
    first = {key: thread.comments[0] for key, thread in threads(ada).items()}
    bodies = comments(ada)
    assert ada.run("reproduce", OTHER, "--yes", "--runs", "3").code == 0
    ran = ada.publish("--comment")
    assert {key: thread.comments for key, thread in threads(ada).items()} == {key: [one] for key, one in first.items()}
    assert f"updated {ada.github.url}/bob/autoresearch/pull/5#issuecomment-" in ran.err
    assert (comments(ada)[PULL], comments(ada)[PAPER]) == (bodies[PULL], bodies[PAPER])
    assert [row[4] for row in cells(first[OTHER].body)[1:]] == ["2 runs, 2 without it", "3 runs, 3 without it"]


def test_ones_own_comment_is_found_on_any_page_and_nobody_elses_copy_of_it(ada: Author) -> None:
    ada.publish("--comment")
    thread = ada.hub.pulls[44]
    (own,) = thread.comments
    thread.comments.clear()
    for number in range(130):
        ada.hub.add_comment(thread, ada.github.person("eve"), f"{own.body}me too\n" if number == 7 else f"{number}")
    own.database_id = thread.comments[120].database_id + 1
    own.created_at = thread.comments[120].created_at
    thread.comments.insert(121, own)
    before, seen = ada.github.dump(), len(ada.github.requests)
    ada.publish("--comment")
    assert (ada.github.dump(), ada.written(seen)) == (before, [])


def test_taken_back_the_comments_stay_and_that_is_said(ada: Author) -> None:
    ran = ada.publish("--comment", "--json")
    urls = json.loads(ran.out)["comments"]
    bodies = comments(ada)
    ran = ada.publish("--unpublish")
    for url, key in zip(urls, (PULL, PAPER, OTHER), strict=True):
        assert f"stays      {url}, your comment on {key}; it can be deleted there" in ran.err
    assert comments(ada) == bodies


# -- what is in the way -------------------------------------------------------------------------------------------------


def _own(ada: Author) -> None:
    ada.hub.pulls[44].author = ada.github.person("ada")


def _closed(ada: Author) -> None:
    ada.hub.pulls[44].state = "CLOSED"


def _locked(ada: Author) -> None:
    ada.hub.pulls[44].locked = True


def _gone(ada: Author) -> None:
    del ada.hub.pulls[44]


@pytest.mark.parametrize(
    ("change", "why"),
    [(_own, "is not commented on: it is your own"), (_closed, "is not commented on: it is closed"),
     (_locked, "is not commented on: it is locked"), (_gone, "cannot be commented on: there is no such pull request or Discussion")],
)  # fmt: skip
def test_what_is_in_the_way_of_one_comment_costs_that_one(ada: Author, change: Callable[[Author], None], why: str) -> None:
    everywhere = threads(ada)
    change(ada)
    ran = ada.publish("--comment", "--json")
    assert f"{PULL} {why}" in json.loads(ran.out)["notes"]
    assert f"note       {PULL} {why}" in ran.err, "before anything is done"
    assert f"comment    {PULL}" not in ran.err
    assert [len(thread.comments) for thread in everywhere.values()] == [0, 1, 1]


def test_a_refusal_costs_one_comment(ada: Author) -> None:
    """bob's repository is archived, which only the comment itself meets."""
    ada.github.repositories["bob/autoresearch"].is_archived = True
    ran = ada.publish("--comment")
    assert f"note: {OTHER} is not commented on: bob/autoresearch: commenting on " in ran.err
    assert "Repository was archived so is read-only." in ran.err
    assert [len(bodies) for bodies in comments(ada).values()] == [1, 1, 0]


def test_no_token_goes_to_a_host_that_the_user_did_not_name(ada: Author, tmp_path: Path) -> None:
    """A session that was fetched may name any place as the source of a commit."""
    with GitHub(tmp_path / "elsewhere") as elsewhere:
        key = f"{elsewhere.url.removeprefix('http://')}/{HUB}#44"
        kept = dataclasses.replace(
            experiment(1, Status.KEEP, "better", 0.9), adopted_from=f"{key} {'a' * 40}", claimed=0.1, step=(1, 1)
        )
        write_session(ada.world, "u", [experiment(0, Status.BASELINE, "baseline", 0.87), kept], [SOLVER, solver(0.5, 5)])
        ran = ada.publish("cpu/u", "--comment")
        assert f"note: {key} cannot be commented on: there is no token for " in ran.err
        assert elsewhere.requests == []


# -- faults -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def said_once(ada: Author) -> Author:
    """Everything is published, and commented."""
    ada.publish("--comment")
    ada.github.repositories["bob/autoresearch"].pulls[5].locked = True  # two kinds of threads are enough
    return ada


def forget(comments: list[Comment]) -> None:
    comments.clear()


def outdate(comments: list[Comment]) -> None:
    comments[0].body = comments[0].body.replace("confirmed", "contradicted").replace("This was", "Long ago this was")


def spoil(ada: Author, kind: str, n: int) -> int:
    """Publish while the n-th request goes wrong; the exit code."""
    fault, killed = KINDS[kind]
    started: Future[int] = Future()
    if fault:
        ada.github.fail_at(n, fault, seconds=2)
    if killed:
        ada.github.on_request(n, lambda: os.killpg(started.result(20), signal.SIGKILL), after=True)
    assert ada.world.zygote
    direct = {"NO_PROXY": "127.0.0.1", "AUTORESEARCH_API_TIMEOUT": "1" if "silent" in kind else "20"}
    call = ada.world.zygote.call(ada.world.root, {**os.environ, **ada.environment, **direct}, "publish", "--yes", "--comment")
    started.set_result(call.pid)
    ran = call.wait()
    assert "Traceback" not in ran.err
    assert TOKEN not in ran.err + ran.out
    return ran.code


@pytest.mark.parametrize("before", [forget, outdate], ids=lambda before: before.__name__)
@pytest.mark.parametrize("kind", KINDS)
def test_a_comment_whose_answer_is_lost_is_not_doubled(
    said_once: Author, kind: str, before: Callable[[list[Comment]], None]
) -> None:
    ada = said_once
    there = [ada.hub.pulls[44].comments, ada.hub.discussions[45].comments]
    wanted = [[comment.body for comment in each] for each in there]
    for each in there:
        before(each)
    seen = len(ada.github.requests)
    ada.publish("--comment")
    asked = [request.what for request in ada.github.requests[seen:]]
    writes = ada.written(seen)
    assert writes == (["addComment", "addDiscussionComment"] if before is forget else
                      ["updateIssueComment", "updateDiscussionComment"])  # fmt: skip
    for what in writes:
        for each in there:
            before(each)
        seen = len(ada.github.requests)
        code = spoil(ada, kind, asked.index(what))
        assert code == (-signal.SIGKILL if KINDS[kind][1] else 0), "what was lost is there, and is found"
        ada.publish("--comment")
        assert [[comment.body for comment in each] for each in there] == wanted
        assert ada.written(seen) == writes, "each was sent once"


def test_what_goes_wrong_at_a_comment_is_told_and_mended_by_the_next_run(said_once: Author) -> None:
    """The answer of a server that has done nothing; then somebody who locks the conversation at that moment."""
    ada, thread = said_once, said_once.hub.pulls[44]
    thread.comments.clear()
    seen = len(ada.github.requests)
    ada.publish("--comment")
    place = [request.what for request in ada.github.requests[seen:]].index("addComment")
    thread.comments.clear()
    ada.github.fail_at(place, "502")
    message, hint = ada.refused("--comment")
    assert message.startswith(f"{HUB}: commenting on {ada.url}/pull/44 may have worked or not")
    assert hint == "run the same command again: it looks first"
    ada.github.on_request(place, lambda: setattr(thread, "locked", True))
    ran = ada.publish("--comment")
    assert (
        f"note: {PULL} is not commented on: {HUB}: commenting on {ada.url}/pull/44 was refused: Unable to create comment" in ran.err
    )
    assert thread.comments == []
    thread.locked = False
    ada.publish("--comment")
    assert len(thread.comments) == 1


# -- who reads it -------------------------------------------------------------------------------------------------------


@pytest.fixture
def grace(ada: Author, tmp_path: Path) -> World:
    """Whose pull request it is: a clone of her own, with a token."""
    ada.github.user("grace", token="t-grace")
    root = tmp_path / "grace"
    root.mkdir()
    world = World(root, ada.world.zygote)
    world.git("clone", "-q", f"{ada.url}.git", ".")
    world.configure(metric="score", direction="max", run="{python} bench.py", editable="solver.py", api_url=ada.github.api_url)
    return world


def evidence(world: World) -> str:
    environment = {"GH_ENTERPRISE_TOKEN": "t-grace"}
    world.ok("findings", "--sync", env=environment)
    found = json.loads(world.ok("findings", "--all", "--json", env=environment))
    return next(str(finding["evidence"]) for finding in found if finding["finding"] == PULL)


def test_the_author_reads_what_became_of_the_claim_in_the_comment_alone(ada: Author, grace: World) -> None:
    ada.github.repository("ada/autoresearch", parent=ada.hub)
    assert evidence(grace) == "self-reported"
    ada.publish("--to", "ada/autoresearch", "--comment")
    assert list(ada.hub.pulls) == [44], "nothing else of hers stands there"
    assert evidence(grace) == "reproduced ×1"
    (comment,) = ada.hub.pulls[44].comments
    body = comment.body

    def say(author: str, text: str) -> None:
        ada.hub.add_comment(ada.hub.pulls[44], ada.github.person(author), text)

    say("ada", body)  # from another session of hers
    say("grace", body)  # her own praise
    say("eve", body.replace(PULL, f"{HUB}#4"))
    assert evidence(grace) == "reproduced ×1"
    say("bob", body)
    assert evidence(grace) == "reproduced ×2"
    say("lin", body.replace('"confirmed"', '"contradicted"'))
    say("eve", body.replace('"confirmed"', '"contradicted"'))
    assert evidence(grace) == "contradicted"
