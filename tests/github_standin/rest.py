"""REST as the server calls it: importing the modules registers their routes. Any other route is 501."""

from __future__ import annotations

from github_standin import rest_pulls, rest_repositories
from github_standin.routing import Asked, answer, page_size

__all__ = ["Asked", "answer", "page_size", "rest_pulls", "rest_repositories"]
