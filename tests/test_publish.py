"""Publishing as a user drives it: the real command and real git against the stand-in for GitHub.

What GitHub itself would do is not proved here; see the stand-in's own words on that.
"""

from __future__ import annotations

import io
import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from author import BRANCH, FORK, HUB, NOTEBOOK, Author, author
from conftest import World, seal
from github_standin import GitHub, git
from github_standin.repository import Repository
from PIL import Image
from zygote import Zygote

from autoresearch_git.community import record

MARK = r"<!-- git-autoresearch session ([0-9a-f]{40}) -->"


@pytest.fixture(scope="module", params=["fork", "own"])
def published(
    request: pytest.FixtureRequest, researched: Path, zygote: Zygote, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Author, Repository]]:
    """A session that was published once: (its author, the repository that holds the branch). It is only looked at."""
    folder = tmp_path_factory.mktemp("published")
    with pytest.MonkeyPatch.context() as patch, GitHub(folder / "github") as github:
        seal(patch, folder)
        ada = author(folder, researched, github)
        ada.world.zygote = zygote
        if request.param == "own":
            ada.hub.allow("ada", "write")
        ran = ada.publish()
        assert ran.out.splitlines() == [f"{ada.url}/pull/1", f"{ada.url}/discussions/2"]
        yield ada, ada.fork if request.param == "fork" else ada.hub


def links(body: str) -> list[str]:
    return re.findall(r"!\[[^\]]*\]\(([^)]+)\)", body)


# -- what is there afterwards -----------------------------------------------------------------------------------


def test_the_pull_request_is_the_branch_commit_for_commit(published: tuple[Author, Repository]) -> None:
    ada, home = published
    local = ada.world.git("rev-list", "--reverse", "main..exp/cpu/t").split()
    there = git.run(ada.hub.git_dir, "rev-list", "--reverse", f"{ada.pull.base_ref_oid}..refs/pull/1/head").split()
    assert there == local
    assert len(local) == 4  # the baseline, two that were kept, the results
    assert (ada.pull.head_ref_oid, ada.pull.head_repository, ada.pull.head_ref_name) == (ada.tip, home, "exp/cpu/t")
    assert (ada.pull.state, ada.pull.is_draft, ada.pull.base_ref_name) == ("OPEN", True, "main")
    assert home.refs("refs/autoresearch") == {NOTEBOOK: ada.world.git("rev-parse", NOTEBOOK)}
    assert [name for name in ada.hub.refs("refs/heads") if "exp/" in name] == ([BRANCH] if home is ada.hub else [])


def test_titles_labels_and_the_place_of_the_paper(published: tuple[Author, Repository]) -> None:
    ada, home = published
    assert ada.pull.title == ada.discussion.title == "exp/cpu/t: 0.8700 → 0.9900 in 6 experiments"
    assert ada.discussion.category.slug == "show-and-tell"
    allowed = ["autoresearch"] if home is ada.hub else []  # who may only read cannot label
    assert [label.name for label in ada.pull.labels] == [label.name for label in ada.discussion.labels] == allowed
    assert "not meant to be merged" in ada.pull.body.lower()
    assert "automated report" in ada.pull.body
    assert "automated report" in ada.discussion.body


def test_both_bodies_begin_with_a_record_that_says_what_the_notebook_says(published: tuple[Author, Repository]) -> None:
    ada, home = published
    experiments = ada.world.experiments()
    by_commit = {str(e["commit"]): e for e in experiments}
    values = {str(e["commit"]): float(str(e["score"])) for e in experiments}
    for body in (ada.pull.body, ada.discussion.body):
        told = record.read(body)
        assert told
        assert told.metric
        assert (told.session, told.repository, told.branch) == ("cpu/t", home.name_with_owner, "exp/cpu/t")
        assert (told.base, told.head) == (ada.world.git("rev-parse", "main"), ada.tip)
        assert (told.metric.name, told.metric.direction, told.researcher) == ("score", "max", "sweep")
        assert told.baseline == record.Estimate(0.87, 0.0, 2)
        assert told.best == record.Estimate(0.99, 0.0, 1)
        assert told.experiments == {"keep": 2, "discard": 4, "crash": 0}
        assert told.harness == experiments[-1]["harness"]
        assert {claim.commit for claim in told.findings} == set(by_commit) - {str(experiments[0]["commit"])}
        for claim in told.findings:
            tried = by_commit[claim.commit]
            assert (claim.description, claim.status) == (tried["description"], tried["status"])
            assert claim.delta == pytest.approx(values[claim.commit] - values.get(str(tried["parent"]), 0))


