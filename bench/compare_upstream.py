"""Our train.py beside upstream's: the same bytes, the same rows, the same seconds on the same machine.

    python bench/compare_upstream.py UPSTREAM_DIR [--seconds 60] [--seeds 1] [--device cuda|cpu] [--json]

UPSTREAM_DIR is a clone of karpathy/autoresearch; it is run from temporary copies and nothing of it is kept. First the
rows of both loaders are compared bit for bit. Then each seed trains three times, seed by seed in turn forwards and
backwards (ABBA): upstream, ours with upstream's architecture and hyperparameters (table a), ours as it is (table b).

On a GPU upstream's train.py is not edited, but for the number of the seed after the first; of its prepare.py only the
budget is. Its attention kernel from the hub is answered by upstream/kernels.py. On a CPU, where it cannot run, a copy
edited by the replacements listed below runs at the sizes of our cpu class. Both sides score with our byte counts.

Upstream trains 11 steps before it counts its seconds, ours counts every step: val_bpb includes that, tokens/s leaves
the first 11 steps of both out. A run is cold where its compiled code was not yet there: the first seed's.
The data is what our prepare.py prepared: for device class h100 on any GPU (AUTORESEARCH_DEVICE=h100), else cpu.
"""

from __future__ import annotations

import argparse
import ast
import functools
import hashlib
import importlib.util
import json
import os
import pickle
import re
import shutil
import signal
import site
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from upstream.runner import (
    Failure,
    describe_device,
    edited,
    execute,
    figures,
    flops_per_token,
    read_constants,
    with_constants,
)

# ---------------------------------------------------------------------------
# What is taken for granted of our train.py and prepare.py: this, and what the functions named child_* call
# ---------------------------------------------------------------------------

OURS = Path(__file__).resolve().parent.parent
CLASS = {"cuda": "h100", "cpu": "cpu"}  # AUTORESEARCH_DEVICE: the class with upstream's sizes; one a CPU can afford
SIZES = ("DEPTH", "ASPECT_RATIO", "HEAD_DIM", "TOTAL_BATCH_SIZE", "DEVICE_BATCH_SIZE")  # ours for upstream on a CPU
# Constants of ours that make our train.py upstream's where they are set so; constants that both sides have are copied.
# One not listed that ours has is named in the report, one listed that ours has not is passed over.
SAME = {
    "MLP_RATIO": 4, "ROPE_BASE": 10000, "SOFTCAP": 15, "RESID_INIT": 1.0, "X0_INIT": 0.1, "VE_GATE_CHANNELS": 32,
    "MOMENTUM": 0.95, "MOMENTUM_STEPS": 300, "MUON_BETA2": 0.95,
    "SHORT_WINDOW": 0.5, "QK_SCALE": 1.0, "INIT_SCALE": 1.0, "VE_EVERY": 2, "SMEAR_CHANNELS": 0, "BACKOUT_INIT": 0.0,
    "BIGRAM_RATIO": 0, "EMBEDDING_WD": 0.0, "VALUE_EMBED_WD": 0.0, "UNEMBEDDING_WD": 0.0,
    "BIGRAM_INIT": 0.0,  # of no effect with the above
}  # fmt: skip

# ---------------------------------------------------------------------------
# What is taken for granted of upstream
# ---------------------------------------------------------------------------

