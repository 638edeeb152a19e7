# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node in memory with a kube-proxy that makes in the kernel what the real one makes, and leaves what that leaves.

Runs under Python 3.8 too. Rules of iptables are kept as their text, and changed as iptables-restore --noflush does: a
chain that something still leads to cannot be removed, nor a set that a rule names.
"""

from __future__ import annotations

import ipaddress
import json
import posixpath
import re
import socket
import struct
from collections.abc import Callable, Sequence
from typing import Any

from ansible_collections.netfleet.tcp.plugins.module_utils import _conntrack, _ipvs, _netlink
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_modes import IPTABLES, IPVS, NFTABLES
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_service import ACTIVE, Clock
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_table import ProxyEntry
from tests.unit.plugins.fake_system import FakeSystem

CLUSTER_IP, ENDPOINT = "10.96.0.10", "10.244.1.5:8080"
NODE = "192.0.2.11"
METRICS, HEALTHZ = "127.0.0.1:10249", "127.0.0.1:10256"
IPVS_MODULES = ("ip_vs", "ip_vs_rr", "ip_vs_wrr", "ip_vs_sh", "nf_conntrack")
NFT_MODULES = ("nf_tables", "nft_chain_nat", "nft_ct", "nft_fib_ipv4", "nft_masq", "nft_nat", "nft_numgen")
_PROGRAMS = ("ip", "nft", "ipset", "iptables-nft-save", "iptables-nft-restore")
_MODE = re.compile(r"(?:proxy-mode[= ]|mode: )\"?(\w+)")
_FAMILY = 42
# The kernel counts time in 250ths of a second, as most of them do.
_HZ = 250
# As the kernel says that there is no such thing.
REFUSED = struct.pack("=IHHIIi", 20, 2, 0, 1, 0, -2)
_SAYS = {"k3s": "k3s version v1.36.4+k3s1 (98262b5d)\ngo version go1.26\n", "kube-proxy": "Kubernetes v1.36.4\n"}
# kube-proxy's rules of the mode iptables, and of ipvs, shortened; the kubelet's stay.
_OF_IPTABLES = """\
*filter
:INPUT ACCEPT [0:0]
:KUBE-FIREWALL - [0:0]
:KUBE-SERVICES - [0:0]
-A INPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A INPUT -j KUBE-FIREWALL
-A KUBE-SERVICES -d 10.96.0.99/32 -p tcp -m tcp --dport 80 -j REJECT
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:KUBE-POSTROUTING - [0:0]
:KUBE-SEP-AAAAAAAAAAAAAAAA - [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-SVC-BBBBBBBBBBBBBBBB - [0:0]
-A PREROUTING -m comment --comment "a -j KUBE-NONE of somebody" -j ACCEPT
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A KUBE-SERVICES -d 10.96.0.10/32 -p tcp -m tcp --dport 80 -j KUBE-SVC-BBBBBBBBBBBBBBBB
-A KUBE-SVC-BBBBBBBBBBBBBBBB -j KUBE-SEP-AAAAAAAAAAAAAAAA
-A KUBE-SEP-AAAAAAAAAAAAAAAA -p tcp -m tcp -j DNAT --to-destination 10.244.1.5:8080
COMMIT
"""
_OF_IPVS = """\
*filter
:INPUT ACCEPT [0:0]
:KUBE-FIREWALL - [0:0]
:KUBE-IPVS-FILTER - [0:0]
-A INPUT -m comment --comment "kubernetes ipvs access filter" -j KUBE-IPVS-FILTER
-A INPUT -j KUBE-FIREWALL
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:KUBE-NODE-PORT - [0:0]
:KUBE-POSTROUTING - [0:0]
:KUBE-SERVICES - [0:0]
-A PREROUTING -m comment --comment "a -j KUBE-NONE of somebody" -j ACCEPT
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A KUBE-SERVICES -m set --match-set KUBE-CLUSTER-IP dst,dst -j ACCEPT
-A KUBE-POSTROUTING -m set --match-set KUBE-LOOP-BACK dst,dst,src -j MASQUERADE
COMMIT
"""
_NOTHING = """\
*filter
:INPUT ACCEPT [0:0]
:KUBE-FIREWALL - [0:0]
-A INPUT -j KUBE-FIREWALL
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
-A PREROUTING -m comment --comment "a -j KUBE-NONE of somebody" -j ACCEPT
COMMIT
"""
_SETS = {
    "KUBE-CLUSTER-IP": "create KUBE-CLUSTER-IP hash:ip,port family inet\nadd KUBE-CLUSTER-IP 10.96.0.10,tcp:80\n",
    "KUBE-LOOP-BACK": "create KUBE-LOOP-BACK hash:ip,port,ip family inet\n",
    "KUBE-NODE-PORT-TCP": "create KUBE-NODE-PORT-TCP bitmap:port range 0-65535\nadd KUBE-NODE-PORT-TCP 30080\n",
}
_SERVERS = (
    ProxyEntry("tcp", CLUSTER_IP, 80, (ENDPOINT,), scheduler="rr"),
    ProxyEntry("tcp", NODE, 30080, (ENDPOINT,), scheduler="rr"),
)
_NFT = [
    {"table": {"family": "ip", "name": "kube-proxy"}},
    {
        "map": {
            "name": "service-ips",
            "elem": [[{"concat": [CLUSTER_IP, "tcp", 80]}, {"goto": {"target": "service-x"}}]],
        }
    },
    {"rule": {"chain": "service-x", "expr": [{"dnat": {"addr": "10.244.1.5", "port": 8080}}]}},
]


class FakeNode(FakeSystem):
    """A node whose kube-proxy runs by a unit, and takes its mode from the files at config."""

    def __init__(self, mode: str = IPTABLES, unit: str = "k3s.service", config: Sequence[str] = ()) -> None:
        super().__init__()
        self.loadable |= {*IPVS_MODULES, *NFT_MODULES, "ip_set"}
        self.sysctls["net.ipv4.ip_forward"] = "1"
        self.sysctls["kernel.hostname"] = "Node1"
        self.unit, self.config = unit, list(config)
        self.chains = _NOTHING
        self.families: list[str] = []
        self.sets: list[str] = []
        self.servers: list[ProxyEntry] = []
        self.bound: list[str] | None = None  # without kube-ipvs0
        self.own = [NODE]
        self.broken: set[str] = set()  # modes in which it does not come up
        self.never_ready: set[str] = set()  # modes in which it answers, and is not healthy
        self.stubborn: set[str] = set()  # programs that fail
        self.answers: dict[str, tuple[int, str]] = {}
        self.said = ""  # in the journal
        self.starts = 0
        self.ran: list[list[str]] = []
        self.met: list[str] = []  # endpoints of connections to come, in turn; empty: refused
        self.tracked = True
        self.hidden: set[str] = set()  # files that this host does not show
        self.slow = 0.0  # seconds until a restart takes effect
        self.due = 0.0
        self.programs = 0.0  # seconds that it takes to program the kernel, once it has started
        self.programmed = 0.0
        self.held = 0  # how often a set is still held when it is to go
        self.held_servers = 0  # how many virtual servers the kernel does not delete when it is asked at first
        self.unsaved = False  # ipset lists its sets, and saves none
        self.refused_by_netlink = False
        self.time = 0.0
        for name in _PROGRAMS:
            self.put("/usr/sbin/" + name)
        self.start(mode)

    @property
    def clock_of_waits(self) -> Clock:
        def sleep(seconds: float) -> None:
            self.time += seconds
            if self.due and self.time >= self.due:
                self.due = 0.0
                self.start()

        return Clock(sleep, lambda: self.time)

    # kube-proxy

    def start(self, mode: str = "") -> None:
        """Start it anew in the mode that its files say."""
        self.starts += 1
        self.programmed = self.time + self.programs
        mode = mode or self._configured()
        if self.unit:
            self.put(ACTIVE % self.unit, kind="symlink", target="start-%d" % self.starts)
        self.answers = {}
        if mode in self.broken:
            self.files.pop(ACTIVE % self.unit, None)
            return
        self._make(mode)
        self.answers[METRICS] = (200, mode)
        self.answers[HEALTHZ] = (503, "") if mode in self.never_ready else (200, "")

    def _configured(self) -> str:
        found = [match for path in self.config for match in _MODE.findall(self.read(path) or "")]
        return found[-1] if found else IPTABLES

    def _make(self, mode: str) -> None:
        if mode == NFTABLES:
            # It purges what the others have left, but for what the kubelet knows too.
            self.chains = _NOTHING
            self.families, self.sets, self.servers, self.bound = ["ip"], [], [], None
            return
        self.families = []
        self.chains = _merged(self.chains, _OF_IPTABLES if mode == IPTABLES else _OF_IPVS)
        if mode == IPVS:
            self.sets, self.servers, self.bound = list(_SETS), list(_SERVERS), [CLUSTER_IP]
            self.loaded |= {"ip_set", *IPVS_MODULES}

    # System

    def read(self, path: str) -> str | None:
        if path in self.hidden:
            return None
        if path == "/proc/net/ip_vs":
            return _ipvs_text(self.servers) if "ip_vs" in self.loaded else None
        return super().read(path)

    def http_get(self, place: str, path: str, seconds: float) -> tuple[int, str]:
        assert path in {METRICS: ("/proxyMode", "/metrics"), HEALTHZ: ("/healthz",)}[place]
        assert 0 < seconds < 10
        if path == "/metrics" and place in self.answers:
            return 200, self._metrics()
        return self.answers.get(place, (0, "connection refused"))

    def _metrics(self) -> str:
        """As of kube-proxy 1.36: what it has not done yet has no line."""
        name = 'kubeproxy_sync_proxy_rules_last_%stimestamp_seconds{ip_family="%s"} 1.7959051e+09\n'
        lines = ["# TYPE kubeproxy_sync_proxy_rules_last_timestamp_seconds gauge\n"]
        lines += [name % ("queued_", family) for family in ("IPv4", "IPv6")]
        # IPv6 comes last.
        lines += [name % ("", "IPv4")] if self.time >= self.programmed - 1.0 else []
        lines += [name % ("", "IPv6")] if self.time >= self.programmed else []
        return "".join(lines)

    def connect(self, address: str, port: int, seconds: float) -> tuple[str, str, int]:
        assert 0 < seconds < 10
        end = self.met.pop(0) if self.met else ""
        self.met += [end] if end else []
        if not end or end == "refused":
            return "connection refused", "", 0
        self.sockets[_conntrack.request(NODE, 40000, address, port)] = [tracked(end) if self.tracked else b""]
        return "", NODE, 40000

    def netlink(self, protocol: int, request: bytes) -> bytes:
        if protocol == _conntrack.PROTOCOL:
            return self.sockets[request][0]
        if self.refused_by_netlink:
            return REFUSED
        ((kind, body),) = _netlink.messages(request)
        if kind == 16:
            return _netlink.message(16, b"\1\2\0\0" + _netlink.attribute(1, struct.pack("=H", _FAMILY)))
        assert kind == _FAMILY
        if body[0] == 13:
            values = zip(_ipvs.TIMEOUTS.values(), (900, 120, 300))
            told = b"".join(_netlink.attribute(number, struct.pack("=I", value)) for number, value in values)
            return _netlink.message(kind, b"\14\1\0\0" + told)
        gone = [each for each in self.servers if _ipvs.delete_request(_FAMILY, each) == request]
        assert self.lock_held
        if gone and self.held_servers:
            self.held_servers -= 1
            return struct.pack("=IHHIIi", 20, 2, 0, 1, 0, -16)
        self.servers = [each for each in self.servers if each not in gone]
        return struct.pack("=IHHIIi", 20, 2, 0, 1, 0, 0 if gone else -3)

    def netlink_dump(self, protocol: int, request: bytes) -> list[bytes]:
        if protocol != _netlink.GENERIC:
            return super().netlink_dump(protocol, request)
        if self.refused_by_netlink:
            return [REFUSED]
        ((kind, body),) = _netlink.messages(request)
        # NLM_F_REQUEST and NLM_F_DUMP; IPVS_CMD_GET_SERVICE.
        assert (kind, struct.unpack_from("=H", request, 6)[0], body[0]) == (_FAMILY, 0x301, 4)
        servers = [virtual_server(each) for each in self.servers]
        # One by a firewall mark has no address.
        mark = _netlink.nested(1, _netlink.attribute(1, b"\2\0"), _netlink.attribute(5, b"\1\0\0\0"))
        servers.insert(1, _netlink.message(_FAMILY, b"\1\1\0\0" + mark))
        return [b"".join(servers[:2]), b"".join(servers[2:]), _netlink.message(3, bytes(4))]

    def run(self, argv: Sequence[str], stdin: str = "") -> tuple[int, str, str]:
        line = [posixpath.basename(argv[0]), *argv[1:]]
        self.ran.append(line)
        if line[0] in self.stubborn or (self.unsaved and line[:2] == ["ipset", "save"]):
            return 1, "", "it does not want to"
        shown = self._shown(line)
        if shown is not None:
            return 0, shown, ""
        if line[0] == "modprobe":
            return super().run(line, stdin)
        assert self.lock_held, "changed the host without the lock: %s" % line
        try:
            return self._changed(line, stdin)
        except OSError as error:
            return 1, "", error.strerror or str(error)

    def _shown(self, line: list[str]) -> str | None:
        if line[0] == "iptables-nft-save":
            return self.chains
        if line[0] == "iptables-legacy-save":
            return ""
        if line[:4] == ["nft", "-j", "list", "tables"]:
            tables = [{"table": {"family": each, "name": "kube-proxy"}} for each in self.families]
            return json.dumps({"nftables": tables})
        if line[:4] == ["nft", "-j", "list", "table"]:
            return json.dumps({"nftables": _NFT})
        if line[0] == "ipset" and line[1] in ("list", "save"):
            return _SETS[line[2]] if line[1] == "save" else "".join(name + "\n" for name in self.sets)
        if line == ["ip", "-j", "address", "show"]:
            own = {"lo": ["127.0.0.1"], "eth0": self.own, **({} if self.bound is None else {"kube-ipvs0": self.bound})}
            return json.dumps([_interface(name, addresses) for name, addresses in own.items()])
        if line[0] == "systemctl":
            return self._shown_of_unit(line[1:])
        if line[0] == "journalctl":
            return self.said
        if line[-1] == "--version":
            return _SAYS.get(line[0], "")
        return None

    def _shown_of_unit(self, words: list[str]) -> str | None:
        if words[0] == "cat":
            paths = ["/etc/systemd/system/%s" % self.unit, *self.config]
            return "".join("# %s\n%s\n" % (path, self.read(path)) for path in paths if self.read(path))
        if words[:2] == ["show", "--property=ControlGroup"]:
            return "ControlGroup=%s\n" % ("/system.slice/" + words[2] if ACTIVE % words[2] in self.files else "")
        return None

    def _changed(self, line: list[str], stdin: str) -> tuple[int, str, str]:
        effects: dict[str, Callable[[], str]] = {
            "systemctl": lambda: self._told(line),
            "nmcli": lambda: "",
            "iptables-nft-restore": lambda: self._restored(stdin),
            "ipset": lambda: self._destroyed(line[2]),
            "ip": self._unlinked,
            "nft": lambda: self._forgotten(line[3]),
        }
        if line[0] not in ("systemctl", "nmcli"):
            assert self.time >= self.programmed, "rules taken away before there were others: %s" % line
        error = effects[line[0]]()
        return (1, "", error) if error else (0, "", "")

    def _told(self, line: list[str]) -> str:
        if line[1:] == ["--no-block", "restart", self.unit]:
            self._step("restart", self._restart)
        elif line[1] == "daemon-reload":
            self.reloads += 1
        return ""

    def _restart(self) -> None:
        if self.slow:
            self.due = self.time + self.slow
        else:
            self.start()

    def _forgotten(self, family: str) -> str:
        self.families.remove(family)
        return ""

    def _unlinked(self) -> str:
        self.bound = None
        return ""

    def _destroyed(self, name: str) -> str:
        self.held -= 1
        if self.held >= 0 or "--match-set %s " % name in self.chains:
            return "Set cannot be destroyed: it is in use by a kernel component"
        self.sets.remove(name)
        return ""

    def _restored(self, script: str) -> str:
        self.chains = restored(self.chains, script)
        return ""


def restored(text: str, script: str) -> str:
    """The rules once iptables-restore --noflush has been told a script; AssertionError where it would refuse it."""
    tables = _parsed(text)
    table: dict[str, Any] = {}
    for line in script.splitlines():
        if line.startswith("*"):
            table = tables[line[1:]]
        elif line.startswith(":"):
            name = line[1:].split()[0]
            assert name in table["chains"], line
            table["rules"] = [rule for rule in table["rules"] if rule.split()[1] != name]
        elif line.startswith("-D "):
            table["rules"].remove("-A" + line[2:])
        elif line.startswith("-X "):
            name = line[3:]
            assert not [rule for rule in table["rules"] if rule.endswith("-j " + name) or rule.split()[1] == name], line
            del table["chains"][name]
    return _printed(tables)


def _parsed(text: str) -> dict[str, dict[str, Any]]:
    tables: dict[str, dict[str, Any]] = {}
    table: dict[str, Any] = {}
    for line in text.splitlines():
        if line.startswith("*"):
            table = tables.setdefault(line[1:], {"chains": {}, "rules": []})
        elif line.startswith(":"):
            table["chains"][line[1:].split()[0]] = line
        elif line.startswith("-A "):
            table["rules"].append(line)
    return tables


def _printed(tables: dict[str, dict[str, Any]]) -> str:
    lines: list[str] = []
    for name, table in tables.items():
        lines += ["*" + name, *table["chains"].values(), *table["rules"], "COMMIT"]
    return "".join(line + "\n" for line in lines)


def _merged(before: str, made: str) -> str:
    """What is there once a mode has made its chains anew; others stay as they were."""
    tables, new = _parsed(before), _parsed(made)
    for name, table in new.items():
        old = tables.setdefault(name, {"chains": {}, "rules": []})
        own = {chain for chain in table["chains"] if chain.startswith("KUBE-") and chain != "KUBE-FIREWALL"}
        kept = [rule for rule in old["rules"] if rule.split()[1] not in own and rule not in table["rules"]]
        old["chains"].update(table["chains"])
        old["rules"] = kept + table["rules"]
    return _printed(tables)


def _interface(name: str, addresses: Sequence[str]) -> dict[str, Any]:
    return {"ifname": name, "addr_info": [{"local": each, "scope": "global"} for each in addresses]}


def _ipvs_text(servers: Sequence[ProxyEntry]) -> str:
    lines = ["IP Virtual Server version 1.2.1 (size=4096)", "Prot LocalAddress:Port Scheduler Flags"]
    for each in servers:
        # As ip_vs_info_seq_show: not in seconds.
        sticky = "persistent %d FFFFFFFF" % (each.affinity * _HZ) if each.affinity else ""
        place = _hexadecimal(each.address, each.port)
        lines.append("%s  %s %s %s" % (each.protocol.upper(), place, each.scheduler, sticky))
        for end in each.endpoints:
            address, _colon, port = end.rpartition(":")
            lines.append("  -> %s      Masq    1      0          0         " % _hexadecimal(address, int(port)))
    return "".join(line + "\n" for line in lines)


def _hexadecimal(address: str, port: int) -> str:
    return "%08X:%04X" % (int(ipaddress.ip_address(address)), port)


def virtual_server(entry: ProxyEntry) -> bytes:
    """One of the kernel's list of virtual servers, as ip_vs_genl_fill_service writes it."""
    address = ipaddress.ip_address(entry.address)
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    protocol = {"tcp": 6, "udp": 17, "sctp": 132}[entry.protocol]
    values = (
        (1, struct.pack("=H", family)),
        (2, struct.pack("=H", protocol)),
        (3, address.packed.ljust(16, b"\0")),
        (4, struct.pack(">H", entry.port)),
        (6, entry.scheduler.encode() + b"\0"),
        (7, struct.pack("=II", 3 if entry.affinity else 2, 0xFFFFFFFF)),
        (8, struct.pack("=I", entry.affinity)),
        (9, b"\xff\xff\xff\xff"),
    )
    told = _netlink.nested(1, *(_netlink.attribute(kind, value) for kind, value in values))
    return _netlink.message(_FAMILY, b"\1\1\0\0" + told)


def tracked(end: str) -> bytes:
    """The kernel's answer of a connection that was taken to an endpoint."""
    address, _colon, port = end.rpartition(":")
    packed = ipaddress.ip_address(address.strip("[]")).packed
    kind = 1 if len(packed) == 4 else 3
    reply = _netlink.nested(
        2,
        _netlink.nested(1, _netlink.attribute(kind, packed), _netlink.attribute(kind + 1, packed)),
        _netlink.nested(2, _netlink.attribute(1, b"\6"), _netlink.attribute(2, struct.pack(">H", int(port)))),
    )
    return _netlink.message(1 << 8, b"\2\0\0\0" + reply)
