"""Every resolver of the stand-in: importing the modules registers what they hold."""

from __future__ import annotations

from github_standin import fields_items, fields_repository, mutations
from github_standin.fields import RESOLVERS

for _name, _mutation in mutations.MUTATIONS.items():
    RESOLVERS["Mutation", _name] = mutations.resolver(_mutation)

__all__ = ["RESOLVERS", "fields_items", "fields_repository"]
