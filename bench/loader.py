"""How fast batches come: prepare.py's rows on disk against upstream's way, which tokenises and packs while it trains.

    python bench/loader.py [--prepared] [--batch 32] [--seconds 2] [--rounds 3] [--json]

Both deal (batch, context) tensors to the device in one process, from the same shards with the same tokenizer, and take
turns. Upstream's way is written here as plainly as karpathy/autoresearch does it: batches of 128 documents, 8 threads,
token numbers in lists, a search through the buffer for each document. Its first rows must equal those on disk, so both do
the same work. The data are the sources of this Python in a temporary folder, with the context and the vocabulary of a GPU
of 24 GB; with --prepared, the data set that `python prepare.py` made for this machine.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def upstream_rows(prepare: ModuleType, tokenizer: Any, split: str, capacity: int) -> Iterator[list[int]]:
    """Best-fit packing by search: at least 1000 documents wait in a list, tokenised as they are needed."""
    directory, manifest = prepare.data_set()
    shards = manifest["shards"][-1:] if split == "val" else manifest["shards"][:-1]

    def texts() -> Iterator[list[str]]:
        while True:
            for group in prepare.shard_texts(manifest["source"], directory, shards):
                yield from (group[i : i + 128] for i in range(0, len(group), 128))

    batches, buffer = texts(), []
    while True:
        row: list[int] = []
        while len(row) < capacity:
            while len(buffer) < 1000:
                buffer += tokenizer.encode(next(batches), prepend=tokenizer.get_bos_token_id())
            room = capacity - len(row)
            best, best_length = -1, 0
            for i, document in enumerate(buffer):
                if best_length < len(document) <= room:
                    best, best_length = i, len(document)
            if best < 0:
                best = min(range(len(buffer)), key=lambda i: len(buffer[i]))
            row += buffer.pop(best)[:room]
        yield row


def upstream_batches(prepare: ModuleType, tokenizer: Any, split: str, batch: int) -> Iterator[tuple[Any, Any]]:
    import torch

    rows = upstream_rows(prepare, tokenizer, split, prepare.MAX_SEQ_LEN + 1)
    while True:
        tokens = torch.tensor([next(rows) for _ in range(batch)], dtype=torch.long).to(prepare.DEVICE)
        yield tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()


def tokens_per_second(prepare: ModuleType, loader: Iterator[Any], seconds: float) -> float:
    tokens, started = 0, time.monotonic()
    while time.monotonic() - started < seconds:
        tokens += next(loader)[0].numel()
    prepare.wait_for_device()
    return tokens / (time.monotonic() - started)


def assert_rows_are_equal(ours: Iterator[Any], theirs: Iterator[Any], batches: int) -> int:
    """Compare so many batches; returns the number of rows."""
    import torch

    rows = 0
    for _ in range(batches):
        mine, upstream = next(ours), next(theirs)
        if not (torch.equal(mine[0], upstream[0]) and torch.equal(mine[1], upstream[1])):
            sys.exit(f"error: rows {rows} to {rows + len(mine[0]) - 1} differ from upstream's\nnothing here can be compared")
        rows += len(mine[0])
    return rows


def prepare_sources(cache: str) -> None:
    """The built-in corpus in a cache of its own, packed by upstream's rule."""
    for name in [n for n in os.environ if n.startswith("AUTORESEARCH_")]:
        del os.environ[name]
    os.environ |= {"AUTORESEARCH_CACHE": cache, "AUTORESEARCH_DEVICE": "24gb"}
    command = [sys.executable, str(ROOT / "prepare.py"), "--source", "builtin", "--packing", "upstream"]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)


def measure(batch: int, seconds: float, rounds: int) -> dict[str, Any]:
    sys.path.insert(0, str(ROOT))
    prepare = importlib.import_module("prepare")
    import torch

    if prepare.DEVICE == "cuda" and not torch.cuda.is_available():
        prepare.DEVICE = "cpu"  # the shapes of a GPU's data set, dealt to where we are
    tokenizer, rows = prepare.Tokenizer.from_directory(), prepare.data_set()[1]["rows"]
    split = "train" if rows["train"]["packing"] == "upstream" else "val"  # which of them can be compared
    ours = prepare.make_dataloader(tokenizer, batch, prepare.MAX_SEQ_LEN, split)
    theirs = upstream_batches(prepare, tokenizer, split, batch)
    equal = assert_rows_are_equal(ours, theirs, max(1, min(128, rows[split]["rows"]) // batch))
    speeds: dict[str, list[float]] = {"ours": [], "upstream": []}
    for _ in range(rounds):
        speeds["ours"].append(tokens_per_second(prepare, ours, seconds))
        speeds["upstream"].append(tokens_per_second(prepare, theirs, seconds))
    return {
        "device": prepare.DEVICE,
        "batch": batch,
        "context": prepare.MAX_SEQ_LEN,
        "rows_equal": equal,
        "ours_tokens_per_second": round(statistics.median(speeds["ours"])),
        "upstream_tokens_per_second": round(statistics.median(speeds["upstream"])),
        "ratio": round(statistics.median(a / b for a, b in zip(speeds["ours"], speeds["upstream"], strict=True)), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prepared", action="store_true", help="the data set of this machine, not a temporary one")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        if not options.prepared:
            prepare_sources(cache)
        result = measure(options.batch, options.seconds, options.rounds)
    if options.json:
        print(json.dumps(result))
        return
    print(f"batches of {result['batch']} rows of {result['context']} tokens to {result['device']}; "
          f"the first {result['rows_equal']} rows are equal")  # fmt: skip
    for name, key in (("rows on disk", "ours"), ("packed while training", "upstream")):
        print(f"{name:<22}{result[f'{key}_tokens_per_second'] / 1e6:>10.2f} M tokens/s")
    print(f"{result['ratio']:.0f} times upstream's loader")


if __name__ == "__main__":
    main()