def test_both_bodies_carry_the_mark_and_link_to_each_other(published: tuple[Author, Repository]) -> None:
    ada, _ = published
    opening = ada.world.git("rev-list", "--first-parent", NOTEBOOK).split()[-1]
    assert re.findall(MARK, ada.pull.body) == re.findall(MARK, ada.discussion.body) == [opening]
    assert f"{ada.url}/discussions/2" in ada.pull.body
    assert f"{ada.url}/pull/1" in ada.discussion.body
    assert "link follows" not in ada.pull.body


def test_the_picture_and_the_table_lie_where_the_bodies_link_to(published: tuple[Author, Repository]) -> None:
    ada, home = published
    picture = f"{ada.github.url}/{home.name_with_owner}/raw/{ada.tip}/progress.png"
    assert links(ada.pull.body) == links(ada.discussion.body) == [picture]
    raw = subprocess.run(["git", f"--git-dir={home.git_dir}", "cat-file", "blob", f"{ada.tip}:progress.png"], capture_output=True)
    with Image.open(io.BytesIO(raw.stdout)) as image:
        assert image.format == "PNG"
        assert image.width > 500
    assert git.run(home.git_dir, "show", f"{ada.tip}:results.tsv") + "\n" == ada.world.ok("log", "--tsv")


def test_every_commit_of_the_tables_is_one_that_was_published(published: tuple[Author, Repository]) -> None:
    ada, home = published
    everything = git.run(home.git_dir, "rev-list", NOTEBOOK, BRANCH).split()
    named = set(re.findall(r"\| `([0-9a-f]{7})` \|", ada.discussion.body + ada.pull.body))
    assert len(named) == 7
    assert all(any(sha.startswith(short) for sha in everything) for short in named)


def test_a_stranger_gets_every_discarded_experiment_by_the_commands_of_the_bodies(
    published: tuple[Author, Repository], tmp_path: Path
) -> None:
    ada, _ = published
    for n, body in enumerate((ada.pull.body, ada.discussion.body)):
        stranger = World(tmp_path / f"stranger{n}", ada.world.zygote)
        subprocess.run(["git", "clone", "-q", f"{ada.url}.git", str(stranger.root)], check=True)
        (fetch,) = re.findall(r"^ +(git fetch .+refs/autoresearch/[^&\n]+)", body, re.MULTILINE)
        stranger.git(*shlex.split(fetch)[1:])
        (log,) = re.findall(r"git autoresearch (log .+)$", body, re.MULTILINE)
        assert stranger.ok(*log.split(), "--json") == ada.world.ok("log", "cpu/t", "--json")
        assert stranger.ok(*log.split(), "--verify").startswith("ok: 7 experiments")
        discarded = [str(e["commit"]) for e in ada.world.experiments() if e["status"] == "discard"]
        assert len(discarded) == 4
        for sha in discarded:
            stranger.git("cat-file", "-e", f"{sha}^{{tree}}")
        assert str(ada.world.experiments()[-1]["commit"])[:7] in stranger.ok(*log.split(), "--tsv")


def test_the_line_of_either_body_runs_the_same_experiment_where_nothing_is_set(
    published: tuple[Author, Repository], tmp_path: Path
) -> None:
    """What the session was run with stands in its author's git configuration alone, which no clone brings along."""
    ada, _ = published
    best = [e for e in ada.world.experiments() if e["status"] == "keep"][-1]
    for n, body in enumerate((ada.pull.body, ada.discussion.body)):
        stranger = World(tmp_path / f"stranger{n}", ada.world.zygote)
        subprocess.run(["git", "clone", "-q", f"{ada.url}.git", str(stranger.root)], check=True)
        (line,) = re.findall(r"^ +(git fetch .+ && git autoresearch start .+)$", body, re.MULTILINE)
        assert "--budget" not in line  # nor anything else that is as it is anyway
        ran = subprocess.run(["bash", "-c", f"{line} --dry-run"], cwd=stranger.root, check=True, capture_output=True, text=True)
        told = dict(row.split(None, 1) for row in ran.stdout.splitlines())
        assert (told["metric"], told["editable"]) == ("score (max)", "solver.py")
        assert told["run"].endswith(" bench.py")
        assert told["budget"].startswith("300 s a run, killed after 600 s")
        go = f"{line} --no-inspiration --tag mine --experiments 1"
        subprocess.run(["bash", "-c", go], cwd=stranger.root, check=True, capture_output=True)
        assert stranger.experiments("mine")[0]["parent"] == best["commit"]
        assert stranger.experiments("mine")[0]["score"] == best["score"]


