"""`git autoresearch plot`: a session as a picture."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import click

from autoresearch_git.commands import console
from autoresearch_git.errors import AutoresearchError
from autoresearch_git.ledger.history import read_history
from autoresearch_git.noise import measured_noise
from autoresearch_git.publishing.charts.progress import Chart
from autoresearch_git.publishing.charts.terminal import terminal
from autoresearch_git.repository import open_repository

_PIPE_WIDTH = 80
_KINDS = (".png", ".svg")
_HINT = "git autoresearch plot --output progress.png"


@click.command("plot", epilog="Example:  git autoresearch plot exp/H100/mar8 --output progress.png")
@click.argument("session", required=False)
@click.option("--output", metavar="FILE", type=click.Path(path_type=Path), help="Write the picture to FILE.png or FILE.svg.")
@click.option("--open", "show", is_flag=True, help="Show the picture in a window; without --output it is a temporary file.")
def command(session: str | None, output: Path | None, show: bool) -> None:
    """Draw every experiment of a session, and the best so far.

    In letters, or with --output and --open as a picture. SESSION is a session, a tag, a branch or a remote branch that carries
    a results.tsv; the latest session if not given.
    """
    if output and output.suffix.lower() not in _KINDS:
        raise AutoresearchError(f"a picture is a .png or an .svg, not {output.name!r}", _HINT)
    history = read_history(open_repository(Path.cwd()), session)
    if not history.experiments:
        raise AutoresearchError(f"{history.name} has no experiment yet", "git autoresearch status")
    chart = Chart(history.name, history.metric, history.experiments, measured_noise(history.experiments).floor)
    if not output and not show:
        watched = sys.stdout.isatty()
        width = shutil.get_terminal_size().columns if watched else _PIPE_WIDTH
        click.echo(terminal(chart, width, colour=watched and "NO_COLOR" not in os.environ), nl=False)
        return
    path = _write(chart, output or _temporary(history.name))
    click.echo(path)
    if show:
        _show(path)


def _temporary(name: str) -> Path:
    return Path(tempfile.mkdtemp(prefix="git-autoresearch-")) / f"{name.replace('/', '-')}.png"


def _write(chart: Chart, path: Path) -> Path:
    from autoresearch_git.publishing.charts.picture import picture  # matplotlib takes half a second

    console.write_file(path, picture(chart, path.suffix.lower().removeprefix(".")), _HINT)
    return path


def _show(path: Path) -> None:
    """With what the desktop opens files with; nothing is waited for."""
    opener = shutil.which("open" if sys.platform == "darwin" else "xdg-open")
    has_screen = sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if not opener or not has_screen:
        click.echo("nothing here shows pictures; the file is written", err=True)
        return
    subprocess.Popen([opener, str(path.resolve())], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                     stderr=subprocess.DEVNULL, start_new_session=True)  # fmt: skip
