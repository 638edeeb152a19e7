# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What kube-proxy's iptables rules do with Services. Pure.

A connection is looked for, rule by rule, in KUBE-SERVICES and KUBE-NODEPORTS, which jump to the chain of a Service
(KUBE-SVC, KUBE-SVL for the node's own endpoints, before them KUBE-EXT and KUBE-FW for what comes from outside), which
jumps to the chain of one of its endpoints (KUBE-SEP), which has the only DNAT.
"""

from __future__ import annotations

import re
from typing import Dict, List, Optional, Set, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._kube_table import ANY, PROTOCOLS, ProxyEntry, place, short

SAVE = {4: ("iptables-save",), 6: ("ip6tables-save",)}
_SERVICES, _NODE_PORTS = "KUBE-SERVICES", "KUBE-NODEPORTS"
# The chains of the filter table that refuse what has no endpoint, and what a policy leaves none.
_REFUSING = (_SERVICES, "KUBE-EXTERNAL-SERVICES", _NODE_PORTS)
_OF_A_SERVICE = ("KUBE-SVC-", "KUBE-SVL-", "KUBE-EXT-", "KUBE-FW-", "KUBE-XLB-")
# Its conditions are the sources that a Service lets in.
_FIREWALL = "KUBE-FW-"
_OF_AN_ENDPOINT = "KUBE-SEP-"
_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"|(\S+)')
_END = re.compile(r"\[?([0-9A-Fa-f.:]+?)\]?:(\d+)\Z")

# Options by name, in their order; of an option that is given twice, the last.
_Rule = Dict[str, str]
_Key = Tuple[str, str, int]


def parse_iptables(text: str, family: int) -> Tuple[ProxyEntry, ...]:
    """From the output of a command of SAVE, for all tables or for nat and filter. family: 4 or 6."""
    nat, filtering = _rules(text)
    refused: Dict[_Key, ProxyEntry] = {}
    for chain in _REFUSING:
        for rule in filtering.get(chain, ()):
            key = _key(chain, rule, ANY[family])
            if key and rule.get("-j") in ("REJECT", "DROP"):
                refused[key] = ProxyEntry(*key, refused=True)
    served: Dict[_Key, ProxyEntry] = {}
    for chain in (_SERVICES, _NODE_PORTS):
        for rule in nat.get(chain, ()):
            key = _key(chain, rule, ANY[family])
            if key and rule.get("-j", "").startswith(_OF_A_SERVICE):
                endpoints, affinity = _follow(rule["-j"], nat)
                served[key] = ProxyEntry(*key, endpoints=tuple(sorted(endpoints)), affinity=affinity)
    found = {**refused, **served}
    # Where a policy leaves no endpoint to others, the node's own traffic is served all the same.
    return tuple(refused[key] if key in refused and not entry.endpoints else entry for key, entry in found.items())


def _rules(text: str) -> Tuple[Dict[str, List[_Rule]], Dict[str, List[_Rule]]]:
    """The rules of kube-proxy's chains, by chain: those of the table nat, and those of filter."""
    tables: Dict[str, Dict[str, List[_Rule]]] = {"nat": {}, "filter": {}}
    chains: Dict[str, List[_Rule]] = {}
    for line in text.splitlines():
        if line.startswith("*"):
            chains = tables.setdefault(line[1:].strip(), {})
        elif line.startswith("-A KUBE-"):
            chain, rule = _rule(line)
            chains.setdefault(chain, []).append(rule)
    return tables["nat"], tables["filter"]


def _rule(line: str) -> Tuple[str, _Rule]:
    words = [quoted or plain for quoted, plain in _WORD.findall(line)]
    rule: _Rule = {}
    option, negated = "", False
    for word in words[2:]:
        if word == "!":
            negated = True
        elif word.startswith("-"):
            option = "!" + word if negated else word
            negated = False
            rule[option] = ""
        elif option and not rule[option]:
            rule[option] = word
    return words[1], rule


def _key(chain: str, rule: _Rule, node: str) -> Optional[_Key]:
    """(protocol, address, port) that a rule looks for; None where it looks for something else.

    node: the address of a NodePort.
    """
    protocol, port = rule.get("-p", ""), rule.get("--dport", "")
    address = rule.get("-d", "")
    if chain == _NODE_PORTS:
        # It has rules with an address too, which count what comes by loopback and serve it like the rest.
        meant = not address
    else:
        meant = bool(address) or rule.get("--dst-type") == "LOCAL"
    if protocol not in PROTOCOLS or not port.isdigit() or not meant:
        return None
    return protocol, short(address.split("/")[0]) if address else node, int(port)


def _follow(start: str, nat: Dict[str, List[_Rule]]) -> Tuple[Set[str], int]:
    """The endpoints that a chain leads to, and for how many seconds a client stays with one."""
    endpoints: Set[str] = set()
    affinity = 0
    seen: Set[str] = set()
    ahead = [start]
    while ahead:
        chain = ahead.pop()
        if chain in seen:
            continue
        seen.add(chain)
        for rule in nat.get(chain, ()):
            target = rule.get("-j", "")
            if target == "DNAT":
                end = _END.match(rule.get("--to-destination", ""))
                endpoints.update([place(end.group(1), int(end.group(2)))] if end else [])
            elif target.startswith(_OF_AN_ENDPOINT):
                ahead.append(target)
                affinity = max(affinity, int(rule["--seconds"]) if rule.get("--seconds", "").isdigit() else 0)
            elif target.startswith(_OF_A_SERVICE) and (chain.startswith(_FIREWALL) or _unconditional(rule)):
                ahead.append(target)
    return endpoints, affinity


def _unconditional(rule: _Rule) -> bool:
    """Whether a rule is for all that comes by: only the node's own traffic has ways beside."""
    return not [option for option in rule if option not in ("-j", "-m", "--comment")]