def test_the_line_of_either_body_adopts_the_commits_where_nothing_is_set(
    published: tuple[Author, Repository], tmp_path: Path
) -> None:
    ada, _ = published
    kept = [str(e["commit"]) for e in ada.world.experiments() if e["status"] == "keep"]
    for n, body in enumerate((ada.pull.body, ada.discussion.body)):
        stranger = World(tmp_path / f"stranger{n}", ada.world.zygote)
        subprocess.run(["git", "clone", "-q", f"{ada.url}.git", str(stranger.root)], check=True)
        stranger.configure(api_url=ada.github.api_url)  # GitHub's own is known
        (line,) = re.findall(r"^ +(git autoresearch adopt .+)$", body, re.MULTILINE)
        ran = subprocess.run(
            ["bash", "-c", f"{line} --dry-run --json"], cwd=stranger.root, check=True, capture_output=True, text=True
        )
        assert [step["commit"] for step in json.loads(ran.stdout)["commits"] if step["taken"]] == kept


def test_the_community_reads_what_was_published(published: tuple[Author, Repository], tmp_path: Path) -> None:
    """What one session publishes is what the next researcher, elsewhere, finds and may compare."""
    ada, home = published
    ada.github.user("eve", token="t-eve")
    eve = World(tmp_path / "eve", ada.world.zygote)
    subprocess.run(["git", "clone", "-q", f"{ada.url}.git", str(eve.root)], check=True)
    eve.configure(api_url=ada.github.api_url, metric="score", direction="max", run="{python} bench.py", editable="solver.py")
    ran = eve.run("findings", "--sync", "--platform", "cpu", "--all", "--json", env={"GH_ENTERPRISE_TOKEN": "t-eve"})
    assert ran.code == 0, ran.err
    (pull,) = json.loads(ran.out)  # the Discussion tells the same
    assert (pull["baseline"], pull["best"], pull["metric"]) == (0.87, 0.99, {"name": "score", "direction": "max"})
    assert pull["experiments"] == {"keep": 2, "discard": 4, "crash": 0, "other": 0}
    assert pull["problems"] == []
    assert pull["source"] == ("notebook" if home is ada.hub else "record")  # a fork's notebook is not asked for
    assert (pull["finding"], pull["head"], pull["comparable"]) == (f"{HUB}#1", ada.tip, True)


# -- again ------------------------------------------------------------------------------------------------------


def test_a_second_run_changes_nothing(published: tuple[Author, Repository]) -> None:
    ada, home = published
    world, refs, seen = ada.github.dump(), ada.world.git("for-each-ref"), len(ada.github.requests)
    ran = ada.publish("--json")
    assert ran.err == ""
    assert json.loads(ran.out) == {
        "pull_request": f"{ada.url}/pull/1", "discussion": f"{ada.url}/discussions/2", "repository": home.name_with_owner,
        "branch": "exp/cpu/t", "notebook": NOTEBOOK, "commit": ada.tip, "comments": [], "done": [], "notes": [],
    }  # fmt: skip
    assert ada.written(seen) == []
    assert (ada.github.dump(), ada.world.git("for-each-ref")) == (world, refs)


def test_a_lost_memory_changes_nothing_either(published: tuple[Author, Repository]) -> None:
    """What was published is found by the mark: another machine, or a deleted folder, opens nothing twice."""
    ada, _ = published
    world, seen = ada.github.dump(), len(ada.github.requests)
    (ada.world.folder() / "published.json").unlink()
    ran = ada.publish()
    assert ran.out.splitlines() == [f"{ada.url}/pull/1", f"{ada.url}/discussions/2"]
    assert ran.err.splitlines()[-1] == "nothing to do: everything is in place"
    assert (ada.github.dump(), ada.written(seen)) == (world, [])


