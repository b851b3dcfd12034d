"""What machine this is: the hardware class in a branch's name, and the facts that travel with every number."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys

import psutil

from autoresearch_git.experiment import Figure

# Of a GPU's name: who makes and sells it, and how it is packaged. What is left is its class.
_TRADE_WORDS = re.compile(
    r"\b(NVIDIA|AMD|Apple|GeForce|Quadro|Tesla|Radeon|Instinct|Graphics|Generation|\d+\s?GB|HBM\d\w*|PCIe|SXM\d*|NVL)\b",
    re.IGNORECASE,
)


def _output(*command: str) -> str:
    if not shutil.which(command[0]):
        return ""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=20).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""


@functools.lru_cache(maxsize=1)
def gpu_name() -> str:
    """The first GPU that a run may use, as its vendor names it; empty where there is none."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and visible.split(",")[0].strip() in ("", "-1"):
        return ""
    chosen = ["-i", visible.split(",")[0].strip()] if visible else []
    names = _output("nvidia-smi", *chosen, "--query-gpu=name", "--format=csv,noheader").splitlines()
    if names:
        return names[0].strip()
    if sys.platform == "darwin" and platform.machine() == "arm64":
        return _output("sysctl", "-n", "machdep.cpu.brand_string")
    return ""


def hardware_class(gpu: str) -> str:
    """`NVIDIA H100 80GB HBM3` → `H100`, `NVIDIA GeForce RTX 4090` → `RTX4090`, `Apple M4 Max` → `M4Max`, none → `cpu`."""
    if not gpu:
        return "cpu"
    return re.sub(r"[^A-Za-z0-9]+", "", _TRADE_WORDS.sub(" ", gpu).partition("-")[0]) or "gpu"


def cpu_name() -> str:
    if sys.platform == "darwin":
        return _output("sysctl", "-n", "machdep.cpu.brand_string")
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def torch_version() -> str:
    """The torch beside this tool, without importing it; empty where there is none."""
    try:
        return importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return ""


def facts() -> dict[str, Figure]:
    """What a reader of a number must know about the machine."""
    found: dict[str, Figure] = {
        "cpu": cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }
    if gpu_name():
        found["gpu"] = gpu_name()
    if torch_version():
        found["torch"] = torch_version()
    return found
