"""What to type where a run crashed because of the sandbox. Pure."""

from __future__ import annotations

import re

from autoresearch_git.experiment import Measurement
from autoresearch_git.lab.sandbox.kinds import NONE

_DOWNLOAD = re.compile(r"OfflineModeIsEnabled|LocalEntryNotFoundError|HF_HUB_OFFLINE|traffic has been disabled|get_kernel\(")
_REFUSED = re.compile(
    r"PermissionError|Permission denied|Operation not permitted|Read-only file system|No such file|No module named"
    r"|Network is unreachable|Connection refused|name resolution|Name or service not known|Failed to resolve"
)


def hint(measurement: Measurement) -> str:
    """What to type, or nothing where the crash of a confined run has another reason."""
    if measurement.figures.get("sandbox", NONE) == NONE or not measurement.crash:
        return ""
    said = f"{measurement.crash}\n{measurement.traceback}"
    if _DOWNLOAD.search(said):
        return "runs have no network: download once outside, python -c 'from kernels import get_kernel; get_kernel(\"owner/name\")'"
    if _REFUSED.search(said):
        return "runs are confined: git config --add autoresearch.sandbox-read PATH, or git config autoresearch.sandbox off"
    return ""
