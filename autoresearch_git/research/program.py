"""program.md: what the human writes, and every researcher that reads follows."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from autoresearch_git.errors import AutoresearchError
from autoresearch_git.experiment import Session
from autoresearch_git.rendering import packaged
from autoresearch_git.repository import Repository

PATH = "program.md"
LONGEST = 64 * 1024  # bytes: all of it is in every prompt


@dataclass(frozen=True)
class Program:
    """Its text, and the fingerprint by which sessions under different programs can be told apart."""

    text: str
    fingerprint: str


NO_PROGRAM = Program("", "")


def read_program(repository: Repository, session: Session) -> Program:
    """The program of the commit that the session began from, or ours where it has none. Raises AutoresearchError where it is no
    text, or longer than a prompt should be."""
    content = repository.read_file(session.base, PATH)
    if content is None:
        content = packaged("subject", PATH).read_bytes()
    if len(content) > LONGEST:
        raise AutoresearchError(f"{PATH} is longer than {LONGEST >> 10} KiB, and would be in every prompt", f"shorten {PATH}")
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise AutoresearchError(f"{PATH} is no UTF-8 text", f"save {PATH} as UTF-8, then commit") from error
    return Program(text, fingerprint(content))


def fingerprint(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
