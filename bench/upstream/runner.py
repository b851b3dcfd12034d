"""Run a train.py and see from outside what it costs; read and set the constants in its text."""

from __future__ import annotations

import ast
import bisect
import contextlib
import datetime
import os
import platform
import re
import select
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

# Dense bf16 peak in TFLOP/s by the longest name that the GPU's contains; no MFU is claimed for one not listed, or for a part of one.
PEAK_TFLOPS = {
    "B200": 2250, "H200": 989.5, "GH200": 989.5, "H100": 989.5, "H100 NVL": 835, "H100 PCIe": 756, "A100": 312,
    "L40S": 362, "L4": 121, "RTX 5090": 209.5, "RTX 4090": 165.2, "RTX 3090": 71,
}  # fmt: skip


class Failure(Exception):
    """What a user can cause or must know: the problem, the remedy, and the output that led to it."""


@dataclass
class Outcome:
    """What a program printed, and what it cost, seen from outside."""

    raw: bytes
    arrivals: list[tuple[int, float]]  # (bytes so far, seconds since the start)
    seconds: float  # process start to exit
    max_rss_mb: float

    def seconds_at(self, position: int) -> float:
        """When the byte at this position arrived."""
        return self.arrivals[bisect.bisect_right(self.arrivals, (position, float("inf")))][1]


def execute(command: list, folder: Path, environment: dict, what: str) -> Outcome:
    """Run to the end. Whatever it started ends with it, and with us."""
    raw, arrivals, ended, started = bytearray(), [], False, time.monotonic()
    process = subprocess.Popen(
        list(map(str, command)), cwd=folder, env=environment, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    try:
        while process.returncode is None:
            if not ended and select.select([process.stdout], [], [], 0.02)[0]:
                chunk = os.read(process.stdout.fileno(), 65536)
                raw += chunk
                arrivals.append((len(raw), time.monotonic() - started))
                ended = not chunk
                continue
            pid, status, usage = os.wait4(process.pid, 0 if ended else os.WNOHANG)
            if pid:
                process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - started
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
    if process.returncode != 0:
        raise Failure(f"{what} ended with exit code {process.returncode}", "its last lines stand above", bytes(raw))
    return Outcome(bytes(raw), arrivals, seconds, usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10))


STEP = re.compile(rb"step (\d+)\b[^\r\n]*?\bdt: ([\d.]+)ms(?:[^\r\n]*?tok/sec: ([\d,]+))?")


def figures(outcome: Outcome, batch: int, flops: int, peak_tflops: float | None, untimed: int, skipped: int) -> dict:
    """
    What one run says of itself, and what was seen of it from outside. `batch` tokens a step, `flops` per token; the run
    does not count its first `untimed` steps. The pace is taken without the first `skipped`, of few steps the first half.
    """
    lines, summary = list(STEP.finditer(outcome.raw)), outcome.raw.rfind(b"\n---")
    printed = dict(re.findall(r"^(\w+): +(\S.*?) *$", outcome.raw[summary:].decode(errors="replace"), re.MULTILINE))
    missing = {"val_bpb", "num_steps", "training_seconds"} - printed.keys()
    if summary < 0 or missing or not lines:
        raise Failure(f"train.py printed no {', '.join(sorted(missing)) or 'steps'}", "its last lines stand above", outcome.raw)
    steps = int(printed["num_steps"])
    # tokens/s says more digits of the step than its rounded milliseconds do
    dt = {int(m[1]): batch / int(m[3].replace(b",", b"")) if m[3] else float(m[2]) / 1000 for m in lines}  # seconds
    steady = [seconds for step, seconds in dt.items() if step >= min(skipped, steps // 2)] or list(dt.values())
    rate = batch * len(steady) / sum(steady)
    first, last, end = map(outcome.seconds_at, (lines[0].start(), lines[-1].end() - 1, summary + 1))
    attention = re.search(rb"^attention: +(\S.*?) *\r?$", outcome.raw, re.MULTILINE)
    return {
        "val_bpb": float(printed["val_bpb"]),
        "tokens_per_second": rate,
        "step_ms": 1000 * statistics.median(steady),
        "step_ms_p95": 1000 * float(np.percentile(steady, 95)),
        "pace_steps": len(steady),
        "mfu_percent": 100 * flops * rate / (peak_tflops * 1e12) if peak_tflops else None,
        "steps": steps,
        "untimed_steps": min(untimed, steps),
        "untimed_seconds": sum(seconds for step, seconds in dt.items() if step < untimed),
        "tokens_M": steps * batch / 1e6,
        "training_seconds": float(printed["training_seconds"]),
        "peak_vram_mb": float(printed.get("peak_vram_mb", 0)) or None,
        "max_rss_mb": outcome.max_rss_mb,
        "wall_seconds": outcome.seconds,
        "to_first_step_seconds": first,
        "first_to_last_step_seconds": last - first,
        "evaluation_seconds": end - last,
        "exit_seconds": outcome.seconds - end,
        "attention": attention[1].decode(errors="replace") if attention else None,
        "printed": printed,
    }


def describe_device(found: dict, device: str) -> dict:
    driver = None
    if device == "cuda":
        query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        with contextlib.suppress(OSError):
            driver = subprocess.run(query, capture_output=True, text=True).stdout.strip() or None
    cpu = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, AttributeError):
        cpu = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)[1]
    gpu = found["gpu"] if device == "cuda" else None
    whole = gpu and not re.search(r"\b(MIG|Laptop)\b", gpu)
    names = [name for name in PEAK_TFLOPS if whole and re.search(rf"\b{name}\b", gpu)]
    return {
        "device": device, "gpu": gpu, "peak_tflops": PEAK_TFLOPS[max(names, key=len)] if names else None, "driver": driver,
        **{key: found[key] for key in ("torch", "cuda_version", "cudnn", "triton")},
        "cpu": cpu, "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 2),
        "date": datetime.datetime.now().astimezone().isoformat(timespec="minutes"),
    }  # fmt: skip


