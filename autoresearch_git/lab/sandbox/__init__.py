"""What a run may see and write: one policy, enforced by bubblewrap or by Landlock, in a room for each trust domain."""

from autoresearch_git.lab.sandbox.confinement import Sandbox, open_sandbox, survey
from autoresearch_git.lab.sandbox.hints import hint
from autoresearch_git.lab.sandbox.kinds import KINDS, NONE, Found, confined
from autoresearch_git.lab.sandbox.meter import Meter
from autoresearch_git.lab.sandbox.room import Room, read_plain

__all__ = ["KINDS", "NONE", "Found", "Meter", "Room", "Sandbox", "confined", "hint", "open_sandbox", "read_plain", "survey"]
