"""The system calls that no run needs and an escape would: a filter as the kernel takes it, assembled here. Pure.

A call that is refused answers with an error, so that a program which only tries falls back on something else. What is not
named is allowed: the walls are the file rules and the namespaces, and this keeps a run from the tools that open walls.
"""

from __future__ import annotations

import errno
import platform
import struct

_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_COLUMN = {"x86_64": 0, "aarch64": 1}

# Numbers on x86_64 and aarch64. Debugging and reading others, keys, kernel programs and modules, and what makes new roots.
_REFUSED = {
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "pidfd_getfd": (438, 438),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "open_tree": (428, 428),
    "move_mount": (429, 429), "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433),
    "mount_setattr": (442, 442), "open_tree_attr": (467, 467), "open_by_handle_at": (304, 265), "quotactl": (179, 60),
    "unshare": (272, 97), "setns": (308, 268),
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "init_module": (175, 105), "finit_module": (313, 273),
    "delete_module": (176, 106), "reboot": (169, 142), "swapon": (167, 224), "swapoff": (168, 225), "acct": (163, 89),
    "clock_settime": (227, 112), "settimeofday": (164, 170), "sethostname": (170, 161), "setdomainname": (171, 162),
}  # fmt: skip
# Where the run shares its name spaces with us: memory and queues that other programs of the user may hold.
_REFUSED_BESIDE = {"shmget": (29, 194), "shmat": (30, 196), "msgget": (68, 186), "semget": (64, 190), "mq_open": (240, 180)}
_CLONE, _CLONE3, _SOCKET, _PRLIMIT = (56, 220), (435, 435), (41, 198), (302, 261)
_NAMESPACES = 0x7E020000  # CLONE_NEW*; clone3 keeps them in memory, where a filter cannot look
_OWN_NETWORK = (1, 2, 10)  # AF_UNIX, AF_INET, AF_INET6: inside a network of its own they lead nowhere else

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER, _ARCH, _FIRST = 0, 4, 16  # offsets in the record of a call


def supported() -> bool:
    return platform.machine() in _AUDIT_ARCH


def program(own_network: bool) -> bytes:
    """The filter for this processor. With `own_network` ordinary sockets are allowed, otherwise none but a pair of them."""
    machine = platform.machine()
    column = _COLUMN[machine]
    refuse = (_RETURN, 0, 0, _ERROR | errno.EPERM)
    rows = [(_LOAD, 0, 0, _ARCH), (_EQUAL, 1, 0, _AUDIT_ARCH[machine]), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, _NUMBER)]
    if machine == "x86_64":  # the numbers of x32 are others
        rows += [(_AT_LEAST, 0, 1, 0x40000000), refuse]
    named = {**_REFUSED, **({} if own_network else _REFUSED_BESIDE)}
    for numbers in named.values():
        rows += [(_EQUAL, 0, 1, numbers[column]), refuse]
    rows += [(_EQUAL, 0, 1, _CLONE3[column]), (_RETURN, 0, 0, _ERROR | errno.ENOSYS)]  # libc then takes clone
    rows += [(_EQUAL, 0, 4, _CLONE[column]), (_LOAD, 0, 0, _FIRST), (_ANY_BIT, 0, 1, _NAMESPACES), refuse,
             (_RETURN, 0, 0, _ALLOW)]  # fmt: skip
    if own_network:
        families = [(_EQUAL, len(_OWN_NETWORK) - i, 0, family) for i, family in enumerate(_OWN_NETWORK)]
        rows += [(_EQUAL, 0, len(families) + 2, _SOCKET[column]), (_LOAD, 0, 0, _FIRST), *families, refuse]
    else:
        rows += [(_EQUAL, 0, 1, _SOCKET[column]), refuse]
        rows += [(_EQUAL, 0, 3, _PRLIMIT[column]), (_LOAD, 0, 0, _FIRST), (_EQUAL, 1, 0, 0), refuse]  # of others
    rows.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *row) for row in rows)
