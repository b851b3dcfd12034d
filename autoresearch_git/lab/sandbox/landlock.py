"""Landlock and seccomp by bare system calls: what a process gives up before it becomes the run.

The supervisor loads this file on its own, so it needs nothing but the standard library.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from collections.abc import Mapping, Sequence

_CREATE, _ADD_RULE, _RESTRICT = 444, 445, 446  # the same on every processor
_CAPSET = {"x86_64": 126, "aarch64": 91}
_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _FILTER = 22, 38, 2
_PATH_BENEATH, _VERSION = 1, 1

_EXECUTE, _WRITE, _READ, _READ_FOLDER = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_MAKE_DEVICES = 1 << 6 | 1 << 11  # character and block devices
_TRUNCATE, _IOCTL = 1 << 14, 1 << 15
_OF_FILES = _EXECUTE | _WRITE | _READ | _TRUNCATE | _IOCTL
_KNOWN = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}  # version → how many rights to files it knows; later ones as many as the last
_NETWORK, _SCOPES = 0b11, 0b11  # bind and connect from version 4, abstract sockets and signals from version 6

_libc = ctypes.CDLL(None, use_errno=True)


def _call(number: int, *arguments: object) -> int:
    result = int(_libc.syscall(number, *arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def version() -> int:
    """Which Landlock the kernel has. Raises OSError: ENOSYS where it has none, EOPNOTSUPP where it is switched off."""
    return _call(_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint(_VERSION))


def ruleset(rules: Mapping[str, Sequence[str]]) -> int:
    """A descriptor of the rules: what lies below the paths of `read`, `write` and `devices` may be used so, all else not."""
    known = version()
    rights = (1 << _KNOWN[min(known, max(_KNOWN))]) - 1
    attributes = struct.pack("=QQQ", rights, _NETWORK if known >= 4 else 0, _SCOPES if known >= 6 else 0)
    size = 24 if known >= 6 else 16 if known >= 4 else 8
    made = _call(_CREATE, ctypes.c_char_p(attributes[:size]), ctypes.c_size_t(size), ctypes.c_uint(0))
    granted = {
        "read": _EXECUTE | _READ | _READ_FOLDER,
        "write": rights & ~(_MAKE_DEVICES | _IOCTL),
        "devices": rights & (_READ | _WRITE | _TRUNCATE | _IOCTL | _READ_FOLDER),
    }
    for kind, paths in rules.items():
        for path in paths:
            _allow(made, path, granted[kind] & rights)
    return made


def _allow(made: int, path: str, rights: int) -> None:
    """What is not there is passed over: there is nothing to grant."""
    try:
        there = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(there).st_mode):
            rights &= _OF_FILES
        rule = struct.pack("=Qi", rights, there)
        _call(_ADD_RULE, ctypes.c_int(made), ctypes.c_int(_PATH_BENEATH), ctypes.c_char_p(rule), ctypes.c_uint(0))
    finally:
        os.close(there)


def enter(made: int, program: bytes, machine: str) -> None:
    """Bind this process, and all that come from it, to the rules and the filter. There is no way back."""
    _allow(made, "/proc/self", _EXECUTE | _READ | _READ_FOLDER | _WRITE)  # CUDA names its threads there
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    _call(_RESTRICT, ctypes.c_int(made), ctypes.c_uint(0))
    header, nothing = struct.pack("=Ii", 0x20080522, 0), bytes(24)
    _call(_CAPSET[machine], ctypes.c_char_p(header), ctypes.c_char_p(nothing))  # root keeps the files, not the powers
    code = ctypes.create_string_buffer(program, len(program))
    filter_ = struct.pack("@HP", len(program) // 8, ctypes.addressof(code))
    _check(_libc.prctl(_PR_SET_SECCOMP, _FILTER, ctypes.c_char_p(filter_), 0, 0))


def _check(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
