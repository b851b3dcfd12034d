"""Adopting and reproducing what was published on GitHub, by the real command against the stand-in: Ada publishes, Bob takes up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from author import BRANCH, FORK, HUB, NOTEBOOK, Author
from conftest import World
from github_standin import GitHub

TOKEN = "ghp_BobsOwn0123456789abcdefghijklmnopqrstuv"
SETTINGS = {"metric": "score", "direction": "max", "run": "{python} bench.py", "editable": "solver.py", "inspiration": "no"}


@pytest.fixture
def bob(ada: Author, tmp_path: Path) -> Author:
    """Somebody else with a clone of the hub and settings of the same program; Ada has published."""
    ada.publish()
    ada.github.user("bob", token=TOKEN)
    world = World(tmp_path / "bob", ada.world.zygote)
    ada.world.git("clone", "-q", f"{ada.url}.git", str(world.root))
    world.configure(api_url=ada.github.api_url, **SETTINGS)
    return Author(ada.github, ada.hub, world, TOKEN)


def offered(author: Author, source: str) -> tuple[str, list[str]]:
    ran = author.run("adopt", source, "--dry-run", "--json")
    assert ran.code == 0, ran.err
    told = json.loads(ran.out)
    return told["source"], [step["commit"] for step in told["commits"] if step["taken"]]


def adopted(author: Author, *arguments: str) -> None:
    ran = author.run("adopt", *arguments, "--yes")
    assert ran.code == 0, f"{ran.out}\n{ran.err}"


def kept_by(author: Author, session: str = "t") -> list[str]:
    return [str(e["commit"]) for e in author.world.experiments(session) if e["status"] == "keep"]


def test_every_way_to_name_a_publication_leads_to_its_commits(ada: Author, bob: Author) -> None:
    wanted = kept_by(ada)
    number, paper = ada.pull.number, ada.discussion.number
    assert offered(bob, f"#{number}") == (f"{HUB}#{number}", wanted), "without a library"
    assert offered(bob, f"{ada.url}/pull/{number}/files") == (f"{HUB}#{number}", wanted)
    assert offered(bob, "ada:exp/cpu/t") == (f"{FORK}@exp/cpu/t", wanted)
    assert offered(bob, f"{ada.github.url}/{FORK}/tree/exp/cpu/t") == (f"{FORK}@exp/cpu/t", wanted)
    assert bob.run("findings", "--sync").code == 0
    for word in (str(number), f"{HUB}#{number}", f"#{paper}", ada.discussion_url, f"{ada.url}/pull/{number}"):
        assert offered(bob, word) == (f"{HUB}#{number}", wanted), word


def test_a_claim_of_another_budget_is_said_before_it_is_measured(ada: Author, bob: Author) -> None:
    shown = bob.run("findings", "--sync").code, bob.run("adopt", f"#{ada.pull.number}", "--dry-run", "--budget", "5").out
    assert "\nnote       its runs train 300 s, ours 5 s: what it claims is of another budget\n" in shown[1]


def test_what_is_not_there_is_said(ada: Author, bob: Author) -> None:
    ada.hub.discussion("Only words", "nothing to see", "ada")
    bob.run("findings", "--sync")
    talk = max(ada.hub.discussions)
    for word, what in (("#999", f"{HUB} has no pull/999"), ("ada:exp/cpu/none", f"{FORK} has no exp/cpu/none"),
                       (f"#{talk}", "names no commits")):  # fmt: skip
        ran = bob.run("adopt", word, "--dry-run")
        assert ran.code == 1
        assert what in ran.err
        assert "try: " in ran.err


def test_a_claim_that_holds_elsewhere_is_seen_by_its_author(ada: Author, bob: Author) -> None:
    number = ada.pull.number
    adopted(bob, f"#{number}", "--tag", "b")
    assert len(kept_by(bob, "b")) == len(kept_by(ada)) == 2
    bob.publish("cpu/b", "--to", HUB)
    body = next(pull.body for pull in ada.hub.pulls.values() if pull.number != number)
    assert f'"of":"{HUB}#{number}","outcome":"confirmed"' in body
    assert ada.run("findings", "--sync").code == 0
    shown = ada.run("findings", "show", str(number)).out
    assert "confirmed on cpu" in shown
    (finding,) = json.loads(ada.run("findings", "show", str(number), "--json").out)
    assert {r["outcome"] for r in finding["replications"]} == {"confirmed"}
    bob.run("findings", "--sync")
    (finding,) = json.loads(bob.run("findings", "show", str(number), "--json").out)
    assert finding["evidence"] == "reproduced ×1"
    lineage = ada.run("lineage", "--mermaid").out
    assert f"{HUB}#{number}".replace("#", "#35;") not in lineage, "her own session is called what it is called here"
    assert "cpu/t (here)" in lineage
    assert '|"2 of 2 commits"|' in lineage


def test_the_paper_credits_what_it_stands_on(ada: Author, bob: Author) -> None:
    number = ada.pull.number
    bob.run("findings", "--sync")
    adopted(bob, f"#{number}", "--tag", "b")
    paper = bob.run("paper", "cpu/b").out
    references = paper.partition("## References\n")[2].partition("\n## ")[0]
    assert f"]({ada.url}/pull/{number})" in references
    assert "2 commits adopted, 2 kept" in references
    assert "by ada" in references
    checked = bob.world.root / "paper.md"
    checked.write_text(paper)
    assert bob.run("paper", "cpu/b", "--check", "paper.md").out.startswith("ok")


def test_a_false_claim_ends_as_not_reproduced(ada: Author, bob: Author) -> None:
    """A commit that does nothing for the score, published as the best of all."""
    (fork,) = [ada.github.find(*FORK.split("/"))]
    world = World(bob.world.root.parent / "mallory", bob.world.zygote)
    ada.world.git("clone", "-q", f"{ada.url}.git", str(world.root))
    world.git("checkout", "-qb", "exp/cpu/lie")
    base = world.git("rev-parse", "HEAD")
    sha = world.commit({"solver.py": (world.root / "solver.py").read_text() + "\n\nMORE = 1\n"}, "far better")
    table = f"commit\tscore\tmemory_gb\tstatus\tdescription\n{base[:7]}\t0.87\t0.0\tbaseline\tb\n{sha[:7]}\t0.99\t0.0\tkeep\tfar better\n"
    world.commit({"results.tsv": table}, "results")
    ada.hub.import_from(world.root / ".git", ["+refs/heads/exp/cpu/lie:refs/heads/exp/cpu/lie"])
    assert fork
    found = bob.run("reproduce", f"{ada.github.url}/{HUB}/tree/exp/cpu/lie", "--yes", "--tag", "r", "--json",
                    env={"AUTORESEARCH_SEED": "1"})  # fmt: skip
    assert found.code == 0, found.err
    (replication,) = json.loads(found.out)
    assert replication["claimed"] == pytest.approx(0.12)
    assert replication["measured"] == 0
    assert replication["outcome"] == "not reproduced"
    paper = bob.run("paper", "cpu/r").out
    assert "| not reproduced |" in paper
    assert bob.world.git("log", "-1", "--format=%s", "refs/autoresearch/cpu/r").startswith(f"not reproduced: {HUB}@exp/cpu/lie")


def test_offline_what_was_fetched_before_is_taken_and_said(ada: Author, bob: Author) -> None:
    number = ada.pull.number
    wanted = offered(bob, f"#{number}")
    bob.github.close()
    ran = bob.run("adopt", f"#{number}", "--dry-run", "--json")
    assert ran.code == 0, ran.err
    told = json.loads(ran.out)
    assert [step["commit"] for step in told["commits"] if step["taken"]] == wanted[1]
    assert "as it was fetched before" in ran.err


def test_a_branch_that_moves_after_it_was_shown_changes_nothing(ada: Author, bob: Author, github: GitHub) -> None:
    """The commits that were shown are measured: what is pushed meanwhile is not looked at again."""
    number, wanted = ada.pull.number, len(kept_by(ada))
    ran = bob.run("adopt", f"#{number}", "--yes", "--tag", "b", env={"LC_BENCH_SLEEP": "0.05"})
    assert ran.code == 0, ran.err
    ada.world.git("push", "-q", "--force", f"{github.url.replace('http://', f'http://ada:{ada.token}@')}/{FORK}.git",
                  f"main:{BRANCH}")  # fmt: skip
    assert len(kept_by(bob, "b")) == wanted
    assert bob.world.git("for-each-ref", NOTEBOOK) == "", "nothing of theirs is a ref here"
