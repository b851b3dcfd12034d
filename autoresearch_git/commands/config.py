"""`git autoresearch config`: the settings, and where each comes from."""

from __future__ import annotations

import json
from pathlib import Path

import click

from autoresearch_git.config import KEYS, load_settings
from autoresearch_git.errors import AutoresearchError
from autoresearch_git.repository import open_repository


@click.command("config", epilog="Example:  git config autoresearch.budget 60 && git autoresearch config budget")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(name: str | None, as_json: bool) -> None:
    """List the settings with their values and where each comes from, or print the value of one.

    Change one with `git config autoresearch.NAME VALUE`, for one command with an option or AUTORESEARCH_NAME, for
    everybody in `.autoresearch.toml` or the `[tool.autoresearch]` table of pyproject.toml.
    """
    settings = load_settings(open_repository(Path.cwd()))
    if name is not None:
        if name not in settings.origin:
            raise AutoresearchError(f"there is no setting {name!r}", "git autoresearch config")
        click.echo(settings.origin[name].text.strip())
    elif as_json:
        click.echo(json.dumps({key.name: {"value": settings.origin[key.name].text, "source": settings.origin[key.name].source,
                                          "help": key.help} for key in KEYS}))  # fmt: skip
    else:
        for key in KEYS:
            setting = settings.origin[key.name]
            click.echo(
                f"{key.name:<14} {setting.text.strip().replace(chr(10), ' ') or '-':<24} {click.style(setting.source, dim=True)}"
            )
