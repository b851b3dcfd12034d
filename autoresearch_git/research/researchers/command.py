"""The researcher of any command-line agent: it is started anew for each proposal, in a folder of its own, and only its edit counts.

Agents return 0 after a failure and 1 after a good edit, hang at their end, and ask. So the exit code and the output are advice;
whether there is a proposal is read from the files, and what the agent started is gone when its turn is over.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from autoresearch_git.community import changes
from autoresearch_git.config import Settings
from autoresearch_git.errors import AutoresearchError
from autoresearch_git.experiment import Proposal
from autoresearch_git.lab import process
from autoresearch_git.plaintext import defuse, one_line
from autoresearch_git.research.digest import digest
from autoresearch_git.research.duplicates import patch_of
from autoresearch_git.research.researchers import NoProposal, View
from autoresearch_git.research.researchers.command_folder import (
    PROMPT,
    Answer,
    InvalidEditError,
    answer,
    edited,
    fill,
    scratch,
    strays,
)
from autoresearch_git.research.researchers.command_output import Output, keep
from autoresearch_git.research.researchers.prompting import prompt

FIX = "git config autoresearch.command 'claude -p …'"
GRACE = 5.0  # seconds that an agent has between TERM and KILL
LONGEST_RATIONALE = 4_000  # characters
SHORTEST_SECRET = 8  # characters; anything shorter also stands elsewhere
_PASSED_ON = re.compile(r"PATH|HOME|USER|LANG|LC_\w+|TMPDIR")
_OVER = "the time of this start is over"


@dataclass
class Command:
    """`command` is the setting, `variables` are the user's that the agent gets, `name` is what its proposals are recorded under."""

    command: str
    variables: Sequence[str]
    timeout: float  # seconds
    name: str
    templates: Path | None = None
    repairs: bool = True

    def propose(self, view: View) -> Proposal:
        try:
            with scratch() as folder:
                return self._turn(view, folder)
        except NoProposal as none:
            view.turn.say(f"      no edit   {none}")
            raise

    # -- its parts ----------------------------------------------------------------------------------------------

    def _turn(self, view: View, folder: Path) -> Proposal:
        told = prompt(view, self.templates)
        text = "\n".join((told.rules, told.state, told.folder))
        put = fill(folder, view, text, digest(view.session, view.experiments, view.noise))
        environment = self._environment(view, folder)
        hidden = _hidden(environment)
        ended, output = self._run(view, folder, environment, hidden)
        answered = answer(folder)
        cost = output.spending(ended.wall_seconds, answered.usd)
        view.turn.spend(cost)
        left = strays(folder, put, view.files)
        if left:
            _log(view, f"ignored: {', '.join(left)}")
        proposal = self._proposal(view, self._edit(view, folder, ended, output, answered), answered, output)
        if _holds(proposal, view.files, hidden):
            raise NoProposal(f"{self.name} put what looks like a token into its proposal")
        if cost.usd is None and view.turn.allowance() is not None:
            raise AutoresearchError(f"{self.name} does not say what it costs, so max-cost cannot be held",
                                    "let it print JSON with total_cost_usd, or do without: --max-cost 0")  # fmt: skip
        view.turn.say(f"      edited    {', '.join(proposal.files)} by {self.name} in {ended.wall_seconds:.0f} s")
        return proposal

    def _environment(self, view: View, folder: Path) -> dict[str, str]:
        passed = {name: os.environ[name] for name in os.environ if _PASSED_ON.fullmatch(name) or name in self.variables}
        return {
            **passed,
            "TERM": "dumb",
            "AUTORESEARCH_PROMPT": str(folder / PROMPT),
            "AUTORESEARCH_EXPERIMENT": f"{view.session.name}/{len(view.experiments):04d}",
            "AUTORESEARCH_SESSION": str(folder),  # the mark by which the supervisor finds what hides from it
        }

    def _run(self, view: View, folder: Path, environment: Mapping[str, str], hidden: Sequence[str]) -> tuple[process.Exit, Output]:
        """One run of the agent, from the prompt to the end of everything that it started."""
        log, deadline = view.turn.log, view.turn.deadline
        if time.monotonic() >= deadline:
            raise NoProposal(_OVER, exhausted=True)
        _log(view, f"{time.strftime('%Y-%m-%d %H:%M:%S')} {self.command}")
        began = log.stat().st_size
        try:
            ended = process.run(
                argv(self.command, folder), cwd=folder, environment=environment, log=log, timeout=self.timeout,
                tick=lambda elapsed: _OVER if time.monotonic() >= deadline else None, stdin=folder / PROMPT, grace=GRACE,
            )  # fmt: skip
        finally:
            output = keep(log, began, hidden)
        _log(view, f"{ended.reason or f'exit code {ended.returncode}'}, after {ended.wall_seconds:.1f} s")
        return ended, output

    def _edit(self, view: View, folder: Path, ended: process.Exit, output: Output, answered: Answer) -> dict[str, str]:
        """What it changed. An agent that had to be ended counts as one that was done where its answer is there: many hang later."""
        try:
            files = edited(folder, view.files)
        except InvalidEditError as wrong:
            raise NoProposal(f"{self.name} left an invalid edit: {wrong}") from wrong
        if files and (answered.there or not ended.reason):
            return files
        if ended.reason:
            raise NoProposal(f"{self.name}: {ended.reason}", exhausted=ended.reason == _OVER)
        if output.not_let_in:
            raise AutoresearchError(f"{self.name} has no valid key or login: {output.not_let_in}",
                                    "log it in; or its key's variable: git config --add autoresearch.command-env NAME")  # fmt: skip
        said = f": {output.last_line}" if output.last_line else ""
        if ended.returncode:
            raise NoProposal(f"{self.name} failed with exit code {ended.returncode}{said}")
        raise NoProposal(f"{self.name} changed nothing{said}")

    def _proposal(self, view: View, files: Mapping[str, str], answered: Answer, output: Output) -> Proposal:
        patch = patch_of(view.files, files)
        moved = ", ".join(str(change) for change in changes.in_patch(patch) if change.literal)
        lines = sum(line[:1] in ("+", "-") and not line.startswith(("+++", "---")) for line in patch.splitlines())
        described = one_line(answered.description) or one_line(moved) or output.last_line
        return Proposal(
            description=described or f"edit of {', '.join(files)}, {lines} line{'' if lines == 1 else 's'}",
            files=files,
            rationale=defuse(answered.rationale, LONGEST_RATIONALE).strip(),
            researcher=self.name,
            expected=one_line(answered.expected),
            idea=view.ideas[0] if view.ideas else "",
            program=view.program.fingerprint,
        )


