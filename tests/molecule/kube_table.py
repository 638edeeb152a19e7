# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node's kernel does with Services, and what a mode that no longer runs has left: by the kernel's own tools."""

from __future__ import annotations

import re

from testinfra.host import Host as Connection

# By (address, port) of a Service: its endpoints as address:port.
Entries = dict[tuple[str, int], frozenset[str]]

_RULE = re.compile(r"-A (KUBE-\S+) (.*)-j (\S+)(?: .*--to-destination (\S+))?")
_VIRTUAL = re.compile(r"TCP\s+([\d.]+):(\d+) ")
_REAL = re.compile(r"\s+-> (\S+:\d+)\s+Masq\s+([1-9]\d*) ")
# Where a host has no /etc/protocols, nft prints TCP's number.
_ELEMENT = re.compile(r"([\d.]+) \. (?:tcp|6) \. (\d+) (?:comment \"[^\"]*\" )?: goto (service-\S+?)[,\s}]")
_CHAIN = re.compile(r"^\tchain (\S+) \{$(.*?)^\t\}$", re.MULTILINE | re.DOTALL)
# One of the map of a dnat; or, where clients stay with their endpoint, the chain of one.
_ENDPOINT = re.compile(r"\d+ : (?:goto endpoint-[^\s,}]*__)?([\d.]+)(?:/| \. )(\d+)")


def entries_of(node: Connection, mode: str) -> Entries:
    """What the kernel serves on ClusterIPs over TCP and IPv4, where a mode runs."""
    if mode == "iptables":
        return of_iptables(node.check_output("iptables-save -t nat"))
    if mode == "ipvs":
        nodes = {line.split()[3].partition("/")[0] for line in node.check_output("ip -o -4 address").splitlines()}
        bound = set(node.check_output("ip -o -4 address show kube-ipvs0 | tr -s ' ' | cut -d ' ' -f 4").split())
        found = of_ipvs(node.check_output("ipvsadm -Ln"))
        own = nodes - {address.partition("/")[0] for address in bound}
        # NodePorts have an entry for each address of the node.
        return {key: ends for key, ends in found.items() if key[0] not in own and f"{key[0]}/32" in bound}
    return of_nft(node.check_output("nft list table ip kube-proxy"))


def of_iptables(saved: str) -> Entries:
    """From iptables-save."""
    services: dict[tuple[str, int], str] = {}
    jumps: dict[str, list[str]] = {}
    ends: dict[str, str] = {}
    for line in saved.splitlines():
        match = _RULE.match(line)
        if not match:
            continue
        chain, conditions, target, destination = match.groups()
        address = re.search(r"-d ([\d.]+)/32 ", conditions)
        port = re.search(r"--dport (\d+) ", conditions)
        if chain == "KUBE-SERVICES" and address and port and target.startswith("KUBE-SVC-"):
            services[address.group(1), int(port.group(1))] = target
        elif destination:
            ends[chain] = destination
        elif target.startswith("KUBE-SEP-"):
            jumps.setdefault(chain, []).append(target)
    return {key: frozenset(ends[each] for each in jumps.get(chain, ())) for key, chain in services.items()}


def of_ipvs(listed: str) -> Entries:
    """From ipvsadm -Ln; an endpoint of weight 0 gets no new connections, and is none."""
    found: dict[tuple[str, int], set[str]] = {}
    current: set[str] = set()
    for line in listed.splitlines():
        virtual, real = _VIRTUAL.match(line), _REAL.match(line)
        if virtual:
            current = found.setdefault((virtual.group(1), int(virtual.group(2))), set())
        elif real:
            current.add(real.group(1))
    return {key: frozenset(ends) for key, ends in found.items()}


def of_nft(listed: str) -> Entries:
    """From nft list table ip kube-proxy."""
    chains = dict(_CHAIN.findall(listed))
    found: Entries = {}
    services = listed.partition("map service-ips {")[2].partition("\n\t}")[0]
    for address, port, chain in _ELEMENT.findall(services + " "):
        ends = _ENDPOINT.findall(chains.get(chain, ""))
        found[address, int(port)] = frozenset(f"{host}:{number}" for host, number in ends)
    return found


def residues(node: Connection, mode: str) -> list[str]:
    """What other modes than the one that runs have left, in words."""
    found: list[str] = []
    if mode != "nftables":
        found += [f"nft {line}" for line in node.check_output("nft list tables").splitlines() if "kube-proxy" in line]
    if mode != "ipvs":
        found += [f"ipvs {line}" for line in node.run("ipvsadm -Ln").stdout.splitlines()[3:]]
        found += [f"link {name}" for name in ("kube-ipvs0",) if node.run(f"ip link show {name}").rc == 0]
        found += [f"ipset {name}" for name in node.run("ipset list -n").stdout.split() if name.startswith("KUBE-")]
    if mode != "iptables":
        # With ipvs kube-proxy has chains of its own; but never one for each Service.
        names = "(?:SVC|SEP|EXT|FW)-" if mode == "ipvs" else "(?:SVC|SEP|EXT|FW|SERVICES|NODE|POSTROUTING)"
        for program in ("iptables-save", "ip6tables-save"):
            found += re.findall(rf"^:KUBE-{names}\S*", node.run(program).stdout, re.MULTILINE)
    return found
