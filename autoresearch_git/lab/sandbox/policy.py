"""What a run may see and write, said once for every kind of sandbox."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# What every program finds on every machine. Of /etc only what says where libraries are, who one is and what time it is.
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store", "/run/current-system/sw")
_ETC = ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "ld.so.preload", "alternatives", "passwd", "group", "nsswitch.conf", "hosts",
        "localtime", "timezone")  # fmt: skip
_CPUS = "/sys/devices/system"
_GPU_DEVICES = ("/dev/nvidia[0-9]*", "/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools", "/dev/nvidia-modeset",
                "/dev/nvidia-caps", "/dev/kfd", "/dev/dri", "/dev/dxg")  # fmt: skip
_GPU_FOLDERS = ("/sys", "/usr/lib/wsl", "/opt/rocm*", "/etc/OpenCL", "/run/opengl-driver")

_PLAIN = re.compile(
    r"(PATH|LANG|LANGUAGE|LC_\w+|TZ|LD_LIBRARY_PATH|CUDA_VISIBLE_DEVICES|CUDA_DEVICE_ORDER|NVIDIA_\w+"
    r"|(HIP|ROCR)_VISIBLE_DEVICES|(OMP|MKL|OPENBLAS|GOMP|KMP)_\w+|(PYTORCH|TORCH)_\w+|AUTORESEARCH_\w+)$"
)
# Plain settings are numbers, words and lists of them. A path may lead anywhere, and its folder is not there.
_PATH_VALUE = re.compile(r"^[~/]|:/")


@dataclass(frozen=True)
class View:
    """What the runs of a session need besides the system, whatever their domain. `hidden` is never shown whole."""

    readable: tuple[Path, ...]
    hidden: tuple[Path, ...]
    gpu: bool


@dataclass(frozen=True)
class Policy:
    """What one run may see. `fixed` are files and folders inside of `writable` that stay as they are, where the kind can.

    `shares_memory`: where a kind has no /dev/shm of its own, the run may use that of the machine.
    """

    cwd: Path
    environment: Mapping[str, str]
    readable: tuple[Path, ...]
    writable: tuple[Path, ...]
    fixed: tuple[Path, ...]
    temporary: Path
    devices: tuple[Path, ...]
    shares_memory: bool


def plain_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Of an environment without secrets, what a run may have: settings of libraries, and the lab's own contract."""
    return {
        name: value
        for name, value in environment.items()
        if _PLAIN.match(name) and not (re.match(r"(PYTORCH|TORCH)_", name) and _PATH_VALUE.search(value))
    }


def gpu_devices() -> tuple[Path, ...]:
    return tuple(Path(path) for pattern in _GPU_DEVICES for path in sorted(glob.glob(pattern)))


def data_cache(environment: Mapping[str, str]) -> Path:
    """Where the harness keeps its data: prepare.py's rule."""
    return Path(environment.get("AUTORESEARCH_CACHE") or Path.home() / ".cache" / "autoresearch").expanduser().absolute()


def hub_cache(environment: Mapping[str, str]) -> Path:
    """Hugging Face's folder. Its token lies there too, so a run sees only the parts with data."""
    general = Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(environment.get("HF_HOME") or general / "huggingface").expanduser().absolute()


def visible(view: View, environment: Mapping[str, str]) -> tuple[Path, ...]:
    """Everything that may be read, as far as it is there now."""
    hub = hub_cache(os.environ)
    wanted = [
        *map(Path, _SYSTEM),
        *(Path("/etc", name) for name in _ETC),
        *(Path(path) for pattern in _GPU_FOLDERS if view.gpu for path in glob.glob(pattern)),
        Path(_CPUS),
        *view.readable,
        data_cache(environment),
        *(hub / name for name in ("hub", "datasets", "modules")),
        *(Path(path) for path in environment.get("LD_LIBRARY_PATH", "").split(os.pathsep) if path.startswith("/")),
    ]
    return _whole(_without(wanted, view.hidden))


def _without(paths: Iterable[Path], hidden: Sequence[Path]) -> Iterable[Path]:
    """A folder that would show a hidden one, such as an environment made at the top of a repository, shows its own parts alone."""
    for path in paths:
        if any(one.is_relative_to(place) for one in hidden for place in (path, path.resolve())):
            yield from (path / name for name in ("bin", "lib", "lib64", "include", "pyvenv.cfg"))
        else:
            yield path


def _whole(paths: Iterable[Path]) -> tuple[Path, ...]:
    """What is there, by its name and by the one it really has, without what lies in another of them."""
    there = {name for path in paths if os.path.exists(path) for name in (path, path.resolve())}
    found: dict[Path, None] = {}
    for path in sorted(there, key=lambda path: (len(path.parts), path)):
        if not any(parent in found for parent in path.parents):
            found[path] = None
    return tuple(found)