def test_after_more_experiments_both_are_brought_up_to_date(ada: Author) -> None:
    """First with a discard, which replaces the results; then with a keep, which drops them from the branch."""
    ada.publish()
    for experiments, counts in ((1, {"keep": 2, "discard": 5, "crash": 0}), (4, {"keep": 3, "discard": 8, "crash": 0})):
        before = ada.tip
        ada.go_on(experiments)
        ran = ada.publish()
        assert ran.err.count("updated ") == 2
        assert ada.tip != before
        assert ada.pull.head_ref_oid == ada.tip
        local = ada.world.git("rev-list", "--reverse", "main..exp/cpu/t").split()
        assert git.run(ada.hub.git_dir, "rev-list", "--reverse", "refs/heads/main..refs/pull/1/head").split() == local
        assert ada.fork.refs("refs/autoresearch") == {NOTEBOOK: ada.world.git("rev-parse", NOTEBOOK)}
        for body in (ada.pull.body, ada.discussion.body):
            told = record.read(body)
            assert told
            assert (told.head, told.experiments) == (ada.tip, counts)
            assert before not in body
            assert links(body) == [f"{ada.github.url}/{FORK}/raw/{ada.tip}/progress.png"]
        assert ada.pull.title == ada.discussion.title
        assert ada.pull.title.endswith(f"in {sum(counts.values())} experiments")
    assert "0.8700 → 1.0000" in ada.pull.title
    assert git.run(ada.fork.git_dir, "show", f"{BRANCH}:results.tsv") + "\n" == ada.world.ok("log", "--tsv")
    assert ada.world.ok("log", "--verify").startswith("ok: 12 experiments")
    assert [what for what in ada.written() if "create" in what or what.endswith(("/pulls", "/forks"))] == [
        f"POST /repos/{HUB}/forks", f"POST /repos/{HUB}/pulls", "createDiscussion",
    ]  # fmt: skip


def test_a_session_is_not_inspired_by_its_own_publication(ada: Author) -> None:
    """Else it would say in public that it had read others."""
    ada.publish()
    ada.world.configure(inspiration="yes")
    ran = ada.run("start", "--resume", "--tag", "t", "--experiments", "1")
    assert ran.code == 0, ran.err
    assert [f["evidence"] for f in json.loads(ada.run("findings", "--json").out)] == ["yours"]  # it was read
    assert "of others" not in ran.err
    assert "findings of score" not in ran.err
    assert "inspiration: " not in ada.world.git("log", "--first-parent", "--format=%s", NOTEBOOK)
    ada.publish()
    assert "read first" not in ada.discussion.body


def test_withdrawn_and_published_again_it_is_the_same_two(ada: Author) -> None:
    ada.publish()
    ran = ada.publish("--unpublish")
    assert ran.out.splitlines() == [f"{ada.url}/pull/1", f"{ada.url}/discussions/2"]
    assert (ada.pull.state, ada.discussion.closed) == ("CLOSED", True)
    for body in (ada.pull.body, ada.discussion.body):
        assert "**Withdrawn** by whoever posted it" in body
        assert record.read(body) is not None
    assert set(ada.fork.refs()) >= {BRANCH, NOTEBOOK}  # they may be somebody's base by now
    seen = len(ada.github.requests)
    assert "nothing to do: what was published is closed" in ada.publish("--unpublish").err
    assert ada.written(seen) == []
    ada.go_on(2)
    ran = ada.publish()
    assert (ada.pull.state, ada.discussion.closed) == ("OPEN", False)
    assert ada.pull.head_ref_oid == ada.tip
    assert ran.err.count("\nreopened ") == 2
    for body in (ada.pull.body, ada.discussion.body):
        assert "Withdrawn" not in body
        assert ada.tip in body


def test_what_was_never_published_cannot_be_withdrawn(ada: Author) -> None:
    message, hint = ada.refused("--unpublish")
    assert message == "nothing of session cpu/t is published at karpathy/autoresearch"
    assert hint == "git autoresearch publish"
    assert ada.written() == []
