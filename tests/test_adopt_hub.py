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


def test_a_published_session_is_named_as_its_author_names_it(ada: Author, bob: Author) -> None:
    wanted, number = kept_by(ada), ada.pull.number
    assert bob.run("findings", "--sync").code == 0
    for word in ("cpu/t", "exp/cpu/t", "ada:exp/cpu/t"):
        assert offered(bob, word) == (f"{HUB}#{number}", wanted), word
    bob.world.ok("start", "--tag", "t", "--experiments", "1")
    ran = bob.run("adopt", "cpu/t", "--dry-run")
    assert ran.code == 1
    assert f"cpu/t names your own session (name it exp/cpu/t), {HUB}#{number} by ada\n" in ran.err
    assert "try: say which: git autoresearch adopt exp/cpu/t\n" in ran.err
    shown = bob.run("adopt", "exp/cpu/t", "--dry-run", "--from", "main").out.splitlines()[0]
    assert shown.startswith(f"source     exp/cpu/t (your own branch here; not {HUB}#{number} by ada), at ")
    assert ada.run("adopt", "cpu/t", "--tag", "u", "--dry-run", "--json").code == 0, "what she published is what she has"


def test_sessions_of_the_same_date_are_not_taken_for_each_other(ada: Author, bob: Author) -> None:
    """Bob measures a session of his own again, which is called like Ada's: that says nothing of hers."""
    bob.world.ok("start", "--tag", "t", "--experiments", "4")
    ran = bob.run("reproduce", "cpu/t", "--yes", "--runs", "1", "--tag", "r")
    assert ran.code == 0, ran.err
    (published,) = ada.hub.pulls
    bob.publish("cpu/r", "--to", HUB)
    (number,) = set(ada.hub.pulls) - {published}
    body = ada.hub.pulls[number].body
    opening = bob.world.git("rev-list", "--max-parents=0", "--first-parent", "refs/autoresearch/cpu/t")
    assert f'"of":"cpu/t@{opening}"' in body
    assert ada.run("findings", "--sync").code == 0
    edges = json.loads(ada.run("lineage", "--json").out)["edges"]
    assert [edge["source"] for edge in edges] == [f"cpu/t of {HUB}#{number}"]


def test_the_author_reads_in_findings_what_became_of_the_claim(ada: Author, bob: Author) -> None:
    number = ada.pull.number
    ran = bob.run("reproduce", f"#{number}", "--yes", "--tag", "b", "--runs", "2")
    assert ran.code == 0, ran.err
    bob.publish("cpu/b", "--to", HUB, "--comment")
    ada.run("findings", "--sync")
    (finding,) = [f for f in json.loads(ada.run("findings", "--all", "--json").out) if f["finding"] == f"{HUB}#{number}"]
    assert finding["evidence"] == "yours, reproduced ×1"
    shown = ada.run("findings", "show", str(number)).out
    (again,) = [line for line in shown.splitlines() if line.startswith("again")]
    assert "confirmed on cpu by bob: +0." in again
    assert f"; {ada.github.url}/{HUB}/" in again
    total = next(line for line in shown.splitlines() if line.startswith("score")).partition("(")[2].partition(")")[0]
    assert f"{total} claimed" in again
    assert f"claimed {total}" in ran.out
    (comment,) = ada.hub.pulls[number].comments
    ada.hub.add_comment(ada.hub.pulls[number], ada.github.person("eve"), comment.body.replace('"confirmed"', '"contradicted"'))
    ada.run("findings", "--sync")
    shown = ada.run("findings", "show", str(number)).out
    assert "yours, contradicted ×1" in shown
    assert "nobody contradicts it" not in shown
    ada.go_on(8)
    ada.publish()
    ada.run("findings", "--sync")
    assert "yours, contradicted ×1 at an earlier state" in ada.run("findings", "show", str(number)).out


def test_an_api_of_another_host_is_said(bob: Author) -> None:
    bob.world.configure(api_url="http://localhost:1/api/v3")
    ran = bob.world.run("findings", "--sync")
    assert "its API was not asked, so Discussions and descriptions are missing" in ran.err
    assert f"git config autoresearch.api-url {bob.github.api_url}\n" in ran.err


def test_where_the_base_is_not_in_the_hub_the_line_that_adopts_fetches_it(ada: Author, bob: Author, tmp_path: Path) -> None:
    """The evaluator lies in a commit that only the author has: a clone of the hub alone has nothing to begin from."""
    world = World(tmp_path / "eve", ada.world.zygote)
    ada.world.git("init", "-q", "-b", "main", str(world.root))
    world.commit({"README": "x\n"}, "nothing yet")
    hub = ada.github.repository("eve/empty", discussions=True)
    hub.import_from(world.root / ".git", ["+refs/heads/main:refs/heads/main"])
    world.git("remote", "add", "origin", f"{ada.github.url}/eve/empty.git")
    world.git("fetch", "-q", "origin")
    files = {path: (ada.world.root / path).read_text() for path in ("solver.py", "bench.py")}
    world.commit(files, "the subject")
    world.configure(api_url=ada.github.api_url, **SETTINGS)
    world.ok("start", "--tag", "t", "--experiments", "4")
    eve = Author(ada.github, hub, world, ada.token)
    eve.publish()
    (line,) = [text.strip() for text in eve.pull.body.splitlines() if "git autoresearch adopt " in text]
    base = world.git("rev-parse", "main")
    assert line.startswith(
        f"git fetch {ada.github.url}/ada/empty.git exp/cpu/t && git autoresearch adopt {ada.github.url}/eve/empty/pull/"
    )
    assert f" --from {base[:10]}" in line
    clone = World(tmp_path / "clone", ada.world.zygote)
    ada.world.git("clone", "-q", f"{ada.github.url}/eve/empty.git", str(clone.root))
    clone.configure(api_url=ada.github.api_url, **SETTINGS)
    reader = Author(ada.github, hub, clone, TOKEN)
    ran = reader.run("adopt", f"#{eve.pull.number}", "--yes")
    assert ran.code == 1
    assert "solver.py, which experiments would change, is not in commit" in ran.err
    assert ran.err.rpartition("try: ")[2].startswith("git autoresearch findings --sync, then the same again")
    assert reader.run("findings", "--sync").code == 0
    hint = reader.run("adopt", f"#{eve.pull.number}", "--yes").err.rpartition("try: ")[2]
    assert hint.startswith("begin where it began: git fetch ")
    assert hint.rstrip().endswith(f"git autoresearch adopt '#{eve.pull.number}' --from {base[:10]}")
    fetch = line.partition(" && ")[0].split()[1:]
    clone.git(*fetch)
    ran = reader.run("adopt", f"#{eve.pull.number}", "--from", base[:10], "--yes", "--tag", "c")
    assert ran.code == 0, ran.err
    assert len(kept_by(reader, "c")) == len(kept_by(eve))
