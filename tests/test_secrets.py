"""What looks like a token is found wherever a push would give it away, and nothing else is taken for one."""

from __future__ import annotations

import dataclasses
import time

import pytest
from conftest import SOLVER, World
from notebooks import experiment, write_session

from autoresearch_git.experiment import Status
from autoresearch_git.ledger import notebook
from autoresearch_git.publishing.secrets import MESSAGE, find_secret
from autoresearch_git.repository import open_repository

SECRET = "ghp_" + "A1b2C3d4" * 5
BOOK = "refs/autoresearch/cpu/t"


def _session(toy: World, texts: tuple[str, ...] = (SOLVER, "N = 2\n", "N = 3\n"), **changes: str) -> list[str]:
    """A session of a baseline, one that was kept and one that was not; their commits."""
    values = ((Status.BASELINE, 0.5), (Status.KEEP, 0.6), (Status.DISCARD, 0.4))
    told = [experiment(n, status, f"try {n}", value) for n, (status, value) in enumerate(values)]
    told[2] = dataclasses.replace(told[2], **changes)
    write_session(toy, "t", told, texts)
    return [e.commit for e in notebook.read(open_repository(toy.root), BOOK).experiments]


def _find(toy: World, exclude: str = "") -> tuple[str, str] | None:
    repository = open_repository(toy.root)
    return find_secret(repository, notebook.read(repository, BOOK), exclude)


def test_nothing_is_found_where_nothing_is(toy: World) -> None:
    _session(toy)
    assert _find(toy, toy.git("rev-parse", "HEAD")) is None


def test_a_token_in_what_an_experiment_adds_is_found(toy: World) -> None:
    commits = _session(toy, (SOLVER, "N = 2\n", f"N = 3\n++ KEY = '{SECRET}'\n"))
    assert _find(toy) == (commits[2], "solver.py")


@pytest.mark.parametrize("field", ["description", "reason"])
def test_a_token_in_a_message_is_found(toy: World, field: str) -> None:
    commits = _session(toy, **{field: f"log in with {SECRET}"})
    assert _find(toy) == (commits[2], MESSAGE)


def test_what_the_base_brings_along_is_looked_at_in_every_file(toy: World) -> None:
    there = toy.git("rev-parse", "HEAD")
    leak = toy.commit({"notes/log in.md": f"first\nhttps://ada:{SECRET}@example.org\n"}, "notes")
    toy.commit({"notes/log in.md": "first\n"}, "take it out again")
    _session(toy)
    assert _find(toy, there) == (leak, "notes/log in.md")
    assert _find(toy, leak) is None  # it is there already, and what is taken out is not added
    for unknown in ("", "0" * 40):
        assert _find(toy, unknown) is None


def test_the_message_of_what_the_base_brings_along_is_looked_at(toy: World) -> None:
    there = toy.git("rev-parse", "HEAD")
    leak = toy.commit({"README.md": "more\n"}, f"log in with {SECRET}")
    _session(toy)
    assert _find(toy, there) == (leak, MESSAGE)


def test_a_long_line_is_looked_at_to_its_end_and_costs_no_more_for_that(toy: World) -> None:
    there = toy.git("rev-parse", "HEAD")
    costly = toy.commit({"vocabulary.txt": "-eyJ" * 8_000 + "\n://" + "a:" * 14_000 + "\n", "picture.png": "\0" + SECRET}, "data")
    leak = toy.commit({"run.ipynb": "x" * 30_000 + f" {SECRET} " + "y" * 1000 + "\n"}, "a notebook on one line")
    _session(toy)
    began = time.monotonic()
    assert _find(toy, costly) == (leak, "run.ipynb")
    assert _find(toy, leak) is None
    assert _find(toy, there) == (leak, "run.ipynb")
    assert time.monotonic() - began < 5


def test_what_only_resembles_a_token_keeps_nobody_from_publishing(toy: World) -> None:
    lines = (
        "task-specific-learning-rate-schedule", "self.hf_tokenizer_from_pretrained = None", "layer8_is_a_name_of_many_words_here",
        'url = f"https://{user}:{password}@{host}/x"', "https://<user>:<password>@example.org", "http://%s:%s@%s",
        "git clone https://x-access-token:$TOKEN@github.com/a/b", "github_pat_prefix_is_fine_grained",
        "uses: pypi-publish-with-attestations", "npm_config_cache_directory_of_ours",
    )  # fmt: skip
    _session(toy, (SOLVER, "N = 2\n", "".join(f"# {line}\n" for line in lines)), reason=" ".join(lines))
    assert _find(toy) is None


def test_every_kind_of_token_is_found(toy: World) -> None:
    tokens = (
        SECRET, "github_pat_" + "11ABCDEFG0" * 2 + "ab_" + "x1Y2" * 14, "ghu_" + "a1" * 18, "sk-" + "a1B2" * 12,
        "sk-ant-api03-" + "aB3_dE6-gH9kLmNoPqRsTuVw" * 4, "sk-proj-" + "aB3-" * 3 + "a1B2c3D4e5F6g7H8i9", "npm_" + "a1" * 18,
        "hf_" + "aBcDeFgHiJ" * 3 + "kLmN", "pypi-AgEIcHlwaS5vcmcCJ" + "a1" * 30, "AKIA" + "ABCD1234" * 2,
        "eyJ" + "hbGciOiJI" * 3 + "." + "eyJzdWIi" * 3 + ".sig", "postgres://ada:pa55@db.example.org", "http://me:pw@proxy:3128",
    )  # fmt: skip
    there = toy.git("rev-parse", "HEAD")
    leaks = [toy.commit({f"{n}.txt": f"KEY='{token}'\n"}, f"add {n}") for n, token in enumerate(tokens)]
    _session(toy)
    for n, leak in enumerate(leaks):
        assert _find(toy, there) == (leak, f"{n}.txt")
        there = leak
