"""Refs and commits as GraphQL shows them, read from git when a field is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from github_standin import git, rules
from github_standin.repository import Repository


@dataclass(frozen=True)
class Ref:
    graphql_type: ClassVar[str] = "Ref"
    repository: Repository
    full_name: str
    sha: str

    @property
    def id(self) -> str:
        return f"REF_{self.repository.database_id}_{self.full_name}"

    @property
    def prefix(self) -> str:
        return "/".join(self.full_name.split("/")[:2]) + "/"

    @property
    def name(self) -> str:
        return self.full_name.removeprefix(self.prefix)

    @property
    def target(self) -> Commit:
        return Commit(self.repository, self.sha)


@dataclass(frozen=True)
class Commit:
    graphql_type: ClassVar[str] = "Commit"
    repository: Repository
    oid: str

    @property
    def id(self) -> str:
        return f"C_{self.repository.database_id}_{self.oid}"

    @property
    def abbreviated_oid(self) -> str:
        return self.oid[:7]

    def _shown(self, placeholder: str) -> str:
        return git.run(self.repository.git_dir, "show", "--no-patch", f"--format={placeholder}", self.oid)

    @property
    def message(self) -> str:
        return self._shown("%B").strip()

    @property
    def message_headline(self) -> str:
        return self._shown("%s")

    @property
    def message_body(self) -> str:
        return self._shown("%b").strip()

    @property
    def committed_date(self) -> str:
        return rules.iso(int(self._shown("%ct")))

    @property
    def authored_date(self) -> str:
        return rules.iso(int(self._shown("%at")))


def ref_of(repository: Repository, full_name: str) -> Ref | None:
    sha = repository.refs(full_name).get(full_name)
    return Ref(repository, full_name, sha) if sha else None
