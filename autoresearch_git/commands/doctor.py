"""`git autoresearch doctor`: check this machine."""

from __future__ import annotations

import dataclasses
import json
from itertools import chain
from pathlib import Path

import click

from autoresearch_git.community import checkup as community
from autoresearch_git.config import Settings, load_settings
from autoresearch_git.errors import AutoresearchError
from autoresearch_git.lab import checkup as lab
from autoresearch_git.repository import Repository, open_repository


@click.command("doctor", epilog="Example:  git autoresearch doctor")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def command(as_json: bool) -> None:
    """Check git, Python, torch, device, data, disk, sandbox, hubs and tokens: each line is ok, or says what fixes it."""
    repository: Repository | None = None
    settings: Settings | None = None
    try:
        repository = open_repository(Path.cwd())
        settings = load_settings(repository)
    except AutoresearchError as error:
        click.echo(f"note: {error.message}; what needs that is not checked", err=True)
    found = list(chain(lab.checks(repository, settings), community.checks(repository, settings)))
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(check) for check in found]))
    else:
        for check in found:
            mark = click.style("ok ", fg="green") if check.ok else click.style("fix" if check.needed else "opt", fg="yellow")
            click.echo(f"{mark}  {check.name:<9} {check.fact}" + ("" if check.ok else f"\n       {'':<6} → {check.fix}"))
    broken = [check.name for check in found if check.needed and not check.ok]
    if broken:
        raise AutoresearchError(f"not ready: {', '.join(broken)}", "do what the lines marked `fix` say")
