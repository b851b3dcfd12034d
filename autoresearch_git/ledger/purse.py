"""What the experiment under way has cost so far, on disk: money that is spent stays spent when the program is killed."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from autoresearch_git.experiment import Spending
from autoresearch_git.ledger.written import write_whole

_FILE = "spending.json"


def spent(folder: Path, number: int) -> Spending:
    """What experiment `number` of the session in that folder has cost; an older one's has been recorded."""
    try:
        fields = json.loads((folder / _FILE).read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return Spending()
    return Spending(**fields["spending"]) if fields["number"] == number else Spending()


def spend(folder: Path, number: int, more: Spending) -> None:
    """Add to it."""
    total = spent(folder, number) + more
    write_whole(folder / _FILE, json.dumps({"number": number, "spending": dataclasses.asdict(total)}))


def settle(folder: Path) -> None:
    """What was spent is recorded."""
    (folder / _FILE).unlink(missing_ok=True)
