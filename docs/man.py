"""Write the man page from the commands' own help: `python docs/man.py > docs/git-autoresearch.1`.

git turns `git autoresearch --help` into `man git-autoresearch`, so the page ships in the wheel. A test holds it up to date.
"""

from __future__ import annotations

import inspect

import click

from autoresearch_git import __version__
from autoresearch_git.cli import COMMANDS, cli
from autoresearch_git.config import KEYS

FILES = (
    (".git/autoresearch/<platform>/<tag>/", "A session's folder: its worktree, logs, lock and results.tsv."),
    (".autoresearch.toml", "Settings for everybody who works on the repository."),
    ("~/.cache/autoresearch/", "Data and tokenizer that prepare.py made; AUTORESEARCH_CACHE names another place."),
)
EXITS = (("0", "done"), ("1", "something the user can mend; a line says what happened, another what to type"), ("2", "usage"),
         ("3", "a bug of git-autoresearch; the line names its log"), ("130", "interrupted; nothing is lost"))  # fmt: skip


def roff(text: str) -> str:
    """Text that roff shows as it stands."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join("\\&" + line if line.startswith((".", "'")) else line for line in escaped.splitlines())


def options(command: click.Command, context: click.Context) -> list[str]:
    rows = []
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record and record[0] != "-h, --help":
            rows += [".TP", f".B {roff(record[0])}", roff(record[1])]
    return rows


def about(command: click.Command, parent: click.Context, name: str) -> list[str]:
    """A command, and the commands below it."""
    context = click.Context(command, info_name=name, parent=parent)
    usage = " ".join(command.collect_usage_pieces(context))
    out = [f'.SS "{roff(context.command_path)} {roff(usage)}"', roff(inspect.cleandoc(command.help or ""))]
    out += options(command, context)
    out += [".PP", roff((command.epilog or "").replace("\b\n", ""))]
    for below in command.list_commands(context) if isinstance(command, click.Group) else ():
        found = command.get_command(context, below)  # type: ignore[attr-defined]
        out += about(found, context, below) if found else []
    return out


def page() -> str:
    top = click.Context(cli, info_name="git autoresearch")
    out = [
        f'.TH GIT\\-AUTORESEARCH 1 "" "git-autoresearch {__version__}" "Git Manual"',
        ".SH NAME",
        "git\\-autoresearch \\- experiments as branches: a keep\\-or\\-discard research loop on plain git",
        ".SH SYNOPSIS",
        ".B git autoresearch",
        "<command> [<options>]",
        ".SH DESCRIPTION",
        roff(inspect.cleandoc(cli.help or "")),
    ]
    for section, names in COMMANDS.items():
        out.append(f'.SH "{section.upper()}"')
        for name in names:
            command = cli.get_command(top, name)
            assert command
            out += about(command, top, name)
    out.append(".SH SETTINGS")
    out.append(roff("Each by --option, AUTORESEARCH_NAME, git config autoresearch.NAME, .autoresearch.toml, in this order."))
    for key in KEYS:
        out += [".TP", f".B {roff(key.name)}", roff(key.help + (f" (default {key.default})" if key.default else ""))]
    for title, rows in (("FILES", FILES), ("EXIT STATUS", EXITS)):
        out.append(f'.SH "{title}"')
        for name, text in rows:
            out += [".TP", f".B {roff(name)}", roff(text)]
    return "\n".join(out) + "\n"


if __name__ == "__main__":
    print(page(), end="")