# As of 228791f; where a later one differs, the program says so and ends.
UNTIMED_STEPS = 11  # trained, but not counted in its budget
UNTIMED_CODE = "if step > 10:\n        total_training_time += dt"
SEED = 42  # in its code; further seeds count on from here
TRAIN_ROWS = 4096  # rows of the training split to compare
# On a CPU: no CUDA, no bf16, nothing compiled. (old, new), each to be found exactly once.
CPU_TRAIN = [
    ("cap = torch.cuda.get_device_capability()", "cap = (0, 0)"),
    ('device = torch.device("cuda")', 'device = torch.device("cpu")'),
    ('torch.amp.autocast(device_type="cuda", dtype=torch.bfloat16)', 'torch.amp.autocast("cpu", enabled=False)'),
    ("model = torch.compile(model, dynamic=False)\n", ""),
    ("@torch.compile(dynamic=False, fullgraph=True)\ndef adamw", "def adamw"),
    ("@torch.compile(dynamic=False, fullgraph=True)\ndef muon", "def muon"),
    ("    torch.cuda.synchronize()\n    t0 =", "    t0 ="),
    ("    torch.cuda.synchronize()\n    t1 =", "    t1 ="),
    ("torch.cuda.max_memory_allocated()", "0"),
    ("cos.bfloat16(), sin.bfloat16()", "cos, sin"),
    ("transformer.wte.to(dtype=torch.bfloat16)", "transformer.wte.to(dtype=torch.float32)"),
    (" ve.to(dtype=torch.bfloat16)", " ve.to(dtype=torch.float32)"),
    ("X = g.bfloat16()", "X = g"),
]
CPU_PREPARE = [
    ("pin_memory=True", "pin_memory=False"),
    ('dtype=torch.long, device="cuda"', 'dtype=torch.long, device="cpu"'),
    ('get_token_bytes(device="cuda")', 'get_token_bytes(device="cpu")'),
]

# ---------------------------------------------------------------------------
# Running programs
# ---------------------------------------------------------------------------


def environment(device: str, **settings: object) -> dict:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("AUTORESEARCH_")}
    inherited |= {"PYTHONUNBUFFERED": "1", "PYTHONUSERBASE": site.getuserbase()}  # packages stay where HOME was
    inherited |= {"AUTORESEARCH_DEVICE": CLASS[device]} | ({"CUDA_VISIBLE_DEVICES": ""} if device == "cpu" else {})
    inherited.setdefault("GOMP_SPINCOUNT", "1000")  # as our prepare.py has it: other load would slow upstream alone
    return inherited | {name: str(value) for name, value in settings.items()}


def child(env: dict, name: str, *arguments: object) -> dict:
    """Call one of the functions child_* in a process of its own: torch, and either prepare.py, stay out of this one."""
    command = [sys.executable, __file__, "--child", name, json.dumps([str(argument) for argument in arguments])]
    outcome = execute(command, OURS, env, f"asking for {name} with AUTORESEARCH_DEVICE={env['AUTORESEARCH_DEVICE']}")
    return json.loads(outcome.raw.decode().splitlines()[-1])


def child_device() -> dict:
    import torch

    cuda = torch.cuda.is_available()
    return {
        "gpu": torch.cuda.get_device_name() if cuda else None,
        "torch": torch.__version__,
        "cuda_version": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "triton": __import__("triton").__version__ if importlib.util.find_spec("triton") else None,
    }


def child_data(home: str) -> dict:
    """What our prepare.py prepared; shards and tokenizer are laid out under `home` as upstream expects them."""
    sys.path.insert(0, str(OURS))
    import torch

    import prepare

    directory, manifest = prepare.data_set()
    tokenizer = prepare.Tokenizer.from_directory()
    enc, lengths = tokenizer.enc, tokenizer.get_token_bytes()
    there = Path(home, ".cache", "autoresearch")
    for folder in ("data", "tokenizer"):
        Path(there, folder).mkdir(parents=True)
    shards = []
    for record in manifest["shards"]:
        found = [p for p in (Path(directory, record["name"]), Path(prepare.CACHE_DIR, "data", record["name"])) if p.exists()]
        if not found or "span" in record:
            raise SystemExit(f"{record['name']} of {manifest['source']} is not there as a whole shard, as upstream reads it")
        shards.append(found[0])
        Path(there, "data", record["name"]).symlink_to(found[0].resolve())
    Path(there, "tokenizer", "tokenizer.pkl").write_bytes(pickle.dumps(enc))
    torch.save(torch.tensor(lengths, dtype=torch.int32), Path(there, "tokenizer", "token_bytes.pt"))
    own = [len(enc.decode([i]).encode()) if lengths[i] else 0 for i in range(enc.n_vocab)]  # as upstream counts them
    np.save(Path(home, "token_bytes.npy"), np.array([lengths, own]))
    return {
        "cache": str(prepare.CACHE_DIR), "directory": str(directory), "source": manifest["source"],
        "packing": manifest.get("packing"), "shards": [str(path) for path in shards], "vocab_size": enc.n_vocab,
        "fingerprint": prepare.fingerprint(manifest), "max_seq_len": prepare.MAX_SEQ_LEN, "eval_tokens": prepare.EVAL_TOKENS,
    }  # fmt: skip