def read_constants(source: str, known: dict) -> tuple[dict, dict]:
    """The upper-case names of a script with their values, and the place of each value that is in force."""
    values, places = dict(known), {}

    def value(node: ast.expr) -> object:
        return eval(compile(ast.Expression(node), "constant", "eval"), {"__builtins__": {}}, values)

    def walk(body: list) -> None:
        for node in body:
            with contextlib.suppress(Exception):  # made of more than constants
                if isinstance(node, ast.If):
                    walk(node.body if value(node.test) else node.orelse)
                elif isinstance(node, ast.Assign) and node.targets[0].id.isupper():
                    values[node.targets[0].id] = value(node.value)
                    places[node.targets[0].id] = node.value

    walk(ast.parse(source).body)
    return values, places


def with_constants(source: str, known: dict, new: dict) -> str:
    places, lines = read_constants(source, known)[1], source.encode().split(b"\n")
    if missing := sorted(new.keys() - places.keys()):
        raise Failure(f"no constant {', '.join(missing)} where one was expected", "this program must learn what became of it")
    for name in sorted(new, key=lambda name: (places[name].lineno, places[name].col_offset), reverse=True):
        first, last = places[name].lineno - 1, places[name].end_lineno - 1
        text = lines[first][: places[name].col_offset] + repr(new[name]).encode() + lines[last][places[name].end_col_offset :]
        lines[first : last + 1] = [text]
    return b"\n".join(lines).decode()


def edited(source: str, replacements: list, what: str) -> str:
    for old, new in replacements:
        if source.count(old) != 1:
            problem = f"{what} holds {old.strip().splitlines()[0]!r} {source.count(old)} times, not once"
            raise Failure(problem, "it differs from the one that this program was written for")
        source = source.replace(old, new)
    return source


def window_sizes(source: str, values: dict) -> list[int]:
    """How far back each layer sees: our train.py has a function for that, upstream a pattern with S = half."""
    context, layers = values["MAX_SEQ_LEN"], range(values["DEPTH"])
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and node.name == "window_of":
            scope = dict(values)
            exec(compile(ast.Module([node], []), "window_of", "exec"), scope)
            return [min(scope["window_of"](layer), context) for layer in layers]
    pattern = values["WINDOW_PATTERN"].upper()
    return [context // 2 if pattern[i % len(pattern)] == "S" and i < layers[-1] else context for i in layers]


def flops_per_token(source: str, values: dict, vocab_size: int) -> int:
    """Forward and backward: 6 per parameter of a matrix product; attention over the keys that are seen, once each."""
    depth, head, context = values["DEPTH"], values["HEAD_DIM"], values["MAX_SEQ_LEN"]
    width = values.get("WIDTH") or -(-depth * values["ASPECT_RATIO"] // head) * head
    embedded = -(-depth // values.get("VE_EVERY", 2)) if values.get("VE_EVERY", 2) else 0  # layers with a gate
    gates = values.get("VE_GATE_CHANNELS", 32) * (width // head) * embedded
    matmul = depth * (4 * width**2 + 2 * width * int(values.get("MLP_RATIO", 4) * width)) + gates + vocab_size * width
    keys = sum(sum(min(i, window) + 1 for i in range(context)) / context for window in window_sizes(source, values))
    return round(6 * matmul + 12 * width * keys)
