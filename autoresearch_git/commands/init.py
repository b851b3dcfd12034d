"""`git autoresearch init`: make another repository a subject of research."""

from __future__ import annotations

from pathlib import Path

import click

from autoresearch_git import rendering
from autoresearch_git.errors import AutoresearchError
from autoresearch_git.repository import open_repository

SUBJECT = ("train.py", "prepare.py", "program.md")


@click.command(
    "init",
    epilog="Example:  git autoresearch init --run 'python bench.py' --metric score --direction max --editable solver.py",
)
@click.option("--run", "run_", metavar="COMMAND", help="Research a program of yours: only the settings are written.")
@click.option("--metric", metavar="NAME", help="Name of the number that the command prints.")
@click.option("--direction", type=click.Choice(["min", "max"]), help="Which way is better.")
@click.option("--editable", metavar="PATHS", help="The only files an experiment may change.")
def command(run_: str | None, metric: str | None, direction: str | None, editable: str | None) -> None:
    """Write train.py, prepare.py, program.md and .autoresearch.toml into this repository; nothing is overwritten.

    With --run only .autoresearch.toml is written, for a program that is there already.
    """
    repository = open_repository(Path.cwd())
    if repository.bare:
        raise AutoresearchError("a bare repository has no files to write", "run init in a clone of it, then push")
    given = {"run": run_, "metric": metric, "direction": direction, "editable": editable}
    settings = {name: value for name, value in given.items() if value} | ({} if run_ else {"prepare": "{python} prepare.py"})
    files = {".autoresearch.toml": rendering.render("settings.toml.j2", settings=settings)}
    if not run_:
        files |= {name: rendering.packaged("subject", name).read_text(encoding="utf-8") for name in SUBJECT}
    taken = [name for name in files if (repository.root / name).exists()]
    if taken:
        raise AutoresearchError(f"{', '.join(taken)} exists already; nothing was written", "move it away first, or edit it by hand")
    for name, text in files.items():
        (repository.root / name).write_text(text, encoding="utf-8")
        click.echo(f"wrote {name}")
    click.echo(f"next: git add {' '.join(files)} && git commit -m 'autoresearch' && git autoresearch start", err=True)