def child_rows(folder: str, split: str, count: str, path: str) -> dict:
    """The first rows of one split, from the make_dataloader of the prepare.py in `folder`; how long they took."""
    sys.path.insert(0, folder)
    import torch  # noqa: F401  not by the loader, whose time is taken

    import prepare

    tokenizer, rows, B = prepare.Tokenizer.from_directory(), [], 8
    started = time.monotonic()
    loader = prepare.make_dataloader(tokenizer, B, prepare.MAX_SEQ_LEN, split)
    while len(rows) * B < int(count):
        x, y, *_ = next(loader)  # (B, T), (B, T)
        rows.append(np.concatenate([x.cpu().numpy(), y.cpu().numpy()[:, -1:]], axis=1).astype(np.uint16))
    np.save(path, np.concatenate(rows)[: int(count)])
    return {"tokens_per_second": len(rows) * B * prepare.MAX_SEQ_LEN / (time.monotonic() - started)}


# ---------------------------------------------------------------------------
# The three sides
# ---------------------------------------------------------------------------


@dataclass
class Side:
    name: str
    source: str  # of its train.py
    prepare: str  # and of its prepare.py
    values: dict  # its constants
    environment: dict
    flops: int  # per token
    untimed: int = 0  # steps not counted in the budget

    def write(self, folder: Path, seed: int) -> None:
        folder.mkdir(exist_ok=True)
        source = self.source
        if self.untimed and seed != SEED:  # upstream has its seed in its code, ours in the environment
            reseed = [(f"torch.{where}manual_seed({SEED})", f"torch.{where}manual_seed({seed})") for where in ("", "cuda.")]
            source = edited(source, reseed, "upstream's train.py")
        (folder / "train.py").write_text(source)
        (folder / "prepare.py").write_text(self.prepare)
        if self.untimed:
            shutil.copy(OURS / "bench" / "upstream" / "kernels.py", folder / "kernels.py")
            if importlib.util.find_spec("requests") is None:  # imported by its prepare.py, for downloads only
                (folder / "requests.py").write_text("")


def make_side(name: str, source: str, prepare: str, data: dict, device: str, settings: dict, untimed: int = 0) -> Side:
    values = read_constants(source, facts_known(data, device))[0]
    try:
        flops = flops_per_token(source, values, data["vocab_size"])
    except KeyError as error:
        raise Failure(f"train.py has no constant {error}", "this program must learn what became of it") from None
    return Side(name, source, prepare, values, environment(device, **settings), flops, untimed)


def facts_known(data: dict, device: str) -> dict:
    return {"DEVICE_CLASS": CLASS[device], "DEVICE": device, "MAX_SEQ_LEN": data["max_seq_len"]}


def caches(temp: Path, name: str) -> dict:
    """Compiled code of one side: absent before its first run, there for the others."""
    return {"TORCHINDUCTOR_CACHE_DIR": temp / f"inductor-{name}", "TRITON_CACHE_DIR": temp / f"triton-{name}"}


