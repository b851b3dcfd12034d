"""What is shipped: a wheel that works on its own, a man page that is up to date, documents that run as written."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from zygote import Zygote

TOP = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), str(TOP)], check=True, capture_output=True
    )
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_templates_subject_and_man_page(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for name in (
        "templates/settings.toml.j2",
        "subject/train.py",
        "subject/prepare.py",
        "subject/program.md",
        "lab/supervisor.py",
        "lab/survivors.py",
    ):
        assert f"autoresearch_git/{name}" in names
    assert any(name.endswith("data/share/man/man1/git-autoresearch.1") for name in names)


def test_the_wheel_works_without_the_source_tree(wheel: Path, tmp_path: Path) -> None:
    """Templates are found in an installed package as they are in an editable one."""
    site, repo = tmp_path / "site", tmp_path / "repo"
    zipfile.ZipFile(wheel).extractall(site)
    subprocess.run(["git", "init", "-q", str(repo)], check=True)
    done = subprocess.run(
        [sys.executable, "-m", "autoresearch_git", "init"],
        cwd=repo, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(site)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (repo / "train.py").read_bytes() == (TOP / "train.py").read_bytes()


def test_core_dependencies_stay_light() -> None:
    """torch and what goes with it sit in an extra."""
    text = (TOP / "pyproject.toml").read_text()
    core = text.partition("dependencies = [")[2].partition("]")[0]
    assert not re.search(r"torch|pyarrow|numpy|rustbpe", core)
    assert '"torch==2.13.0"' in text.partition("train = [")[2].partition("]")[0]


def test_the_man_page_is_up_to_date() -> None:
    made = subprocess.run([sys.executable, str(TOP / "docs" / "man.py")], capture_output=True, text=True, check=True).stdout
    assert (TOP / "docs" / "git-autoresearch.1").read_text() == made, "run: python docs/man.py > docs/git-autoresearch.1"


def test_every_command_in_the_documents_exists(zygote: Zygote) -> None:
    from autoresearch_git.cli import COMMANDS

    names = {name for section in COMMANDS.values() for name in section}
    helps: dict[str, str] = {}
    for path in [TOP / "README.md", *TOP.glob("docs/**/*.md")]:
        for command, options in re.findall(r"git autoresearch (\w+)((?: +--?[\w-]+(?:[ =][\w./]+)?)*)", path.read_text()):
            assert command in names, f"{path.name} speaks of `git autoresearch {command}`"
            if command not in helps:
                helps[command] = zygote.call(TOP, os.environ, command, "-h").wait().out
            for option in re.findall(r"--[\w-]+", options):
                assert option in helps[command], f"{path.name}: {command} has no {option}"


def test_bash_completes_git_autoresearch_as_documented(tmp_path: Path) -> None:
    snippet = (TOP / "docs" / "completion.md").read_text().partition("of this name:\n")[2]
    script = snippet + '\nCOMP_WORDS=(git autoresearch sta); COMP_CWORD=2; _git_autoresearch; echo "${COMPREPLY[@]}"'
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
    assert done.stdout.split() == ["start", "status"]


def test_every_bench_takes_json() -> None:
    for program in (TOP / "bench").glob("*.py"):
        shown = subprocess.run([sys.executable, str(program), "-h"], capture_output=True, text=True)
        assert "--json" in shown.stdout, program.name
