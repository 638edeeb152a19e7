# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The clamp of an interface: no TCP connection through it agrees on segments larger than its MTU lets pass. Pure.

A table of nftables for each interface, ours alone, which is put in place as a whole; what nft says of it is read, and a
table that somebody has changed by hand is known from one of ours. The rules name the interface by its name, so it need
not be there. The kernel only ever lowers a segment's size by them. Sources: nft(8), libnftables-json(5).
"""

from __future__ import annotations

import json
import re
from typing import Any, Dict, Iterator, List, Optional, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._programs import printed_json
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_model import CHANGED

# Without the elements of sets, of which a firewall may have very many.
LIST = ("nft", "-j", "-t", "list", "ruleset", "inet")
# One run of nft is one transaction of the kernel.
APPLY = ("nft", "-f", "-")
NFT_PATHS = ("/usr/sbin/nft", "/usr/bin/nft", "/sbin/nft")
_TABLE = "netfleet-"
# Where iptables clamps too: what comes later sees what has been made of it.
_PRIORITY_NAME, _PRIORITY = "mangle", -150
# The headers of IP and TCP, by family. Bytes.
_HEADERS = {"ipv4": 40, "ipv6": 60}
# What is passed on, in both directions; and what the host itself sends.
_MATCHES = {"forward": ("iifname", "oifname"), "output": ("oifname",)}
_SIZE = re.compile(r"maxseg size set (\d+)")
_FLAGS = frozenset(["fin", "syn", "rst", "psh", "ack", "urg", "ecn", "cwr"])

# Chain, direction, family, and the segment's size.
_Rule = Tuple[str, str, str, int]


def table_name(interface: str) -> str:
    """The table of an interface; nobody else's is called so."""
    return _TABLE + interface


def clamp_script(interface: str, mtu: int) -> str:
    """What nft reads to put the table in place, whatever stands there; mtu 0: to take it away."""
    table = "table inet %s" % table_name(interface)
    # Added so that it can be deleted: not every version knows a word for deleting what may not be there.
    lines = [table, "delete " + table]
    if mtu:
        lines.append(table + " {")
        for chain in _MATCHES:
            lines.append("\tchain %s {" % chain)
            lines.append("\t\ttype filter hook %s priority %s; policy accept;" % (chain, _PRIORITY_NAME))
            for in_chain, direction, family, size in _rules(mtu):
                if in_chain == chain:
                    words = (direction, interface, family, size)
                    lines.append('\t\t%s "%s" meta nfproto %s tcp flags syn tcp option maxseg size set %d' % words)
            lines.append("\t}")
        lines.append("}")
    return "\n".join(lines) + "\n"


def script_mtu(interface: str, text: str) -> int:
    """The MTU that the text of a file clamps for; CHANGED where it is not as clamp_script and our mark make it."""
    sizes = [int(size) for size in _SIZE.findall(text)]
    mtu = max(sizes, default=0) + _HEADERS["ipv4"]
    return mtu if sizes and text.endswith("\n" + clamp_script(interface, mtu)) else CHANGED


def _rules(mtu: int) -> Iterator[_Rule]:
    for chain, directions in _MATCHES.items():
        for direction in directions:
            for family, headers in _HEADERS.items():
                yield chain, direction, family, mtu - headers


def parse_clamps(text: str) -> Dict[str, int]:
    """From the output of LIST: the MTU that each interface is clamped for; CHANGED where its table is not as ours.

    HostError where the output is not JSON.
    """
    printed = printed_json(text, " ".join(LIST))
    entries: List[Dict[str, Any]] = printed.get("nftables", []) if printed else []
    # What else there is in a table, such as a set without a rule that asks it, does nothing.
    found: Dict[str, Dict[str, List[Dict[str, Any]]]] = {}
    for entry in entries:
        for kind, thing in entry.items():
            table = thing.get("name") if kind == "table" else thing.get("table")
            if str(table).startswith(_TABLE):
                found.setdefault(str(table), {}).setdefault(kind, []).append(thing)
    return {table[len(_TABLE) :]: _clamp(table[len(_TABLE) :], things) for table, things in found.items()}


def _clamp(interface: str, things: Dict[str, List[Dict[str, Any]]]) -> int:
    chains = sorted(
        (str(chain.get("name")), str(chain.get("hook")), str(chain.get("prio")), str(chain.get("policy")))
        for chain in things.get("chain", ())
    )
    expected = sorted((name, name, str(_PRIORITY), "accept") for name in _MATCHES)
    # A table may be told to sleep.
    if chains != expected or any(table.get("flags") for table in things.get("table", ())):
        return CHANGED
    rules = [_rule(interface, rule) for rule in things.get("rule", ())]
    sizes = {size + _HEADERS[family] for _chain, _direction, family, size in (rule for rule in rules if rule)}
    if len(sizes) != 1 or None in rules:
        return CHANGED
    mtu = sizes.pop()
    return mtu if sorted(rule for rule in rules if rule) == sorted(_rules(mtu)) else CHANGED


def _rule(interface: str, rule: Dict[str, Any]) -> Optional[_Rule]:
    """What a rule does; None where it is none of ours."""
    try:
        of_interface, of_family, of_flags, mangle = rule["expr"]
        direction, family = of_interface["match"], of_family["match"]
        # How a match of flags is written depends on the version of nft.
        flags = {word for word in _FLAGS if '"%s"' % word in json.dumps(of_flags["match"])}
        option = mangle["mangle"]
        same = (
            direction["op"] == family["op"] == "=="
            and direction["right"] == interface
            and family["left"] == {"meta": {"key": "nfproto"}}
            and family["right"] in _HEADERS
            and flags == {"syn"}
            and option["key"] == {"tcp option": {"name": "maxseg", "field": "size"}}
        )
        found = str(rule["chain"]), str(direction["left"]["meta"]["key"]), str(family["right"]), int(option["value"])
    except (KeyError, TypeError, ValueError):
        return None
    return found if same else None