def make_sides(options: argparse.Namespace, temp: Path, data: dict, cache: Path, notes: list[str]) -> list[Side]:
    device, known = options.device, facts_known(data, options.device)
    source, prepare = ((options.upstream / name).read_text() for name in ("train.py", "prepare.py"))
    ours, our_prepare = ((OURS / name).read_text() for name in ("train.py", "prepare.py"))
    edited(source, [(UNTIMED_CODE, "")], "upstream's train.py")
    our_values, our_places = read_constants(ours, known)
    prepare = edited(prepare, [("TIME_BUDGET = 300 ", f"TIME_BUDGET = {options.seconds:g} ")], "upstream's prepare.py")
    if device == "cpu":
        source = edited(source, CPU_TRAIN, "upstream's train.py")
        source = with_constants(source, known, {name: our_values.get(name) for name in SIZES})
        sizes = {"MAX_SEQ_LEN": data["max_seq_len"], "EVAL_TOKENS": data["eval_tokens"]}
        prepare = with_constants(edited(prepare, CPU_PREPARE, "upstream's prepare.py"), {}, sizes)
    theirs = {name: value for name, value in read_constants(source, known)[0].items() if name not in known}
    same = {name: value for name, value in (SAME | theirs).items() if name in our_places}
    left = {n: our_values[n] for n, node in our_places.items() if n not in same and not made_up(node)}
    if left:
        notes.append(f"table a leaves these constants of ours alone: {', '.join(f'{n} = {v!r}' for n, v in left.items())}")
    budget = {"AUTORESEARCH_BUDGET": f"{options.seconds:g}"}
    return [
        make_side("upstream", source, prepare, data, device, {"HOME": temp / "home"} | caches(temp, "u"), UNTIMED_STEPS),
        make_side("ours, their architecture", with_constants(ours, known, same), our_prepare, data, device,
                  {"AUTORESEARCH_CACHE": cache} | budget | caches(temp, "s")),
        make_side("ours", ours, our_prepare, data, device, {"AUTORESEARCH_CACHE": data["cache"]} | budget | caches(temp, "d")),
    ]  # fmt: skip


def made_up(node: ast.expr) -> bool:
    """Whether this value is a table, or derived from other constants."""
    return isinstance(node, ast.List | ast.Dict | ast.Set) or any(isinstance(part, ast.Name) for part in ast.walk(node))


def packed_as_upstream(temp: Path, data: dict, device: str) -> Path:
    """A cache with the same shards and tokenizer, packed by upstream's rule: the one there is, where it is so packed."""
    prepare = [sys.executable, OURS / "prepare.py"]
    usage = execute([*prepare, "--help"], OURS, environment(device), "prepare.py --help").raw
    if data["packing"] == "upstream" or b"--packing" not in usage:
        return Path(data["cache"])
    cache, old = temp / "cache", Path(data["directory"])
    for folder in (cache / "data", cache / old.name):
        folder.mkdir(parents=True)
    for path in map(Path, data["shards"]):
        (cache / (old.name if path.parent == old else "data") / path.name).symlink_to(path.resolve())
    for path in old.iterdir():
        if path.suffix not in (".bin", ".parquet"):
            shutil.copy(path, cache / old.name)
    shards = ["--shards", len(data["shards"]) - 1] if data["source"] == "climbmix" else []
    command = [*prepare, "--source", data["source"], *shards, "--packing", "upstream"]
    execute(command, OURS, environment(device, AUTORESEARCH_CACHE=cache), "prepare.py --packing upstream")
    return cache


# ---------------------------------------------------------------------------
# Measuring
# ---------------------------------------------------------------------------


