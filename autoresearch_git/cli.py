"""The command table, and the one place where errors become exit codes.

A command's module is imported only when it is called, so that `git autoresearch -h` stays instant. Exit codes: 0 done,
1 the user can mend it, 2 usage, 3 a bug of ours (its log is named), 130 interrupted.
"""

from __future__ import annotations

import difflib
import errno
import importlib
import io
import keyword
import os
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import NoReturn

import click

from autoresearch_git import __version__
from autoresearch_git.errors import AutoresearchError

# section → command → one line; the module is autoresearch_git.commands.<command>, with a _ after what Python keeps for itself
COMMANDS = {
    "Research": {
        "start": "research on a fresh branch, or go on with --resume",
        "stop": "end a running session in good order",
        "try": "measure an edit of your own, keep it if it is better",
        "idea": "a hint that a session's next proposals take up",
    },
    "Community": {
        "adopt": "take others' commits, measure each here, keep what holds",
        "reproduce": "measure a claim again, before and after, on the same seeds",
        "lineage": "who was adopted from whom, as a tree or a graph",
        "findings": "what others found, ranked where it may be compared",
        "publish": "a session's commits as a pull request, its paper as a Discussion",
        "paper": "what a session found; or a paper held against the commits",
    },
    "Look": {
        "status": "sessions, and what is running now",
        "log": "every experiment of a session",
        "show": "one experiment: result, diff, end of its log",
        "plot": "the progress of a session as a picture",
    },
    "Set up": {
        "init": "write the research files into another repository",
        "config": "settings, and where each comes from",
        "doctor": "check this machine; each line is ok or says the fix",
    },
}

_EXAMPLE = """Examples:

\b
  git autoresearch start --experiments 6        six experiments on a fresh branch
  git autoresearch start --resume               go on where it stopped
  git autoresearch log                          what was tried, and what was kept
"""


class CommandTable(click.Group):
    """Commands by the story they tell, each imported when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for section in COMMANDS.values() for name in section]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        module = cmd_name + "_" * keyword.iskeyword(cmd_name)
        command: click.Command = importlib.import_module(f"autoresearch_git.commands.{module}").command
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        near = difflib.get_close_matches(args[0], self.list_commands(ctx), n=1) if args and not args[0].startswith("-") else []
        if near and near[0] != args[0]:
            raise click.UsageError(f"there is no command {args[0]!r}; did you mean {near[0]}?", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for section, commands in COMMANDS.items():
            with formatter.section(section):
                formatter.write_dl(list(commands.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[click.shell_completion.CompletionItem]:
        from click.shell_completion import CompletionItem

        rows = [(name, line) for section in COMMANDS.values() for name, line in section.items()]
        return [CompletionItem(name, help=line) for name, line in rows if name.startswith(incomplete)]


@click.group(
    cls=CommandTable, name="git autoresearch", epilog=_EXAMPLE,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)  # fmt: skip
@click.version_option(__version__, "-V", "--version", prog_name="git-autoresearch", message="%(prog)s %(version)s")
def cli() -> None:
    """Experiments as branches, findings as papers: a keep-or-discard research loop on plain git."""


def _tell(message: str, hint: str) -> None:
    click.echo(click.style("error: ", fg="red", bold=True) + message, err=True)
    if hint:
        click.echo(click.style("  try: ", bold=True) + hint, err=True)


def _write_bug_log() -> Path:
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "git-autoresearch"
    try:
        state.mkdir(parents=True, exist_ok=True)
    except OSError:
        state = Path(tempfile.mkdtemp(prefix="git-autoresearch-"))
    path = state / f"bug-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
    path.write_text(f"git-autoresearch {__version__}, Python {sys.version}\n\n{traceback.format_exc()}", encoding="utf-8")
    return path


def main() -> NoReturn:
    """Run the command line and leave with its exit code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # an arrow must not break a terminal of another encoding
    try:
        result = cli.main(arguments or ["-h"], prog_name="git autoresearch", standalone_mode=False,
                          complete_var="_GIT_AUTORESEARCH_COMPLETE")  # fmt: skip
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except AutoresearchError as error:
        _tell(error.message, error.hint)
        return 1
    except click.UsageError as error:
        # `-h`, as git turns `--help` into a man page.
        _tell(error.format_message(), f"{error.ctx.command_path if error.ctx else _named_by(arguments)} -h")
        return 2
    except (KeyboardInterrupt, click.Abort):
        return 130
    except BrokenPipeError:  # `git autoresearch log | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            _tell(f"no space left on the disk: {error.filename or ''}", "free some, then run the same command again")
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            _tell(f"not allowed to write {error.filename}", "check its owner and permissions")
        else:
            return _bug()
        return 1
    except Exception:
        return _bug()


def _named_by(arguments: list[str]) -> str:
    """The command that the arguments name, where a mistake in them does not say whose it is."""
    command: click.Command | None = cli
    path = ["git autoresearch"]
    for word in arguments:
        command = command.get_command(click.Context(command), word) if isinstance(command, click.Group) else None
        path += [word] if command else []
    return " ".join(path)


def _bug() -> int:
    kind = sys.exc_info()[0]
    _tell(f"this is a bug in git-autoresearch ({kind.__name__ if kind else '?'}): {_write_bug_log()}",
          "please report it with that log; nothing that was recorded is lost")  # fmt: skip
    return 3
