# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Queueing disciplines of live interfaces: reading tc's JSON, and the tc commands that change one. Pure.

A multi-queue NIC has the root qdisc mq, which spreads over one leaf per transmit queue. Replacing that root by fq would
funnel all queues into one, so mq stays and its leaves change.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._model import Interface
from ansible_collections.netfleet.tcp.plugins.module_utils._programs import IPROUTE2, printed_json

MQ = "mq"
NOQUEUE = "noqueue"
# What a kernel or a tuning attaches by itself. Anything else (htb, tbf, netem, cake with a rate ...) somebody built on
# purpose for that interface: it is replaced only where the user names the interface.
REPLACEABLE = frozenset(["pfifo_fast", "pfifo", "bfifo", "fq", "fq_codel", "sfq", "codel"])
KINDS = ("fq", "fq_codel", "pfifo_fast", "sfq", "cake")


def parse_tc(text: str) -> Dict[str, Tuple[str, str, Tuple[str, ...]]]:
    """From the output of ``tc -j qdisc show``: interface -> (root kind, root handle, kinds of mq's leaves by queue)."""
    entries: List[Dict[str, Any]] = printed_json(text, "tc -j qdisc show", IPROUTE2)
    roots: Dict[str, Tuple[str, str]] = {}
    leaves: Dict[str, List[Tuple[str, str, str]]] = {}
    for entry in entries:
        device = entry.get("dev", "")
        if entry.get("root"):
            roots[device] = (entry["kind"], entry.get("handle", "0:"))
        elif entry.get("parent"):
            major, _colon, minor = entry["parent"].partition(":")
            leaves.setdefault(device, []).append((major, minor, entry["kind"]))
    return {
        device: (kind, handle, _leaves(handle, leaves.get(device, [])) if kind == MQ else ())
        for device, (kind, handle) in roots.items()
    }


def _leaves(handle: str, entries: List[Tuple[str, str, str]]) -> Tuple[str, ...]:
    # A leaf such as htb may have children of its own, and ingress hangs on the device: neither is a leaf of the root.
    own = "" if handle == "0:" else handle.rstrip(":")
    return tuple(
        kind for _queue, kind in sorted((int(minor, 16), kind) for major, minor, kind in entries if major == own)
    )


def state_name(interface: Interface) -> str:
    """An interface's queueing in a word or two: ``fq``, ``mq fq``, ``mq fq,fq,sfq`` (by queue) where they differ."""
    if interface.qdisc != MQ:
        return interface.qdisc
    leaves = interface.leaves if len(set(interface.leaves)) > 1 else interface.leaves[:1]
    return "%s %s" % (MQ, ",".join(leaves) or "?")


def wanted_name(interface: Interface, kind: str) -> str:
    """What state_name says once the interface has the kind."""
    return "%s %s" % (MQ, kind) if interface.qdisc == MQ else kind


def commands(interface: Interface, kind: str) -> List[str]:
    """The lines of a tc batch that give the interface the kind, keeping mq."""
    if interface.qdisc != MQ:
        return ["qdisc replace dev %s root %s" % (interface.name, kind)]
    return _leaf_commands(interface, [kind])


def _leaf_commands(interface: Interface, kinds: Sequence[str]) -> List[str]:
    """One kind for each queue; the last of them for all that follow."""
    handle = interface.handle
    lines = []
    if handle.rstrip(":") in ("", "0"):
        # The kernel's own mq has handle 0:, below which no leaf can be addressed.
        handle = "1:"
        lines.append("qdisc replace dev %s root handle 1: mq" % interface.name)
    lines += [
        "qdisc replace dev %s parent %s%x %s" % (interface.name, handle, queue, kinds[min(queue, len(kinds)) - 1])
        for queue in range(1, interface.queues + 1)
    ]
    return lines


def restore_commands(interface: Interface, before: str, default_qdisc: Optional[str]) -> List[str]:
    """The lines of a tc batch that give back what stood before (a state_name).

    Where the kernel's default stood there, the root is removed and the kernel attaches its default again; elsewhere
    the kind is named. A qdisc with parameters comes back with its kind's defaults.
    """
    root, _space, leaves = before.partition(" ")
    kinds = leaves.split(",") if leaves else [root]
    # The kernel gives default_qdisc to NICs; to a tunnel, bridge or veth noqueue, and so to a NIC that is down.
    is_default = kinds == [NOQUEUE] or (interface.physical and set(kinds) == {default_qdisc})
    if is_default and interface.handle.rstrip(":") not in ("", "0"):
        return ["qdisc del dev %s root" % interface.name]
    if root == MQ:
        return _leaf_commands(interface if interface.qdisc == MQ else replace(interface, handle="0:"), kinds)
    return ["qdisc replace dev %s root %s" % (interface.name, root)]


def boot_commands(kinds: Mapping[str, str], interfaces: Sequence[Interface]) -> List[str]:
    """The tc arguments that give each of the interfaces (name -> kind) its qdisc again after a boot."""
    lines: List[str] = []
    for interface in interfaces:
        if interface.name in kinds:
            # At boot the root is the kernel's own, whatever handle it has by now.
            lines += commands(replace(interface, handle="0:"), kinds[interface.name])
    return lines
