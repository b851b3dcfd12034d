"""Does a session of a thousand experiments end as it began: prompts as long, as much memory, as many descriptors, as quick?

    python bench/endurance.py [--experiments 1000] [--json]

The real command with the Claude researcher, against the tests' stand-in for the Messages API, on a repository whose run command is
over at once. Of every ten experiments one is kept. Prompt tokens are what the stand-in counts for a turn's first request; memory and
descriptors are the command's own, seconds from one turn's first request to the next one's.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from model_standin import Answer, Model, tool_use
from model_standin.requests import Request

KEY = "sk-bench-of-endurance"
EDITOR = "str_replace_based_edit_tool"
RUN = "echo score: $(grep -c '= 1.6' solver.py)"


@dataclass
class Turn:
    """What was seen as a turn began."""

    at: float
    prompt_tokens: int
    rss_mib: float
    descriptors: int


class Tireless:
    """Changes one constant after the other; looks at the command each time that it is asked for a new one."""

    def __init__(self) -> None:
        self.command: psutil.Process | None = None
        self.requests: list[tuple[Request, float, float, int]] = []

    def __call__(self, request: Request) -> Answer:
        calls = sum(block["type"] == "tool_use" for _, blocks in request.turns for block in blocks)
        if not calls:
            assert self.command
            self.requests.append((request, time.monotonic(), self.command.memory_info().rss / 2**20, self.command.num_fds()))
        number = len(self.requests)
        new = "1.6" if number % 10 == 0 else "1.4"
        if calls % 2 == 0:
            return Answer(
                [
                    tool_use(
                        EDITOR, command="str_replace", path="solver.py", old_str=f"C{number} = 1.5", new_str=f"C{number} = {new}"
                    )
                ]
            )
        return Answer(
            [tool_use("submit", description=f"C{number} 1.5 → {new}", rationale="It was not moved yet.", expected="a small gain")]
        )

    @property
    def turns(self) -> list[Turn]:
        counted = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
        return [
            Turn(at, sum(request.usage.get(name) or 0 for name in counted), rss, fds) for request, at, rss, fds in self.requests
        ]


def make_repository(root: Path, constants: int) -> None:
    def git(*arguments: str) -> None:
        subprocess.run(["git", "-c", "user.name=b", "-c", "user.email=b@b", *arguments], cwd=root, check=True)

    root.mkdir()
    git("init", "-q")
    (root / "solver.py").write_text("".join(f"C{n} = 1.5\n" for n in range(1, constants + 1)))
    (root / "program.md").write_text("Raise the score.\n")
    git("add", ".")
    git("commit", "-qm", "base")
    settings = {"metric": "score", "direction": "max", "run": RUN, "editable": "solver.py", "judge": "strict", "inspiration": "no"}
    for name, value in {**settings, "sandbox": "off", "baseline-runs": "1"}.items():
        git("config", f"autoresearch.{name}", value)


def measure(experiments: int) -> list[Turn]:
    with tempfile.TemporaryDirectory() as folder:
        root, player = Path(folder) / "repo", Tireless()
        make_repository(root, experiments + 10)
        with Model(player, key=KEY) as model:
            environment = {**os.environ, "ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": model.url, "HOME": folder}
            words = ["git-autoresearch", "start", "--tag", "b", "--researcher", "claude", "--experiments", str(experiments)]
            with open(Path(folder) / "err", "w+") as err:
                command = subprocess.Popen(words, cwd=root, env=environment, stdout=subprocess.DEVNULL, stderr=err)
                player.command = psutil.Process(command.pid)
                assert command.wait() == 0, (err.seek(0), err.read()[-2_000:])[1]
        return player.turns


def figures(turns: list[Turn]) -> dict[str, object]:
    part = max(1, len(turns) // 10)
    seconds = [after.at - before.at for before, after in itertools.pairwise(turns)]
    early, late = turns[min(10, len(turns) - 1)], turns[-1]
    return {
        "experiments": len(turns),
        "prompt_tokens": {
            "at 10": early.prompt_tokens,
            f"at {len(turns)}": late.prompt_tokens,
            "most": max(t.prompt_tokens for t in turns),
        },
        "rss_mib": {"at 10": round(early.rss_mib, 1), f"at {len(turns)}": round(late.rss_mib, 1)},
        "descriptors": {"at 10": early.descriptors, f"at {len(turns)}": late.descriptors},
        "seconds": {
            "first tenth": round(statistics.median(seconds[:part]), 3),
            "last tenth": round(statistics.median(seconds[-part:]), 3),
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiments", type=int, default=1_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = figures(measure(options.experiments))
    if options.json:
        print(json.dumps(found))
        return
    for name, values in found.items():
        print(f"{name:<14} {'   '.join(f'{k}: {v}' for k, v in values.items()) if isinstance(values, dict) else values}")
    tokens, memory, seconds = (list(found[name].values()) for name in ("prompt_tokens", "rss_mib", "seconds"))  # type: ignore[attr-defined]
    print(
        f"prompts {tokens[0]} → {tokens[1]} tokens, memory {memory[0]} → {memory[1]} MiB, {seconds[0]} → {seconds[1]} s per experiment"
    )


if __name__ == "__main__":
    main()
