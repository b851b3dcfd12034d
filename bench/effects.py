"""Does a short run on a CPU tell good changes from bad ones? What each change of train.py does to val_bpb.

    python bench/effects.py [--steps STEPS] [--seeds 3] [--only NAME ...] [--jobs JOBS] [--json]

Every variant is an edit of a copy of train.py and runs on one core with a fixed number of steps, so that other load on
the machine does not matter and the same call gives the same numbers. A variant with a cheaper or dearer step gets as many
more or fewer steps as was measured on a quiet machine of two cores, where the default takes about 20 seconds.
The data is the built-in corpus in the usual cache. Variants compare with the base seed by seed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent

# The base of all comparisons: the default of the cpu block, but with the batch that is best in so short a run.
BASE = {"TOTAL_BATCH_SIZE": "2**11"}
# name: (edits, steps / steps of the base). An edit is a constant of the cpu block, or (old text, new text).
VARIANTS: dict[str, tuple[dict[str, str] | tuple[str, str], float]] = {
    "base": ({}, 1),
    "no value embeddings": ({"VE_EVERY": "0"}, 1),
    "AdamW for Muon": (
        (
            '(("smear_gate.weight",',
            '(("c_q.weight", "c_k.weight", "c_v.weight", "c_proj.weight", "c_fc.weight", "ve_gate.weight"), 0.01, ADAM_BETAS, 0.0),\n            (("smear_gate.weight",',
        ),
        1,
    ),
    "batch x 1/2": ({"TOTAL_BATCH_SIZE": "2**10", "DEVICE_BATCH_SIZE": "4"}, 1.85),
    "batch x 2, the default": ({"TOTAL_BATCH_SIZE": "2**12"}, 0.5),
    "depth 4": ({"DEPTH": "4", "ASPECT_RATIO": "32"}, 0.6),
    "Muon LR x 1/3": ({"MATRIX_LR": "0.013"}, 1),
    "Muon LR x 2": ({"MATRIX_LR": "0.08"}, 1),
    "warm-down 0.2": ({"WARMDOWN_RATIO": "0.2"}, 1),
    "warm-down 0.75": ({"WARMDOWN_RATIO": "0.75"}, 1),
    "LR floor 0.05": ({"FINAL_LR_FRAC": "0.05"}, 1),
    "GELU for ReLU²": (("F.relu(self.c_fc(x)).square()", "F.gelu(self.c_fc(x))"), 1),
    "no x0": ({"X0_INIT": "0.0", "SCALAR_LR": "0.0"}, 1),
    "x0 0.05": ({"X0_INIT": "0.05"}, 1),
    "init x 0.68": ({"INIT_SCALE": "0.68"}, 1),
    "RoPE base 200k": ({"ROPE_BASE": "200000"}, 1),
    "QK scale 1.2": ({"QK_SCALE": "1.2"}, 1),
    "embedding LR 0.9": ({"EMBEDDING_LR": "0.9"}, 1),
    "small weight decays": ({"EMBEDDING_WD": "0.001", "VALUE_EMBED_WD": "0.003", "UNEMBEDDING_WD": "0.01"}, 1),
    "smear": ({"SMEAR_CHANNELS": "24"}, 1),
    "backout": ({"BACKOUT_INIT": "0.2"}, 1),
    "bigram embedding": ({"BIGRAM_RATIO": "5"}, 1),
    "MuonEq": (("    x = x / (1.02 *", "    x = x / x.norm(dim=-1, keepdim=True).clamp_min(1e-12)\n    x = x / (1.02 *"), 1),
    "Muon+": (("    length = update.norm(dim=(-2, -1), keepdim=True)", "    length = min(p.shape[-2:]) ** 0.5"), 1),
}


def edited(text: str, edits: dict[str, str] | tuple[str, str]) -> str:
    """train.py with the base's and these values in its cpu block, or with other code. Every edit must find its place."""
    if isinstance(edits, tuple):
        assert text.count(edits[0]) == 1, f"{edits[0]!r} is there {text.count(edits[0])} times"
        return edited(text.replace(*edits), {})
    start, end = text.index('if DEVICE_CLASS == "cpu":'), text.index('elif DEVICE_CLASS == "mps":')
    block = text[start:end]
    for name, value in (BASE | edits).items():
        block, found = re.subn(rf"(?m)^    {name} = .*?(?= +#)", f"    {name} = {value}", block)
        assert found == 1, f"{name} is there {found} times"
    return text[:start] + block + text[end:]


def train(text: str, steps: int, seed: int) -> float:
    """val_bpb of one run."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(HERE / "prepare.py", folder)
        (Path(folder) / "train.py").write_text(text, encoding="utf-8")
        settings = {"DEVICE": "cpu", "STEPS": str(steps), "SEED": str(seed)}
        environment = os.environ | {f"AUTORESEARCH_{name}": value for name, value in settings.items()} | {"OMP_NUM_THREADS": "1"}
        run = subprocess.run([sys.executable, "train.py"], cwd=folder, env=environment, capture_output=True, text=True)
        if run.returncode:
            raise SystemExit(f"error: a run failed\n{run.stderr.strip()}")
        found = re.search(r"^val_bpb: +([\d.]+)$", run.stdout, re.MULTILINE)
        assert found, run.stdout[-500:]
        return float(found[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=190)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=[name for name in VARIANTS if name != "base"], metavar="NAME")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="runs at a time")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    source = (HERE / "train.py").read_text(encoding="utf-8")
    seeds = range(42, 42 + arguments.seeds)
    names = ["base", *(arguments.only or [name for name in VARIANTS if name != "base"])]
    rows: dict[str, dict[str, object]] = {}
    with ThreadPoolExecutor(arguments.jobs) as pool:
        steps = {name: round(arguments.steps * VARIANTS[name][1]) for name in names}
        runs = {
            name: [pool.submit(train, edited(source, VARIANTS[name][0]), steps[name], seed) for seed in seeds] for name in names
        }
        base = [run.result() for run in runs["base"]]
        for name in names:
            values = [run.result() for run in runs[name]]
            paired = [value - other for value, other in zip(values, base, strict=True)]
            rows[name] = {
                "steps": steps[name],
                "val_bpb": values,
                "mean": statistics.mean(values),
                "sd": statistics.stdev(values) if len(values) > 1 else None,
                "difference": statistics.mean(paired),
                "difference_sd": statistics.stdev(paired) if len(paired) > 1 else None,
            }
            line = " ".join(f"{value:.4f}" for value in values)
            print(f"{name:22} {steps[name]:4} steps  {line}  {statistics.mean(paired):+.4f}", file=sys.stderr, flush=True)
    if arguments.json:
        print(json.dumps({"steps": arguments.steps, "seeds": list(seeds), "variants": rows}))
        return
    print("| change | steps | val_bpb | sd | difference | its sd, paired |\n|---|---|---|---|---|---|")
    for name, row in rows.items():
        sd, paired_sd = (f"{row[key]:.4f}" if row[key] is not None else "" for key in ("sd", "difference_sd"))
        print(f"| {name} | {row['steps']} | {row['mean']:.4f} | {sd} | {row['difference']:+.4f} | {paired_sd} |")
    print(f"base: val_bpb {rows['base']['mean']:.4f} after {steps['base']} steps, mean of {len(seeds)} seeds")


if __name__ == "__main__":
    main()
