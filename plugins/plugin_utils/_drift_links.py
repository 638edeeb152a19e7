# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the WireGuard links of a host are declared, run and will be at the next boot: what differs, as findings.

Runs on the controller alone, and is loaded only where the inventory declares links. Whatever the playbook links would
change or refuse is a finding here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Dict, List, Optional, Set, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils import _rules as rules
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError, Problem
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Baseline, Change, FileState, Finding, Observed
from ansible_collections.netfleet.tcp.plugins.module_utils._plan import BEFORE, desired_state, make_plan, same_file
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_files import (
    KEY_DIRECTORY,
    KEY_PATH,
    NETWORKD,
    WG_QUICK,
    preshared_path,
    tunnel_paths,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_model import (
    NO_HANDSHAKE,
    REJECT_AFTER,
    Tunnel,
    TunnelPeer,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_plan import SUBJECT, describe_tunnel, tunnel_changes
from ansible_collections.netfleet.tcp.plugins.plugin_utils._drift_routing import ROUTING_FILES, routing_findings
from ansible_collections.netfleet.tcp.plugins.plugin_utils._drift_things import AS_ROOT, file_difference
from ansible_collections.netfleet.tcp.plugins.plugin_utils._findings import merged
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_boot import at_boot
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_desired import (
    AUTO,
    ROLE_DECLARATION,
    DesiredLinks,
    Keys,
    desired_links,
    recorded_keys,
    watched,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_model import literal
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_once import HostLinks, links_once
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_run import SETTINGS, checked, link_settings

LINKS = "run the playbook links"
# Of the whole fleet; by the names of the role's variables without their prefix.
DECLARED = ("sites", "peers", "topologies")
NAMES = (*DECLARED, *SETTINGS)


@dataclass(frozen=True)
class LinksCheck:
    """What is declared of a host's links. settings: as checked gives them. faults: of the declaration itself."""

    host: str
    links: HostLinks = field(default_factory=HostLinks)
    settings: Mapping[str, Any] = field(default_factory=dict)
    faults: Tuple[Finding, ...] = ()

    def request(self, own: Mapping[str, Any]) -> Dict[str, Any]:
        """The arguments of tcp_facts: those of the check of TCP, and what is to be looked at for the links."""
        interfaces = self.links.interfaces
        peers = [peer for interface in interfaces for peer in interface.peers]
        names = {peer.endpoint for peer in peers if peer.endpoint and literal(peer.endpoint) is None}
        return {
            **own,
            "files": [*own["files"], *self._paths()],
            "sessions": self.links.routing is not None,
            "tunnels": bool(interfaces),
            "tunnels_of": ROLE_DECLARATION,
            "resolve": sorted(names),
        }

    def _paths(self) -> List[str]:
        interfaces = self.links.interfaces
        shared = [preshared_path(interface.name, peer.node) for interface in interfaces for peer in interface.peers]
        of_routing = ROUTING_FILES if self.links.routing else ()
        return [*watched({interface.name for interface in interfaces}), *shared, *of_routing]

    def count(self) -> int:
        """How many links are compared: the peers of the host."""
        return sum(len(interface.peers) for interface in self.links.interfaces)

    def split(self, observed: Observed) -> Tuple[Observed, Observed]:
        """What was observed, without that of the links, and with nothing but that of the links."""
        paths = {*self._paths(), *observed.tunnel_baseline.files}
        paths |= set(watched(set(observed.tunnel_baseline.tunnels)))
        files = {path: state for path, state in observed.files.items() if path in paths}
        others = {path: state for path, state in observed.files.items() if path not in paths}
        tunnels = replace(observed, files=files, keys={}, modules={}, baseline=observed.tunnel_baseline)
        return replace(observed, files=others, tunnel_baseline=Baseline()), tunnels

    def findings(self, observed: Observed, answer: Optional[Mapping[str, Any]] = None) -> Tuple[Finding, ...]:
        """Every finding. observed: the second of what split gives. answer: of tcp_facts, with what it says beside."""
        if self.faults or not (self.links.interfaces or observed.baseline.tunnels):
            return self.faults
        if not observed.root:
            text = "WireGuard shows what it is doing to root alone"
            return (Finding(SUBJECT, "links", "note", text, rule=rules.FILE_UNJUDGED, cure=AS_ROOT),)
        if observed.tunnel_limit:
            cure = "install wireguard-tools"
            limit = Finding(SUBJECT, "links", "error", observed.tunnel_limit, rule=rules.UNSUPPORTED, cure=cure)
            return (limit,)
        routed = self.links.routing
        routes = routing_findings(routed, observed.files, answer or {}) if routed else ()
        # FRR's file is ours, and not of the links, which would remove it.
        files = {path: state for path, state in observed.files.items() if path not in ROUTING_FILES}
        return merged([*_Comparison(self, replace(observed, files=files)).findings(), *routes])


def links_check(
    host: str, given: Mapping[str, Any], task_vars: Mapping[str, Any], directory: str, task: str
) -> LinksCheck:
    """The check of a host. given: the role's variables by NAMES, as far as there are any. See links_once."""
    try:
        settings = checked({name: given[name] for name in SETTINGS if name in given})
        declaration = {name: given.get(name) or ([] if name == "topologies" else {}) for name in DECLARED}
        links = links_once(host, declaration, task_vars, directory, task)
    except InputError as error:
        return LinksCheck(host, faults=merged(map(_fault, error.problems)))
    return LinksCheck(host, HostLinks() if settings["state"] == "absent" else links, settings)


def _fault(problem: Problem) -> Finding:
    key = problem.path or "wireguard_links"
    return Finding(SUBJECT, key, "error", problem.problem, cure=problem.cure, rule=rules.DECLARATION)


class _Comparison:
    """What is declared, runs and will run, of the interfaces of a host."""

    def __init__(self, check: LinksCheck, observed: Observed) -> None:
        self._check = check
        self._observed = observed
        backend = str(check.settings["backend"])
        self._backend = (NETWORKD if observed.networkd else WG_QUICK) if backend == AUTO else backend
        self._links = self._desired()
        self._wanted = {tunnel.name: tunnel for tunnel in self._links.desired.tunnels}
        self._plan = make_plan(self._links.desired, observed)

    def _desired(self) -> DesiredLinks:
        interfaces = self._check.links.interfaces
        keys = {**self._by_address(), **self._recorded(), **self._check.settings["keys"]}
        settings = link_settings(self._check.settings)
        nodes = {peer.node for interface in interfaces for peer in interface.peers}
        return desired_links(self._check.host, interfaces, self._observed, Keys(keys, together=nodes), settings)

    def _recorded(self) -> Dict[str, str]:
        found: Dict[str, str] = {}
        for interface in self._check.links.interfaces:
            found.update(recorded_keys(interface.name, self._observed))
        return found

    def _by_address(self) -> Dict[str, str]:
        """The keys of peers by their own address in the tunnel, which nobody else has: where no file tells them."""
        found: Dict[str, str] = {}
        for interface in self._check.links.interfaces:
            live = self._observed.tunnels.get(interface.name, Tunnel(""))
            for peer in interface.peers:
                holders = [there.public_key for there in live.peers if set(peer.allowed[:1]) & set(there.allowed)]
                found.update({peer.node: holders[0]} if holders else {})
        return found

    def findings(self) -> Iterator[Finding]:
        if self._wanted and not self._observed.tunnel_key:
            text = "the host's private key is missing, or its file is open to others"
            yield Finding(SUBJECT, KEY_PATH, "error", text, takes_effect="now", cure=LINKS, rule=rules.TUNNEL_BOOT)
        for finding in (*self._links.findings, *self._plan.findings):
            yield replace(finding, rule=rules.TUNNEL_CONFLICT, subject=SUBJECT)
        explained: Set[str] = set()
        for name, tunnel in self._wanted.items():
            boots = self._boot_changes(tunnel)
            explained |= self._own_paths(tunnel) if boots else set()
            yield from self._differences(name, boots)
            yield from self._silent(tunnel)
        yield from self._left()
        yield from self._files(explained)

    def _boot_changes(self, tunnel: Tunnel) -> Dict[str, Change]:
        boot = at_boot(tunnel.name, self._backend, self._observed)
        return {change.key: change for change in tunnel_changes(tunnel, boot, settled=False)}

    @staticmethod
    def _own_paths(tunnel: Tunnel) -> Set[str]:
        return {*tunnel_paths(tunnel.name), *(preshared_path(tunnel.name, peer.name) for peer in tunnel.peers)}

    def _differences(self, name: str, boots: Mapping[str, Change]) -> Iterator[Finding]:
        runs = {self._called(change.key): change for change in self._plan.changes if _is_of(change, name)}
        uncertain = any(entry.rule == "" and entry.severity == "error" for entry in self._links.findings)
        for key in dict.fromkeys([*runs, *boots]):
            live, boot = runs.get(key), boots.get(key)
            entry = live or boot
            if entry is None or (key == "%s key" % name and not self._observed.tunnel_key):
                continue
            if uncertain and entry.want == "absent":
                # It may be the one whose key nobody knows, which has been said.
                continue
            yield Finding(
                subject=SUBJECT,
                key=key,
                severity="error",
                reason=self._reason(name, live, boot, name in boots),
                intended=entry.want,
                running=live.running if live else entry.want,
                boot=(boot.running if boot else boots[name].running if name in boots else entry.want),
                source=self._source(name) if boot or name in boots else "",
                takes_effect="now" if live else "reboot",
                cure=LINKS,
                rule=rules.TUNNEL_RUNNING if live else rules.TUNNEL_BOOT,
            )

    def _called(self, key: str) -> str:
        """The key of a change, with the name of a peer in place of its public key where the host's files tell it."""
        name, _space, rest = key.partition(" ")
        for node, public in recorded_keys(name, self._observed).items():
            rest = rest.replace("peer %s" % public, "peer %s" % node)
        return "%s %s" % (name, rest) if rest else name

    def _reason(self, name: str, live: Optional[Change], boot: Optional[Change], gone: bool) -> str:
        if not live:
            return "it runs as declared, and the files of the next boot say otherwise"
        if live.key == name and live.running == "absent":
            return "there is no such interface"
        if gone:
            return "it is not as declared, and no file brings the interface up at the next boot"
        if boot and boot.running == live.running:
            return "it was never made so, or the declaration has changed since the playbook links ran"
        return "changed while it runs"

    def _source(self, name: str) -> str:
        wanted = {entry.path: desired_state(entry) for entry in self._links.desired.files}
        differ = [
            path
            for path in tunnel_paths(name)
            if path in wanted and not same_file(self._observed.files.get(path, FileState(path)), wanted[path])
        ]
        return differ[0] if differ else ""

    def _silent(self, tunnel: Tunnel) -> Iterator[Finding]:
        live = self._observed.tunnels.get(tunnel.name)
        if live is None or not live.up:
            return
        kept = self._check.links.kept.get(tunnel.name, ())
        for peer in tunnel.peers:
            there = live.by_key.get(peer.public_key)
            if there is not None:
                yield from _of_peer(tunnel.name, peer, there, peer.name in kept)

    def _left(self) -> Iterator[Finding]:
        """Interfaces that are declared no longer."""
        for name in sorted(set(self._observed.baseline.tunnels) - set(self._wanted)):
            if any(_is_of(change, name) for change in self._plan.changes):
                yield Finding(
                    subject=SUBJECT,
                    key=name,
                    severity="warning",
                    reason="left by an earlier run; no longer declared",
                    intended=describe_tunnel(self._observed.baseline.tunnels[name]),
                    running=describe_tunnel(self._observed.tunnels.get(name)),
                    takes_effect="now",
                    cure=LINKS,
                    rule=rules.TUNNEL_RUNNING,
                )

    def _files(self, explained: Set[str]) -> Iterator[Finding]:
        wanted = {entry.path: desired_state(entry) for entry in self._links.desired.files}
        for change in self._plan.changes:
            path = change.key
            if change.subject != "file" or path in explained:
                continue
            target, present = wanted.get(path), self._observed.files.get(path, FileState(path))
            left = target is None or change.reason == BEFORE
            reason, line, ours, theirs = ("", 0, None, None) if target is None else file_difference(present, target)
            if path.startswith(KEY_DIRECTORY + "/"):
                # Whatever was written there may be a key.
                ours = theirs = None
            yield Finding(
                subject=SUBJECT,
                key=path,
                severity="warning",
                reason="left by an earlier run; no longer declared" if left else reason,
                intended=ours,
                boot=theirs,
                source="%s:%d" % (path, line) if line else path,
                takes_effect="reboot",
                cure=LINKS,
                rule=rules.FILE_CHANGED,
            )


def _is_of(change: Change, name: str) -> bool:
    return change.subject == SUBJECT and change.key.partition(" ")[0] == name


def _of_peer(name: str, peer: TunnelPeer, there: TunnelPeer, kept: bool) -> Iterator[Finding]:
    """What the counters of a peer say. kept: one of the two ends keeps the link alive."""
    key = "%s peer %s" % (name, peer.name)
    never = there.handshake == NO_HANDSHAKE
    unheard = there.sent > 0 and there.received == 0
    age = "no handshake yet" if never else "no handshake for %d s" % there.handshake
    at = there.endpoint or "an endpoint that is not known: it has never called"
    if kept and (never or there.handshake > REJECT_AFTER):
        text = "%s, though the link is kept alive; %d bytes were sent to %s" % (age, there.sent, at)
        cure = "see whether it is up, and whether UDP gets through both ways"
        yield Finding(SUBJECT, key, "error", text, cure=cure, rule=rules.TUNNEL_SILENT)
    elif unheard:
        text = "%d bytes were sent to %s, and none came back" % (there.sent, at)
        cure = "see whether UDP gets through both ways, and whether it knows this host's key"
        yield Finding(SUBJECT, key, "warning", text, cure=cure, rule=rules.TUNNEL_ONE_WAY)
    elif never:
        text = "no handshake yet: nothing was sent over the link since it is up"
        yield Finding(SUBJECT, key, "note", text, rule=rules.TUNNEL_SILENT)