def compare_rows(sides: list[Side], temp: Path, data: dict) -> dict:
    """How many rows are the same to the last bit, and what our byte counts change in the metric."""
    counts = {"val": data["eval_tokens"] // data["max_seq_len"], "train": TRAIN_ROWS}

    @functools.cache
    def rows(number: int, split: str) -> tuple[np.ndarray, float]:
        """The first rows of one side, and tokens per second."""
        folder, path = temp / f"rows-{number}", temp / f"rows-{number}-{split}.npy"
        sides[number].write(folder, SEED)
        facts = child(sides[number].environment, "rows", folder, split, counts[split], path)
        return np.load(path), facts["tokens_per_second"]

    asked = {"val": ("val", 1), "train": ("train", 1)}
    if len({side.environment["AUTORESEARCH_CACHE"] for side in sides[1:]}) > 1:
        asked["val as ours is packed by default"] = ("val", 2)
    splits = {}
    for name, (split, number) in asked.items():
        (theirs, their_speed), (mine, my_speed) = rows(0, split), rows(number, split)
        equal = (theirs == mine).all(axis=1)
        splits[name] = {"compared": len(equal), "equal": int(equal.sum()), "tokens_per_second": [their_speed, my_speed],
                        "first_different": None if equal.all() else int(equal.argmin())}  # fmt: skip
    counted, own = np.load(temp / "home" / "token_bytes.npy")[:, rows(0, "val")[0][:, 1:]].sum(axis=(1, 2))
    return {"splits": splits, "bpb_factor_own_byte_counts": float(counted / own)}


def train(side: Side, folder: Path, seed: int, peak_tflops: float | None) -> dict:
    """One run from process start to exit."""
    side.write(folder, seed)
    env = side.environment | ({} if side.untimed else {"AUTORESEARCH_SEED": str(seed)})
    cold = not Path(env["TORCHINDUCTOR_CACHE_DIR"]).exists()
    Path(env["TORCHINDUCTOR_CACHE_DIR"]).mkdir(exist_ok=True)
    outcome = execute([sys.executable, "train.py"], folder, env, f"{side.name}, seed {seed}")
    seen = figures(outcome, side.values["TOTAL_BATCH_SIZE"], side.flops, peak_tflops, side.untimed, UNTIMED_STEPS)
    if env["AUTORESEARCH_DEVICE"] == "cpu":  # ours prints its own memory there
        seen["peak_vram_mb"] = None
    return {"side": side.name, "seed": seed, "cold": cold} | seen


def compare(options: argparse.Namespace, temp: Path) -> dict:
    def progress(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    found = child(environment("cuda"), "device")
    options.device = options.device or ("cuda" if found["gpu"] else "cpu")
    if options.device == "cuda" and not found["gpu"]:
        raise Failure("torch sees no GPU here", "leave --device away, or give --device cpu")
    device, notes = describe_device(found, options.device), []
    cache = {name: os.environ[name] for name in ("AUTORESEARCH_CACHE",) if os.environ.get(name)}
    data = child(environment(options.device, **cache), "data", temp / "home")
    packed = packed_as_upstream(temp, data, options.device)
    sides = make_sides(options, temp, data, packed, notes)
    progress("comparing the rows of both loaders ...")
    rows = compare_rows(sides, temp, data)
    runs, total = [], 3 * options.seeds
    for number in range(options.seeds):
        for side in sides if number % 2 == 0 else sides[::-1]:  # upstream first, then last
            progress(f"run {len(runs) + 1}/{total}: {side.name}, seed {SEED + number} ...")
            runs.append(train(side, temp / f"run-{sides.index(side)}", SEED + number, device["peak_tflops"]))
            progress("  val_bpb {val_bpb:.6f}, {tokens_per_second:,.0f} tokens/s, {wall_seconds:.1f} s in all".format(**runs[-1]))
    parameters = [next(r["printed"].get("num_params_M") for r in runs if r["side"] == side.name) for side in sides[:2]]
    if parameters[0] != parameters[1] or sides[0].flops != sides[1].flops:
        notes.append(f"table a is NOT of one architecture: {parameters[0]} against {parameters[1]} M parameters, "
                     f"{sides[0].flops / 1e6:.2f} against {sides[1].flops / 1e6:.2f} MFLOP per token")  # fmt: skip
    if (fewest := min(run["pace_steps"] for run in runs)) < 20:
        notes.append(f"a pace taken from {fewest} steps is a rough one: give more --seconds")
    return {
        "device": device, "seconds": options.seconds, "seeds": [SEED + i for i in range(options.seeds)],
        "upstream": describe_upstream(options), "data": {k: data[k] for k in ("source", "packing", "fingerprint")},
        "attention_asked": os.environ.get("ATTN"), "flops_per_token": {side.name: side.flops for side in sides},
        "rows": rows, "notes": notes, "runs": runs, "headline": headline(runs, sides),
    }  # fmt: skip


def describe_upstream(options: argparse.Namespace) -> dict:
    git = subprocess.run(["git", "-C", options.upstream, "rev-parse", "HEAD"], capture_output=True, text=True)
    hashes = {name: hashlib.sha256((options.upstream / name).read_bytes()).hexdigest() for name in ("train.py", "prepare.py")}
    edits = "TIME_BUDGET; the seed after the first"
    if options.device == "cpu":
        edits += f"; for the CPU {len(CPU_TRAIN) + len(CPU_PREPARE)} replacements and the sizes of our cpu class"
    return {"commit": git.stdout.strip() or None, "sha256": hashes, "edits": edits, "edited_for_cpu": options.device == "cpu"}


# ---------------------------------------------------------------------------
# Report
# ---------------------------------------------------------------------------

#        label, key of a run, format, how ours stands to theirs, cold runs (True), warm ones (False) or all
TABLE = [
    ("tokens/s", "tokens_per_second", "{:,.0f}", "ratio", None),
    ("step ms, median", "step_ms", "{:.2f}", "ratio", None),
    ("step ms, 95th percentile", "step_ms_p95", "{:.2f}", "ratio", None),
    ("  of so many steps", "pace_steps", "{:.0f}", "", None),
    ("MFU %", "mfu_percent", "{:.2f}", "", None),
    ("val_bpb", "val_bpb", "{:.6f}", "difference", None),
    ("steps", "steps", "{:.0f}", "ratio", None),
    ("  of them not counted", "untimed_steps", "{:.0f}", "", None),
    ("  their seconds", "untimed_seconds", "{:.2f}", "", None),
    ("training seconds, counted", "training_seconds", "{:.1f}", "", None),
    ("million tokens", "tokens_M", "{:.2f}", "ratio", None),
    ("peak GPU memory MB", "peak_vram_mb", "{:,.0f}", "ratio", None),
    ("max RSS MB", "max_rss_mb", "{:,.0f}", "ratio", None),
    *((f"{label}, {kind}", key, "{:.2f}", "difference", kind == "cold") for kind in ("cold", "warm") for label, key in (
        ("s, process start to exit", "wall_seconds"), ("s, start to end of first step", "to_first_step_seconds"),
        ("s, first to last step", "first_to_last_step_seconds"), ("s, evaluation and summary", "evaluation_seconds"),
        ("s, exit", "exit_seconds"),
    )),
]  # fmt: skip


def mean_sd(values: list[float]) -> tuple[float, float]:
    return statistics.mean(values), statistics.stdev(values) if len(values) > 1 else 0.0


def table(title: str, runs: list[dict], pair: list[str]) -> str:
    lines = [(title, *pair, "ours to theirs")]
    own = sorted({name for run in runs if run["side"] in pair for name in run["printed"] if name.endswith("_seconds")})
    own = [name for name in own if name not in ("training_seconds", "total_seconds", "budget_seconds")]
    runs = [run | {f"printed {name}": float(run["printed"][name]) for name in own if name in run["printed"]} for run in runs]
    printed = [(f"{name} as printed", f"printed {name}", "{:.2f}", "", None) for name in own]
    for label, key, form, relation, cold in TABLE + printed:
        chosen = [r for r in runs if cold is None or r["cold"] == cold]
        values = [[r[key] for r in chosen if r["side"] == side and r.get(key) is not None] for side in pair]
        if not any(values):
            continue
        cells = [(form + (" ± " + form if s else "")).format(m, s) if v else "-" for v in values for m, s in [mean_sd(v or [0])]]
        mark = ""
        if all(values) and relation:
            theirs, ours = map(statistics.mean, values)
            mark = f"{ours - theirs:+.{form[form.index('.') + 1]}f}" if relation == "difference" else f"× {ours / theirs:.3f}"
        lines.append((label, *cells, mark))
    return "\n".join(f"{a:<44} {b:>22} {c:>26} {d:>15}".rstrip() for a, b, c, d in lines)


def headline(runs: list[dict], sides: list[Side]) -> dict:
    theirs, same, ours = ([run for run in runs if run["side"] == side.name] for side in sides)

    def mean(some: list[dict], key: str) -> float:
        return statistics.mean(run[key] for run in some)

    return {
        "tokens_per_second_ratio_same_architecture": mean(same, "tokens_per_second") / mean(theirs, "tokens_per_second"),
        "delta_val_bpb_default": mean(ours, "val_bpb") - mean(theirs, "val_bpb"),
        "upstream_uncounted_seconds": mean(theirs, "untimed_seconds"),
    }


def report(result: dict) -> str:
    device, upstream, rows = result["device"], result["upstream"], result["rows"]
    names = list(result["flops_per_token"])
    out = [", ".join(f"{key} {value}" for key, value in device.items() if value is not None)]
    if upstream["edited_for_cpu"]:
        out.append("UPSTREAM IS AN EDITED COPY: it needs a GPU; nothing here says how fast it is where it runs as it is")
    out.append(f"upstream {upstream['commit'] or '(no git)'}, edited: {upstream['edits']}")
    out.append("data {source}, packing of ours as it is: {packing}, {fingerprint}".format(**result["data"]))
    for name, row in rows["splits"].items():
        note = "" if row["first_different"] is None else f", the first different one is row {row['first_different']}"
        speed = "{:,.0f} and {:,.0f}".format(*row["tokens_per_second"])
        out.append(f"rows of {name}: {row['equal']} of {row['compared']} equal{note} (tokens/s of the loaders: {speed})")
    factor = rows["bpb_factor_own_byte_counts"]
    out.append(f"bytes: both sides count with our table; upstream's own would multiply val_bpb by {factor:.6f}")
    seen = {run["side"]: run["attention"] for run in result["runs"] if run["attention"]}
    out += [f"attention of {side}: {attention}" for side, attention in seen.items()]
    out += [f"MFLOP per token: {', '.join(f'{name} {flops / 1e6:.2f}' for name, flops in result['flops_per_token'].items())}"]
    out += [f"note: {note}" for note in result["notes"]]
    out += ["", table("(a) same architecture", result["runs"], names[:2])]
    out += ["", table("(b) default against default", result["runs"], names[::2]), ""]
    ratio, delta, uncounted = result["headline"].values()
    what = "on a CPU, upstream edited" if upstream["edited_for_cpu"] else device["gpu"]
    what += f", {result['seconds']:g} s and for upstream {uncounted:.1f} s uncounted, seeds: {len(result['seeds'])}"
    out.append(f"tokens/s × {ratio:.3f} with the same architecture; val_bpb {delta:+.6f} default against default ({what})")
    return "\n".join(out)


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(globals()[f"child_{sys.argv[2]}"](*json.loads(sys.argv[3]))))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("upstream", type=Path, metavar="UPSTREAM_DIR")
    parser.add_argument("--seconds", type=float, default=60, help="of training, in each run (default: 60)")
    parser.add_argument("--seeds", type=int, default=1, help="three runs each (default: 1)")
    parser.add_argument("--device", choices=tuple(CLASS), help="default: what is there")
    parser.add_argument("--json", action="store_true", help="one object instead of the tables")
    options = parser.parse_args()
    if options.seconds <= 0 or options.seeds < 1:
        parser.error("--seconds and --seeds must be positive")
    if not all((options.upstream / name).is_file() for name in ("train.py", "prepare.py")):
        parser.error(f"{options.upstream} holds no train.py and prepare.py: git clone https://github.com/karpathy/autoresearch")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that copies and processes go as after ^C
    try:
        with tempfile.TemporaryDirectory(prefix="compare-upstream-") as temp:
            result = compare(options, Path(temp))
    except Failure as failure:
        problem, remedy, *output = failure.args
        for raw in output:
            print(*re.split(r"[\r\n]+", raw.decode(errors="replace").strip())[-15:], sep="\n", file=sys.stderr)
        print(f"error: {problem}\n{remedy}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        raise SystemExit(130) from None
    print(json.dumps(result) if options.json else report(result))


if __name__ == "__main__":
    main()
