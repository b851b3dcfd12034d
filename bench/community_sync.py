"""What does reading a hub cost? Calls, points, bytes, seconds and memory, for 100, 1,000 and 10,000 of each.

Fills the stand-in for GitHub of tests/ with as many pull requests and as many Discussions, reads them with the command, then
again with nothing new, and asks the library. Times are those of this machine and of the stand-in; calls and points are not.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

TOP = Path(__file__).parent.parent
sys.path.insert(0, str(TOP / "tests"))

from github_standin import GitHub  # noqa: E402


def command(clone: Path, environment: dict[str, str], *arguments: str) -> tuple[float, float]:
    """(seconds, peak MiB) of one `git autoresearch findings`."""
    started = time.monotonic()
    program = [sys.executable, "-m", "autoresearch_git", "findings", *arguments]
    child = subprocess.Popen(program, cwd=clone, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert child.stderr
    said = child.stderr.read().decode()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(said)
    return time.monotonic() - started, usage.ru_maxrss / 1024


def measure(count: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder, GitHub(Path(folder, "github")) as github:
        home, clone = Path(folder, "home"), Path(folder, "clone")
        home.mkdir()
        github.user("ada", token="t-ada")
        hub = github.repository("ada/research", discussions=True)
        hub.fill(pulls=count, discussions=count)
        subprocess.run(["git", "clone", "-q", str(hub.git_dir), str(clone)], check=True)
        url = f"{github.url}/ada/research.git"
        subprocess.run(["git", "remote", "set-url", "origin", url], cwd=clone, check=True)
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(Path(folder, "pyc")), "HOME": str(home), "GITHUB_API_URL": github.api_url, "GH_ENTERPRISE_TOKEN": "t-ada",
                       "PYTHONPATH": str(TOP), "AUTORESEARCH_PLATFORM": "H100", "CUDA_VISIBLE_DEVICES": ""}  # fmt: skip
        command(clone, environment, "-h")  # compiled once, as an installed package is
        first, memory = command(clone, environment, "--sync")
        requests = list(github.requests)
        calls, points, fetches = github.graphql_calls, github.points, github.git_fetches
        again, _ = command(clone, environment, "--sync")
        listed = min(command(clone, environment)[0] for _ in range(3))
        searched = min(command(clone, environment, "search", "weight decay")[0] for _ in range(3))
        library = clone / ".git" / "autoresearch" / "community" / "library.sqlite"
        return {
            "of_each": count, "calls": calls, "points": points, "fetches": fetches,
            "api_bytes": sum(r.bytes_out for r in requests if r.kind == "graphql"),
            "git_bytes": sum(r.bytes_out for r in requests if r.kind == "git"),
            "seconds": round(first, 2), "peak_mib": round(memory), "again_calls": github.graphql_calls - calls,
            "again_seconds": round(again, 2), "findings_ms": round(1000 * listed), "search_ms": round(1000 * searched),
            "library_mib": round(library.stat().st_size / 2**20, 1),
        }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--of-each", type=int, nargs="+", default=[100, 1000, 10_000], metavar="N")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    rows = []
    for count in arguments.of_each:
        rows.append(measure(count))
        if not arguments.json:
            print(" ".join(f"{name} {value}" for name, value in rows[-1].items()), flush=True)
    last = rows[-1]
    if arguments.json:
        print(json.dumps({"runs": rows}))
    else:
        print(f"{last['of_each']} of each: {last['calls']} calls, {last['points']} points, {last['seconds']} s, {last['peak_mib']} MiB; "
              f"nothing new: {last['again_calls']} call; findings in {last['findings_ms']} ms")  # fmt: skip


if __name__ == "__main__":
    main()
