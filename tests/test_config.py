"""Settings: who wins, where each came from, and mistakes that are named."""

from __future__ import annotations

import json

import pytest
from conftest import World

pytestmark = pytest.mark.usefixtures("warm")


def _one(world: World, name: str, env: dict[str, str] | None = None) -> tuple[str, str]:
    fields = json.loads(world.ok("config", "--json", env=env))[name]
    return fields["value"], fields["source"]


def test_each_layer_wins_over_the_one_below(empty: World) -> None:
    assert _one(empty, "budget") == ("300", "default")
    empty.write({"pyproject.toml": "[tool.autoresearch]\nbudget = 10\n"})
    assert _one(empty, "budget") == ("10", "pyproject.toml [tool.autoresearch]")
    empty.write({".autoresearch.toml": "budget = 20\n"})
    assert _one(empty, "budget") == ("20", ".autoresearch.toml")
    empty.git("config", "--global", "autoresearch.budget", "30")
    assert _one(empty, "budget")[0] == "30"
    assert _one(empty, "budget")[1].startswith("git config --global (")
    empty.configure(budget="40")
    assert _one(empty, "budget") == ("40", "git config --local (.git/config)")
    assert _one(empty, "budget", {"AUTORESEARCH_BUDGET": "50"}) == ("50", "AUTORESEARCH_BUDGET")
    empty.commit({"train.py": "X = 1\n"})
    out = empty.run("start", "--dry-run", "--budget", "60", env={"AUTORESEARCH_BUDGET": "50"}).out
    assert "budget     60 s a run" in out


def test_git_dash_c_reaches_us(toy: World) -> None:
    assert "score" in toy.ok("config")
    assert toy.git("-c", "autoresearch.metric=loss", "autoresearch", "config", "metric") == "loss"


def test_every_setting_is_listed(empty: World) -> None:
    listed = [line.split()[0] for line in empty.ok("config").splitlines()]
    wanted = {
        "metric",
        "direction",
        "run",
        "budget",
        "timeout",
        "editable",
        "researcher",
        "experiments",
        "platform",
        "branch-prefix",
    }
    assert wanted <= set(listed)


@pytest.mark.parametrize("where", ["git", "environment", "file"])
def test_an_unknown_key_names_the_near_match(empty: World, where: str) -> None:
    env = {"AUTORESEARCH_BUDGTE": "1"} if where == "environment" else {}
    if where == "git":
        empty.configure(budgte="1")
    if where == "file":
        empty.write({".autoresearch.toml": "budgte = 1\n"})
    ran = empty.run("config", env=env)
    assert ran.code == 1
    assert ran.err.splitlines()[0].startswith("error: there is no setting 'budgte' (")
    assert ran.err.splitlines()[1] == "  try: did you mean budget?"


@pytest.mark.parametrize(
    ("name", "value"),
    [("direction", "down"), ("budget", "-3"), ("experiments", "many"), ("editable", "../x"), ("judge", "nice"),
     ("branch-prefix", "a b"), ("baseline-runs", "0"), ("metric", "two words")],
)  # fmt: skip
def test_a_wrong_value_is_refused_with_its_origin(empty: World, name: str, value: str) -> None:
    empty.git("config", f"autoresearch.{name}", value)
    ran = empty.run("config")
    assert ran.code == 1
    assert ran.err.startswith(f"error: {name} = {value!r} (git config --local (.git/config)) is not ")


def test_broken_toml_is_named(empty: World) -> None:
    empty.write({".autoresearch.toml": "budget = = 3\n"})
    ran = empty.run("config")
    assert ran.code == 1
    assert ran.err.startswith("error: .autoresearch.toml is not valid TOML")


def test_several_editable_files(toy: World) -> None:
    toy.git("config", "--add", "autoresearch.editable", "bench.py")
    assert _one(toy, "editable")[0] == "solver.py bench.py"


def test_a_locked_project_runs_with_uv(empty: World, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    uv = tmp_path / "bin" / "uv"
    uv.parent.mkdir()
    uv.write_text("#!/bin/sh\n")
    uv.chmod(0o755)
    monkeypatch.setenv("PATH", f"{uv.parent}{os.pathsep}{os.environ['PATH']}")
    assert _one(empty, "run") == ("{python} train.py", "default")
    empty.write({"uv.lock": ""})
    assert _one(empty, "run") == ("uv run train.py", "default, as uv.lock is here")
