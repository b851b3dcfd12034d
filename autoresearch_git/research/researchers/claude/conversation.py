"""One conversation with a model, about one experiment: bounded in requests, tokens and US dollars."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from autoresearch_git.community.tokencount import count_tokens
from autoresearch_git.experiment import Proposal, Spending
from autoresearch_git.plaintext import defuse, one_line
from autoresearch_git.research.program import PATH as PROGRAM
from autoresearch_git.research.researchers import NoProposal, View
from autoresearch_git.research.researchers.claude import editor
from autoresearch_git.research.researchers.claude.api import Answer, Api, Garbled, Rejected, Unavailable
from autoresearch_git.research.researchers.claude.editor import Editor, ToolError
from autoresearch_git.research.researchers.claude.journal import Journal
from autoresearch_git.research.researchers.claude.patience import Patience
from autoresearch_git.research.researchers.claude.prices import NOTHING, Price, Usage
from autoresearch_git.research.researchers.prompting import Prompt

MOST_REQUESTS = 12
LONGEST_ANSWER = 16_000  # tokens, thoughts included
SHORTEST_ANSWER = 2_000  # that is worth a request
TURN_TOKENS = 64_000  # of all answers of a turn
MOST_CUT = 2  # answers that may be longer than that
TOOL_TOKENS = 1_500  # at most, that the model's side adds to a request that has tools
LONGEST_WHY = 4_000  # characters
HOUR: dict[str, str] = {"type": "ephemeral", "ttl": "1h"}  # an experiment takes longer than the five minutes of the other kind

SUBMIT = {
    "name": "submit",
    "description": "Propose the edit that you have made as this turn's experiment, and end the turn. Call it once, after the edit.",
    "input_schema": {
        "type": "object",
        "properties": {
            "description": {"type": "string", "description": "The idea in one line, such as: MATRIX_LR 0.04 → 0.05"},
            "rationale": {"type": "string", "description": "Why it should help under this budget on this machine."},
            "expected": {"type": "string", "description": "What it does to the metric, about; or that you do not know."},
        },
        "required": ["description", "rationale", "expected"],
    },
}
_HOW = (
    f"\nMake the edit with {editor.NAME} (paths as above; the harness's files and {PROGRAM} can be viewed, not changed), then call "
    "submit. Nothing else is read: an answer without a tool call is lost.\n"
)
_GO_ON = f"Nothing is submitted yet. Make an edit with {editor.NAME}, then call submit."

_BRIEF = (
    "Your last answer was too long, so it was cut off and lost. Be brief: think less, and replace only the lines that change "
    "instead of writing a file anew."
)


class Refused(Exception):
    """The model will not answer; the message is the reason that its side names."""


@dataclass(frozen=True)
class Asked:
    """Whom to ask: the model, the effort it is to make ('' leaves that to it), and its price where one is known."""

    model: str
    effort: str
    price: Price | None


@dataclass
class Spare:
    """Tokens that the answers of a turn may still have, in all of its conversations."""

    tokens: int = TURN_TOKENS


@dataclass
class Conversation:
    """From the prompt to a proposal."""

    api: Api
    asked: Asked
    view: View
    prompt: Prompt
    journal: Journal
    spare: Spare
    tries: int = 0
    requests: int = 0
    cut: int = 0
    reminded: bool = False
    messages: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.editor = Editor(self.view.files, {**self.view.context, PROGRAM: self.view.program.text})
        self.patience = Patience(self.view.turn, self.journal)
        self.system = [{"type": "text", "text": self.prompt.rules + _HOW, "cache_control": HOUR}]
        files = {"type": "text", "text": self.prompt.files, "cache_control": HOUR}
        self._hear(files, _text(self.prompt.state))

    def proposal(self) -> Proposal:
        """What the model submits. Raises NoProposal, Refused, Rejected where the request is too long, and AutoresearchError."""
        while True:
            answer = self._ask()
            if answer.stop == "refusal":
                raise Refused(answer.detail or "no reason given")
            if answer.stop == "model_context_window_exceeded":
                raise Rejected("the conversation fills the model's context")
            calls = [block for block in answer.content if block.get("type") == "tool_use"]
            if answer.stop == "max_tokens":
                self._be_brief()
            elif not calls and answer.stop not in ("end_turn", "stop_sequence", "tool_use"):
                raise NoProposal(f"{self.asked.model} stopped: {one_line(answer.stop, 60)}")
            elif proposal := self._carry_out(answer, calls):
                return proposal

    # -- asking -------------------------------------------------------------------------------------------------

    def _ask(self) -> Answer:
        """The next answer, however long the model's side takes."""
        while True:
            self.view.turn.wait(0)  # not after the deadline
            request = self._request()
            began, self.tries = time.monotonic(), self.tries + 1
            try:
                answer = self.api.ask(request)
            except Unavailable as none:
                self._pay(none.usage, time.monotonic() - began, str(none))
                self.patience.wait(str(none), none.after)
                continue
            except Garbled as garbled:
                self._pay(garbled.usage, time.monotonic() - began, str(garbled))
                self._count()
                self._hear(_text("The input of your last tool call was no JSON, so it was lost. Make the call again."))
                continue
            except Rejected as no:
                self.journal.note("rejected", reason=str(no))
                raise
            self._count()
            self._pay(answer.usage, time.monotonic() - began, answer.stop + (f" ({answer.detail})" if answer.detail else ""))
            return answer

    def _count(self) -> None:
        self.requests += 1
        self.patience.answered()

    def _request(self) -> dict[str, Any]:
        """The conversation so far, with a mark up to where its beginning may be kept for five minutes."""
        *before, last = self.messages
        *blocks, final = last["content"]
        marked = {**last, "content": [*blocks, {**final, "cache_control": {"type": "ephemeral"}}]}
        request: dict[str, Any] = {
            "model": self.asked.model,
            "system": self.system,
            "tools": [editor.TOOL, SUBMIT],
            "messages": [*before, marked],
        }
        if self.asked.effort:
            request |= {"thinking": {"type": "adaptive"}, "output_config": {"effort": self.asked.effort}}
        return {**request, "max_tokens": self._room(request)}

    def _room(self, request: Mapping[str, Any]) -> int:
        """How long the answer may be. Raises NoProposal where there is no room for one."""
        room = min(LONGEST_ANSWER, self.spare.tokens)
        if self.requests >= MOST_REQUESTS or room < SHORTEST_ANSWER:
            raise NoProposal(f"{self.asked.model} submitted nothing in {self.requests} requests")
        left = self.view.turn.allowance()
        if left is None or self.asked.price is None:
            return room
        asked = count_tokens(json.dumps(request, ensure_ascii=False)) + TOOL_TOKENS
        affordable = self.asked.price.output_for(left, asked)
        if affordable < SHORTEST_ANSWER:
            raise NoProposal(f"${left:.2f} are left, and another request to {self.asked.model} may cost more", exhausted=True)
        return min(room, affordable)

    def _pay(self, usage: Usage, seconds: float, what: str) -> None:
        usd = self.asked.price.of(usage) if self.asked.price else None
        told = None if usd is None else round(usd, 6)
        self.journal.note("request", number=self.tries, model=self.asked.model, stop=what, asked=usage.asked, read=usage.read,
                          output=usage.output, usd=told, seconds=round(seconds, 1))  # fmt: skip
        self.spare.tokens -= usage.output
        if usage != NOTHING:
            self.view.turn.spend(Spending(1, usage.asked, usage.read, usage.output, usd, seconds))

    # -- answering ----------------------------------------------------------------------------------------------

    def _hear(self, *blocks: dict[str, Any]) -> None:
        """Tell the model something; what stands unanswered is added to."""
        if self.messages and self.messages[-1]["role"] == "user":
            self.messages[-1]["content"].extend(blocks)
        else:
            self.messages.append({"role": "user", "content": list(blocks)})

    def _be_brief(self) -> None:
        """An answer that was cut is dropped whole: half a thought or half a call cannot be sent back."""
        self.cut += 1
        if self.cut > MOST_CUT:
            raise NoProposal(f"{self.asked.model} was cut off {self.cut} times")
        self._hear(_text(_BRIEF))

    def _carry_out(self, answer: Answer, calls: list[dict[str, Any]]) -> Proposal | None:
        """What the answer's tool calls do; the proposal if one of them submits it."""
        calls = [call if isinstance(call.get("input"), dict) else {**call, "input": {}} for call in calls]
        results: list[dict[str, Any]] = []
        for call in calls:
            try:
                if call["name"] == SUBMIT["name"]:
                    return self._submitted(call["input"], failed=any(r.get("is_error") for r in results))
                if call["name"] != editor.NAME:
                    raise ToolError(f"there are two tools here: {editor.NAME} and submit")
                said, wrong = self.editor.run(call["input"]), {}
            except ToolError as error:
                said, wrong = str(error), {"is_error": True}
            self._note(call, said if wrong else "ok")
            results.append({"type": "tool_result", "tool_use_id": call["id"], "content": said, **wrong})
        if not calls:
            self._remind()
            results = [_text(_GO_ON)]
        if any(block.get("type") in ("text", "tool_use") for block in answer.content):  # thoughts alone are no answer
            fixed = {call["id"]: call for call in calls}
            content = [fixed.get(block.get("id", ""), block) for block in answer.content]
            self.messages.append({"role": "assistant", "content": content})
        self._hear(*results)
        return None

    def _submitted(self, given: Mapping[str, Any], failed: bool) -> Proposal:
        """The proposal. Raises ToolError where it is none yet."""
        said = {name: given.get(name, "") for name in ("description", "rationale", "expected")}
        if not all(isinstance(text, str) for text in said.values()) or not one_line(said["description"]):
            raise ToolError("description, rationale and expected must be texts, and description says in one line what is tried")
        if failed:
            raise ToolError("not submitted, as a call before it failed: mend that first, then call submit again")
        changed = self.editor.changed()
        if not changed:
            self._remind()
            raise ToolError(_GO_ON)
        self.journal.note("submitted", description=one_line(said["description"]), files=sorted(changed))
        return Proposal(
            description=one_line(said["description"]),
            files=changed,
            rationale=defuse(said["rationale"], LONGEST_WHY).strip(),
            researcher=self.asked.model,
            expected=one_line(said["expected"]),
            idea=next(iter(self.view.ideas), ""),
            program=self.view.program.fingerprint,
        )

    def _remind(self) -> None:
        if self.reminded:
            raise NoProposal(f"{self.asked.model} made no edit, or did not submit it")
        self.reminded = True

    def _note(self, call: Mapping[str, Any], result: str) -> None:
        told = {name: one_line(str(call["input"][name]), 120) for name in ("command", "path") if name in call["input"]}
        self.journal.note("tool", name=one_line(str(call["name"]), 60), **told, result=one_line(result, 160))


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}
