"""How much a paper's check finds, and how long a paper takes: `python bench/paper.py [TABLE] [--times 6] [--json]`.

TABLE is a results.tsv, by default that of karpathy/autoresearch#44 (125 experiments); --times repeats its experiments as more
discards. In the rendered paper, one digit of one number is changed at a time, and the check must name something that it did not
name before. Numbers stand in tables and sentences; commands, commits and links are not counted.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import random
import re
import time
from collections.abc import Iterator
from pathlib import Path

from autoresearch_git.community import changes
from autoresearch_git.experiment import Experiment, Measurement, Metric, Session, Status
from autoresearch_git.ledger import results_tsv
from autoresearch_git.publishing import check, pages, results
from autoresearch_git.publishing.charts.picture import picture
from autoresearch_git.publishing.charts.progress import Chart
from autoresearch_git.publishing.paper import Paper
from autoresearch_git.publishing.place import Place
from autoresearch_git.publishing.shapes import shapes

TABLE = Path(__file__).parent.parent / "tests" / "data" / "pr44-results.tsv"
NOISE = 0.0004  # by which the second run of the baseline is made to differ
MOST_CHANGED = 400  # numbers


def experiments(table: Path, times: int) -> tuple[Session, list[Experiment]]:
    found = results_tsv.read(table.read_text(encoding="utf-8"))[0]
    metric = Metric(found.metric, found.direction or "min")
    session = Session("H100", "bench", "a" * 40, metric, "{python} train.py", ("train.py",), 300.0, 600.0)
    once = results_tsv.experiments(found)
    rows = [*once, *(dataclasses.replace(e, status=Status.DISCARD) for _ in range(times - 1) for e in once[1:])]
    return session, [_measured(e, number) for number, e in enumerate(rows)]


def _measured(experiment: Experiment, number: int) -> Experiment:
    """The row as if it had been measured here: with a commit, a figure or two, and a baseline of two runs."""
    value = experiment.value
    runs = [Measurement(value, 42, {"wall_seconds": 330.0, "peak_vram_mb": 45_000.0}, "harness")]
    if number == 0 and value is not None:
        runs.append(dataclasses.replace(runs[0], value=value + NOISE, seed=43))
    sha = hashlib.sha1(str(number).encode()).hexdigest()
    status = Status.BASELINE if number == 0 else experiment.status
    return dataclasses.replace(experiment, number=number, commit=sha, status=status, measurements=tuple(runs),
                               seconds_since_epoch=1_780_000_000 + 330 * number, researcher="sweep")  # fmt: skip


def changed(text: str, most: int) -> Iterator[str]:
    """The text with one digit of one number changed, for numbers spread over all of it."""
    lines = text.split("\n")
    stands = ((place - 1, re.search(rf"(?<![\w.]){re.escape(token)}(?![\w]|\.\d)", lines[place - 1]))
              for place, line in check.prose(text) for token in check.tokens(line))  # fmt: skip
    there = [(place, match) for place, match in stands if match]
    for place, match in random.sample(there, min(most, len(there))):
        digit = random.choice([i for i, c in enumerate(match[0], match.start()) if c.isdigit()])
        line = lines[place]
        other = f"{line[:digit]}{(int(line[digit]) + random.randint(1, 9)) % 10}{line[digit + 1 :]}"
        yield "\n".join([*lines[:place], other, *lines[place + 1 :]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", type=Path, nargs="?", default=TABLE)
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    random.seed(0)
    session, rows = experiments(asked.table, asked.times)
    told = results.of(session, rows)
    moved = {e.number: changes.in_words(e.description) for e in rows}
    paper = Paper(session, "b" * 40, told, tuple(shapes(told, moved)))
    place = Place("o/n", "o/n", "https://github.com/o/n", "exp/H100/bench", session.notebook, "c" * 40)
    start = time.perf_counter()
    page = pages.render(paper, place).paper
    rendered = time.perf_counter()
    before = check.problems(paper, page, set)
    checked = time.perf_counter()
    drawn = picture(Chart("bench", session.metric, tuple(rows), told.noise.floor))
    end = time.perf_counter()
    verdicts = [check.problems(paper, text, set) != before for text in changed(page, MOST_CHANGED)]
    found = {
        "experiments": len(told.rows), "characters": pages.length(page), "picture_bytes": len(drawn),
        "render_seconds": round(rendered - start, 3), "check_seconds": round(checked - rendered, 3),
        "picture_seconds": round(end - checked, 3), "false_alarms": len(before), "changed": len(verdicts),
        "found": sum(verdicts), "share": round(sum(verdicts) / len(verdicts), 3),
    }  # fmt: skip
    if asked.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"{name:<16} {value}")
    print(f"the check finds {found['found']} of {found['changed']} changed digits, with {found['false_alarms']} false alarms; "
          f"a paper of {found['experiments']} experiments is rendered in {found['render_seconds']} s")  # fmt: skip


if __name__ == "__main__":
    main()
