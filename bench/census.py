"""What lies in a hub: how many of its pull requests are research runs, how many of those can be compared.

    git clone --mirror https://github.com/karpathy/autoresearch /tmp/hub.git
    python bench/census.py /tmp/hub.git --platform H100

Reads a bare clone that has refs/pull/*/head with the command itself, by git alone, and counts. `--markdown` prints the
report that stands in docs/karpathy-autoresearch.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from autoresearch_git.commands.community import read_library
from autoresearch_git.community.branches import Branch, read_branches
from autoresearch_git.repository import Store, open_repository, open_store

CLEAN = {"train.py", "results.tsv", ".gitignore"}


def run(*command: str, cwd: Path) -> str:
    return subprocess.run(command, cwd=cwd, check=True, stdout=subprocess.PIPE, text=True).stdout


def branches_of(store: Store, hub: str) -> dict[str, Branch]:
    refs = store.refs_below("refs/hubs/")
    heads = {name.rpartition("/")[2]: sha for name, sha in refs.items() if "/pull/" in name}
    default = next((sha for name, sha in refs.items() if name.endswith(("/heads/master", "/heads/main"))), "")
    found = read_branches(store, heads.values(), default, ["train.py"])
    return {number: found[sha] for number, sha in heads.items()}


def census(hub: Path, platform: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder, "clone")
        run("git", "clone", "-q", str(hub), str(clone), cwd=Path(folder))
        for name, value in (("hub", str(hub)), ("platform", platform), ("run", "python train.py")):
            run("git", "config", f"autoresearch.{name}", value, cwd=clone)
        started = time.monotonic()
        run(sys.executable, "-m", "autoresearch_git", "findings", "--sync", cwd=clone)
        seconds = time.monotonic() - started
        repository = open_repository(clone)
        with read_library(repository) as library:
            findings = library.findings()
            heads = sum(1 for line in run("git", "ls-remote", str(hub), "refs/pull/*/head", cwd=clone).splitlines() if line)
            branches = branches_of(open_store(library.path.parent / "store.git"), str(hub))
        ranked = json.loads(run(sys.executable, "-m", "autoresearch_git", "findings", "--json", cwd=clone))
        first = (
            json.loads(run(sys.executable, "-m", "autoresearch_git", "findings", "show", "44", "--json", cwd=clone))
            if "44" in branches
            else []
        )
    runs = {f.report.name: branches[f.report.name] for f in findings if f.report.kind == "pull" and f.report.name in branches}
    changed = {n: set(b.changed) for n, b in branches.items()}
    long = {n: b for n, b in branches.items() if "train.py" in changed[n] and len(b.commits) >= 5}
    return {
        "hub": os.fspath(hub), "pull_request_heads": heads, "readable": len(branches), "seconds": round(seconds, 1),
        "touch_train": sum("train.py" in paths for paths in changed.values()),
        "touch_train_and_evaluator": sum({"train.py", "prepare.py"} <= paths for paths in changed.values()),
        "train_and_five_commits": len(long), "of_them_change_evaluator": sum("prepare.py" in changed[n] for n in long),
        "of_them_clean": sorted(int(n) for n, b in long.items() if set(b.changed) <= CLEAN),
        "research_runs": len(runs), "with_numbers": len({f.report.name for f in findings if f.best is not None}),
        "by_commits_only": len({f.report.name for f in findings if f.source == "commits"}),
        "clean": sorted(int(n) for n, b in runs.items() if set(b.changed) <= CLEAN),
        "change_evaluator": sum("prepare.py" in b.changed for b in runs.values()),
        "platform_told": len({f.report.name for f in findings if f.platform}),
        "findings": len(findings), "ranked": [f["finding"] for f in ranked], "platform": platform,
        "pr44": {k: first[0][k] for k in ("baseline", "best", "experiments", "problems", "comparable")} if first else {},
    }  # fmt: skip


def markdown(c: dict[str, Any]) -> str:
    pr44 = c["pr44"]
    lines = [
        "# What lies in karpathy/autoresearch", "",
        f"Read by `python bench/census.py` from a clone with its {c['pull_request_heads']} pull-request heads, by git alone: no titles, no",
        "descriptions, no Discussions. It says what a reader is up against, and what this one makes of it.", "",
        "| pull requests | |", "|---|---|",
        f"| heads | {c['pull_request_heads']}, of which {c['readable']} can be fetched from this clone (it lacks objects of the others) |",
        f"| change, rename or remove train.py | {c['touch_train']} |",
        f"| … and the evaluator prepare.py too | {c['touch_train_and_evaluator']} |",
        f"| change train.py, five commits or more | {c['train_and_five_commits']}, of which {c['of_them_change_evaluator']} change the evaluator; clean: {_numbers(c['of_them_clean'])} |",
        f"| **research runs**: a results table, or three commits or more that try something in train.py | **{c['research_runs']}** |",
        f"| … with a number | {c['with_numbers']} |",
        f"| … that are commits only | {c['by_commits_only']} |",
        f"| … clean: nothing changed but train.py, results.tsv, .gitignore | {len(c['clean'])}: {_numbers(c['clean'])} |",
        f"| … that change the evaluator | {c['change_evaluator']} |",
        f"| … that say on what hardware | {c['platform_told']} |",
        f"| may stand beside a number measured on an {c['platform']} | {', '.join('#' + k.rpartition('#')[2] for k in c['ranked']) or 'none'} |", "",
        "## Pull request 44", "",
        f"{pr44['baseline']} → {pr44['best']}: {pr44['experiments']['keep']} kept, {pr44['experiments']['discard']} discarded, {pr44['experiments']['crash']} crashed. What does not add up:", "",
        *(f"- {problem}" for problem in pr44["problems"]), "",
        "Pull request 368, whose own notes tell of a val_bpb of −37.8 that was kept, changes prepare.py and is not ranked; a number at",
        "or below zero would not be, either.",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _numbers(numbers: list[int]) -> str:
    return ", ".join(f"#{n}" for n in numbers) or "none"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("hub", type=Path, help="a bare clone with refs/pull/*/head")
    parser.add_argument("--platform", default="H100")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--markdown", action="store_true", help="print the report")
    arguments = parser.parse_args()
    counted = census(arguments.hub.resolve(), arguments.platform)
    if arguments.json:
        print(json.dumps(counted))
    elif arguments.markdown:
        print(markdown(counted), end="")
    else:
        for name, value in counted.items():
            print(f"{name:<28} {value}")
        print(f"{counted['research_runs']} research runs in {counted['readable']} pull requests, {len(counted['clean'])} clean, "
              f"{counted['change_evaluator']} change the evaluator, {len(counted['ranked'])} comparable on {counted['platform']}")  # fmt: skip


if __name__ == "__main__":
    main()
