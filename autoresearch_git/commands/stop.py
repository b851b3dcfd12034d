"""`git autoresearch stop`: end a running session in good order."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path

import click

from autoresearch_git.errors import AutoresearchError
from autoresearch_git.ledger.lock import holder
from autoresearch_git.ledger.session import choose_session, folder_of
from autoresearch_git.repository import open_repository

PATIENCE = 30.0  # seconds to wait for the session to let go


@click.command("stop", epilog="Example:  git autoresearch stop --after-experiment")
@click.argument("session", required=False)
@click.option("--after-experiment", is_flag=True, help="Let the experiment under way finish first, and do not wait for it.")
def command(session: str | None, after_experiment: bool) -> None:
    """Stop a running session, as ^C in its terminal would. What is under way is taken up again by a resume."""
    repository = open_repository(Path.cwd())
    name = choose_session(repository, session)
    folder = folder_of(repository, name)
    owner = holder(folder)
    if owner is None:
        raise AutoresearchError(
            f"session {name} is not running", f"git autoresearch start --resume --tag {name.rpartition('/')[2]}"
        )
    if owner.host != socket.gethostname():
        raise AutoresearchError(f"session {name} runs as {owner}", f"run this on {owner.host}")
    os.kill(owner.pid, signal.SIGUSR1 if after_experiment else signal.SIGTERM)
    if after_experiment:
        click.echo(f"session {name} will stop after the experiment under way")
        return
    deadline = time.monotonic() + PATIENCE
    while holder(folder):
        if time.monotonic() > deadline:
            raise AutoresearchError(f"{owner} does not let go of {name}", f"kill -9 {owner.pid}: a resume goes on from the record")
        time.sleep(0.05)
    click.echo(f"session {name} stopped; to go on:  git autoresearch start --resume --tag {name.rpartition('/')[2]}")
