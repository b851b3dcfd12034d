"""The researcher that asks a Claude model: a fresh, bounded conversation for each experiment, in which the model edits copies of
the files in memory and then submits. It runs nothing.

`api.py` alone imports the SDK, which takes a second: none of this is imported before a session asks for it.
"""

from __future__ import annotations

from pathlib import Path

from autoresearch_git.config import Settings
from autoresearch_git.research.researchers import Researcher


def make(settings: Settings, templates: Path | None) -> Researcher:
    """Raises AutoresearchError where there are no credentials, or a limit of costs and no price."""
    from autoresearch_git.research.researchers.claude.researcher import Claude

    return Claude(settings, templates)
