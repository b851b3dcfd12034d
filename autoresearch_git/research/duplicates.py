"""What was tried before is not paid for twice: the same change, told by its diff and not by its words.

Two changes are the same where they move the same constants to the same values, or else where their diffs are the same lines but
for comments and spaces. One that came close may be tried again on top of what was kept since; nothing else may.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from autoresearch_git.community import changes
from autoresearch_git.community.inspiration import Inspiration
from autoresearch_git.experiment import Experiment, Metric, Proposal, Status
from autoresearch_git.noise import Noise
from autoresearch_git.plaintext import one_line
from autoresearch_git.repository import Repository
from autoresearch_git.research.researchers import View

Signature = frozenset[object]


def signature(patch: str) -> Signature:
    """What a diff (`git diff -U0`) is compared by; empty where it changes no code."""
    moved, lines = changes.in_patch(patch), changes.normal_lines(patch)
    if moved and len(lines) == 2 * len(moved):  # each line that goes comes back with another value: constants, and nothing else
        return frozenset((change.key, str(changes.value(change.new))) for change in moved)
    opposite = {"+": "-", "-": "+"}  # a line that both sides have was moved by one way of comparing, and not by another
    return frozenset(line for line in lines if opposite[line[0]] + line[1:] not in lines)


def patch_of(before: Mapping[str, str], after: Mapping[str, str], context: int = 0) -> str:
    """The diff of the files in `after`, as `git diff -U0` has it, or with more lines of `context`."""
    rows: list[str] = []
    for path, text in sorted(after.items()):
        rows += difflib.unified_diff(before.get(path, "").splitlines(), text.splitlines(), path, path, n=context, lineterm="")
    return "\n".join(rows)


def is_near_miss(metric: Metric, experiment: Experiment, incumbent: float | None, noise: Noise) -> bool:
    """Whether an experiment that was not kept lost by no more than noise would explain."""
    if experiment.status is not Status.DISCARD or experiment.value is None or incumbent is None:
        return False
    return -metric.gain(experiment.value, incumbent) <= noise.floor


@dataclass
class Tried:
    """The changes that a session has tried, by their signatures; read from git as the session grows."""

    repository: Repository
    editable: Sequence[str]
    _known: dict[Signature, list[Experiment]] = field(default_factory=dict)
    _read: int = 0

    def refusal(self, proposal: Proposal, view: View, head: str) -> str:
        """Why the proposal is not worth a run, in one line; empty where it is. `head` is the incumbent's commit."""
        self._catch_up(view.experiments)
        patch = patch_of(view.files, proposal.files)
        values = {e.commit: e.value for e in view.experiments}
        done = signature(patch)
        for same in reversed(self._known.get(done, []) if done else []):
            if same.parent == head or not is_near_miss(view.session.metric, same, values.get(same.parent), view.noise):
                return f"{same.number:04d} was the same change: {same.status}, {one_line(same.reason, 100)}"
        return known_elsewhere(patch, view.inspiration)

    def _catch_up(self, experiments: Sequence[Experiment]) -> None:
        new = [e for e in experiments[self._read :] if e.status is not Status.BASELINE]
        patches = self.repository.patches([(e.parent, e.commit) for e in new], self.editable)
        for experiment, patch in zip(new, patches, strict=True):
            self._known.setdefault(signature(patch), []).append(experiment)
        self._read = len(experiments)


def known_elsewhere(patch: str, inspiration: Inspiration) -> str:
    """Why the change is known to fail on this hardware class, if all that it does is to move constants."""
    moved = changes.in_patch(patch)
    if not moved or len(changes.normal_lines(patch)) != 2 * len(moved):
        return ""
    if all(inspiration.is_dead_end(change.name, change.old, change.new) for change in moved):
        steps = ", ".join(str(change) for change in moved)
        return f"others on this hardware have tried {one_line(steps, 120)}, and it was never kept"
    return ""