def from_settings(settings: Settings, templates: Path | None) -> Command:
    """The agent that the settings name. Raises AutoresearchError where it could not be started."""
    if not settings.command:
        raise AutoresearchError("there is no command for the researcher command to run", FIX)
    if process.holds_secret(settings.command):
        raise AutoresearchError("command holds what looks like a token, which every process of this machine could read",
                                "put it into a variable, and name that: git config autoresearch.command-env NAME")  # fmt: skip
    missing = [name for name in settings.command_env if name not in os.environ]
    if missing:
        raise AutoresearchError(f"{missing[0]}, which command-env names, is not set",
                                f"export {missing[0]}=…, or take it out of autoresearch.command-env")  # fmt: skip
    program = _program(settings.command)
    return Command(settings.command, settings.command_env, settings.command_timeout, settings.command_name or program, templates)


def argv(command: str, folder: Path) -> list[str]:
    """The words of the setting, in a turn that has this folder."""
    told = command.replace("{prompt}", shlex.quote(str(folder / PROMPT))).replace("{folder}", shlex.quote(str(folder)))
    return process.argv(told, FIX)


def _program(command: str) -> str:
    """The name of the program that is started. Raises AutoresearchError where it is not there."""
    words = process.argv(command, FIX)
    program = words[0]
    if words[:2] == ["/bin/sh", "-c"]:
        first = re.match(r"(?:\w+=\S*\s+)*([\w./+-]+)", command)
        if not first:  # some construct of the shell's
            return "command"
        program = first[1]
    if "/" in program and not os.path.isabs(program):
        raise AutoresearchError(f"{program} is not found from the folder that an agent works in",
                                "name the program by its whole path in autoresearch.command")  # fmt: skip
    if subprocess.run(["/bin/sh", "-c", 'command -v "$0"', program], stdout=subprocess.DEVNULL).returncode:  # the shell's own, too
        raise AutoresearchError(
            f"{program}, the program of autoresearch.command, is not here", f"install it, or name another: {FIX}"
        )
    return re.sub(r"[^\w.+-]", "", Path(program).name) or "command"


def _hidden(environment: Mapping[str, str]) -> list[str]:
    """The secrets among what the user lets the agent have."""
    plain = process.scrubbed(environment)
    named = {name: value for name, value in environment.items() if not name.startswith("AUTORESEARCH_")}
    return [value for name, value in named.items() if name not in plain and len(value) >= SHORTEST_SECRET]


def _holds(proposal: Proposal, before: Mapping[str, str], hidden: Sequence[str]) -> bool:
    """Whether a secret would be recorded that the files did not hold already."""
    words = (proposal.description, proposal.rationale, proposal.expected)
    texts = [(text, before.get(path, "")) for path, text in proposal.files.items()] + [(word, "") for word in words]
    known = any(secret in text and secret not in old for text, old in texts for secret in hidden)
    return known or any(process.holds_secret(text) and not process.holds_secret(old) for text, old in texts)


def _log(view: View, line: str) -> None:
    with open(view.turn.log, "a", encoding="utf-8") as log:
        log.write(f"# {one_line(line, 2_000)}\n")
