"""The door to the Messages API, and the only importer of its SDK.

What goes wrong on the way is told apart by what is to be done: wait (Unavailable), ask for less (Rejected), ask for the same call
again (Garbled), tell the user (AutoresearchError), or go without (NoProposal). The SDK itself tries nothing twice, as it would wait
for hours without a word.
"""

from __future__ import annotations

import email.utils
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import anthropic

from autoresearch_git.errors import AutoresearchError
from autoresearch_git.plaintext import one_line
from autoresearch_git.research.researchers import NoProposal
from autoresearch_git.research.researchers.claude.prices import NOTHING, Usage

LOG_IN = "export ANTHROPIC_API_KEY=…, or run: ant auth login; or --researcher sweep, which needs no key"
_ON = "git autoresearch start --resume"
_FIXES = {
    401: f"export ANTHROPIC_API_KEY=… again, from where it came; then {_ON}",
    402: f"see to the account's billing; then {_ON}",
    403: f"use a key that may, or another model; then {_ON} --model <name>",
    404: f"{_ON} --model <name>, or mend ANTHROPIC_BASE_URL",
}
# An error in the middle of a stream comes with status 200, and says by its type what it is.
_STATUS = {
    "invalid_request_error": 400, "authentication_error": 401, "billing_error": 402, "permission_error": 403,
    "not_found_error": 404, "request_too_large": 413, "rate_limit_error": 429, "api_error": 500, "timeout_error": 504,
    "overloaded_error": 529,
}  # fmt: skip


@dataclass(frozen=True)
class Answer:
    """What the model said: `stop` is why it stopped, `content` its blocks as they may be sent back, `detail` what else the model's
    side says of its stopping."""

    stop: str
    content: tuple[dict[str, Any], ...]
    usage: Usage
    detail: str = ""


class Unavailable(Exception):
    """No answer this time; `after` seconds from now it is worth asking again. What did come cost `usage`."""

    def __init__(self, reason: str, after: float = 0.0, usage: Usage = NOTHING) -> None:
        super().__init__(reason)
        self.after = after
        self.usage = usage


class Rejected(Exception):
    """The request is not accepted as it is: too long, most of all."""


class Garbled(Exception):
    """The model called a tool with what is no JSON."""

    def __init__(self, usage: Usage) -> None:
        super().__init__("the input of a tool call was no JSON")
        self.usage = usage


class Api:
    """A client with the user's credentials, from the environment or the SDK's own profile. Raises AutoresearchError without."""

    def __init__(self, stream: bool) -> None:
        try:
            self._client = anthropic.Anthropic(max_retries=0)
        except (anthropic.AnthropicError, ValueError, TypeError) as error:  # a profile that cannot be read
            raise AutoresearchError(f"the credentials cannot be used: {one_line(str(error))}", LOG_IN) from error
        self._stream = stream
        self._check_credentials()

    def ask(self, request: Mapping[str, Any]) -> Answer:
        """The model's whole answer."""
        message = self._streamed(request) if self._stream else self._created(request)
        stop, usage = getattr(message, "stop_reason", None), _usage(message)
        if not stop:  # a stream that was cut ends without a word
            raise Unavailable("the model's answer broke off", usage=usage)
        blocks = (block.to_dict() for block in message.content or ())
        content = tuple(block for block in blocks if block.get("type") != "text" or str(block.get("text", "")).strip())
        detail = getattr(getattr(message, "stop_details", None), "category", None)
        return Answer(stop, content, usage, one_line(str(detail or ""), 60))

    # -- its parts ----------------------------------------------------------------------------------------------

    def _check_credentials(self) -> None:
        secrets = [self._client.api_key or "", self._client.auth_token or ""]
        self._secrets = [secret for secret in secrets if secret]
        if any(not re.fullmatch("[!-~]+", secret) for secret in self._secrets):  # an error about the header would show it
            raise AutoresearchError(
                "the key for the model's API has a character that no key has, such as a line break", _FIXES[401]
            )
        headers = {name.lower() for name in self._client.default_headers}
        if not (self._secrets or self._client.credentials or headers & {"authorization", "x-api-key"}):
            raise AutoresearchError("there are no credentials for the model's API", LOG_IN)

    def _streamed(self, request: Mapping[str, Any]) -> Any:
        try:
            with self._client.messages.stream(**request) as stream:
                return self._read(stream)
        except anthropic.AnthropicError as error:
            self._told(error, NOTHING)

    def _read(self, stream: anthropic.MessageStream) -> Any:
        begun = False
        try:
            for event in stream:
                begun = begun or event.type == "message_start"
        except Exception as error:  # of the SDK, of the HTTP library below it, of JSON: whatever cuts an answer short
            usage = _usage(stream.current_message_snapshot) if begun else NOTHING
            if type(error) is ValueError:  # so the SDK says it
                raise Garbled(usage) from error
            if isinstance(error, anthropic.AnthropicError):
                self._told(error, usage)
            raise Unavailable(f"the model's answer broke off ({type(error).__name__})", usage=usage) from error
        if not begun:
            raise Unavailable("the model's API sent no stream (a gateway that cannot: git config autoresearch.stream no)")
        return stream.current_message_snapshot

    def _created(self, request: Mapping[str, Any]) -> Any:
        try:
            return self._client.messages.create(**request)
        except anthropic.AnthropicError as error:
            self._told(error, NOTHING)
        except ValueError as error:
            raise Unavailable("the model's API sent what is no JSON") from error

    def _told(self, error: anthropic.AnthropicError, usage: Usage) -> NoReturn:
        """Raise what is to be done about it."""
        said = self._said(error)
        if isinstance(error, anthropic.APIConnectionError):
            raise Unavailable(f"the model's API cannot be reached: {said}") from error
        if isinstance(error, anthropic.CredentialsError):
            raise AutoresearchError(f"the credentials cannot be used: {said}", LOG_IN) from error
        if not isinstance(error, anthropic.APIStatusError):
            raise NoProposal(f"the model's API: {said}") from error
        status = error.status_code if error.status_code >= 400 else _STATUS.get(error.type or "", 500)
        if status in (408, 409, 429) or status >= 500:
            raise Unavailable(f"the model's API: {status} {said}", _retry_after(error.response.headers), usage) from error
        if status in (400, 413):
            raise Rejected(f"{status} {said}") from error
        if status in _FIXES:
            raise AutoresearchError(f"the model's API: {status} {said}", _FIXES[status]) from error
        raise NoProposal(f"the model's API: {status} {said}") from error

    def _said(self, error: anthropic.AnthropicError) -> str:
        """What the error says, in one line, without our key."""
        said = error.api_message or error.type if isinstance(error, anthropic.APIStatusError) else str(error.__cause__ or error)
        text = said or type(error).__name__
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return one_line(text, 160)


def _usage(message: Any) -> Usage:
    """What the answer cost; a gateway may leave out any of it."""
    told = getattr(message, "usage", None)

    def count(name: str, of: Any = told) -> int:
        found = getattr(of, name, None)
        return found if isinstance(found, int) and found > 0 else 0

    written = count("cache_creation_input_tokens")
    hour = min(count("ephemeral_1h_input_tokens", getattr(told, "cache_creation", None)), written)
    return Usage(count("input_tokens"), written - hour, hour, count("cache_read_input_tokens"), count("output_tokens"))


def _retry_after(headers: Mapping[str, str]) -> float:
    """Seconds, from a number of them or a date."""
    told = headers.get("retry-after", "")
    try:
        seconds = float(told)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(told).timestamp() - time.time()
        except ValueError:
            return 0.0
    return max(seconds, 0.0) if math.isfinite(seconds) else 0.0
