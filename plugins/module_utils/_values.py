# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names and values of sysctl keys in one normal form, so that two spellings of the same thing compare equal.

Pure: no I/O, no Ansible. The kernel's own reading is the reference: integers in base 0 (``0x403`` is 1027, ``010``
is 8), vectors field by field whatever the white space, port sets as a bitmap, fast open keys in lower case.
"""

from __future__ import annotations

import re
from typing import List, Optional, Set, Tuple

_INTEGER = re.compile(r"(-?)(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)\Z")
# The kernel reads no longer ones, and int() refuses very long ones.
_INTEGER_LENGTH = 22
# 010 is left out on purpose: the kernel reads it as 8, whoever wrote it meant 10.
_PORTS = re.compile(r"(0|[1-9][0-9]{0,4})(?:-(0|[1-9][0-9]{0,4}))?\Z")

PORT_SET_KEYS = frozenset(["net.ipv4.ip_local_reserved_ports"])
SECRET_KEYS = frozenset(["net.ipv4.tcp_fastopen_key", "net.ipv6.tcp_fastopen_key"])


def key_path(name: str) -> str:
    """The path below /proc/sys of a key in either spelling.

    As in sysctl.d(5): if the first separator is a slash, the name is a path already; otherwise dots separate and a
    slash stands for a dot within a component (``net.ipv4.conf.eth0/100.rp_filter``).
    """
    name = name.strip()
    first = re.search(r"[./]", name)
    if first and first.group() == ".":
        name = name.translate(str.maketrans("./", "/."))
    return "/".join(part for part in name.split("/") if part)


def leaves_proc_sys(name: str) -> bool:
    """Whether what stands for a key is a path to somewhere else, such as net/../../../etc/shadow."""
    return any(part in (".", "..") for part in key_path(name).split("/")) or "\0" in name


def key_name(name: str) -> str:
    """The dotted name of a key in either spelling."""
    return key_path(name).translate(str.maketrans("./", "/."))


def kernel_integer(text: str) -> Optional[int]:
    """The number that the kernel reads from text (base 0, as strtol), or None where it would refuse it."""
    match = _INTEGER.match(text)
    if not match or len(text) > _INTEGER_LENGTH:
        return None
    digits = match.group(2)
    base = 16 if digits[:2] in ("0x", "0X") else 8 if len(digits) > 1 and digits[0] == "0" else 10
    number = int(digits, base)
    return -number if match.group(1) == "-" else number


def port_ranges(text: str) -> Optional[List[Tuple[int, int]]]:
    """The sorted, merged ranges of a port set such as ``8080,9000-9010``; None where it is not one."""
    ports: Set[int] = set()
    for part in text.split(","):
        if not part.strip():
            continue
        match = _PORTS.match(part.strip())
        if not match:
            return None
        low, high = int(match.group(1)), int(match.group(2) or match.group(1))
        if not 0 <= low <= high <= 65535:
            return None
        ports.update(range(low, high + 1))
    merged: List[Tuple[int, int]] = []
    for port in sorted(ports):
        if merged and merged[-1][1] == port - 1:
            merged[-1] = (merged[-1][0], port)
        else:
            merged.append((port, port))
    return merged


def format_port_ranges(ranges: List[Tuple[int, int]]) -> str:
    """A port set as the kernel prints it: ``8080,9000-9010``."""
    return ",".join(str(low) if low == high else "%d-%d" % (low, high) for low, high in ranges)


def fast_open_key(text: str) -> Optional[str]:
    """One or two 128-bit keys as the kernel prints them (lower case, zero-padded, comma between), or None."""
    keys = []
    for key in text.strip().split(","):
        words = key.strip().split("-")
        if len(words) != 4 or not all(re.match(r"[0-9a-fA-F]{1,8}\Z", word) for word in words):
            return None
        keys.append("-".join(word.lower().zfill(8) for word in words))
    return ",".join(keys) if len(keys) <= 2 else None


def normal_value(name: str, text: object) -> str:
    """The normal form of a key's value: two values of this key are the same setting if their normal forms are equal."""
    value = " ".join(str(text).split())
    if name in PORT_SET_KEYS:
        ranges = port_ranges(value)
        return value if ranges is None else format_port_ranges(ranges)
    if name in SECRET_KEYS:
        return fast_open_key(value) or value
    numbers = [kernel_integer(field) for field in value.split(" ")]
    if value and all(number is not None for number in numbers):
        return " ".join(str(number) for number in numbers)
    return value


def same_value(name: str, left: Optional[str], right: Optional[str]) -> bool:
    """Whether two values of a key are the same setting. None (no such key, no such line) equals only None."""
    if left is None or right is None:
        return left is right
    return normal_value(name, left) == normal_value(name, right)
