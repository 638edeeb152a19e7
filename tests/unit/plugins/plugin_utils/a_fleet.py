# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts in memory that are linked by the steps of the role, without Ansible: its seam is _execute_module."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest.mock import Mock

import pytest
from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

from ansible_collections.netfleet.tcp.plugins.action import wireguard_links
from ansible_collections.netfleet.tcp.plugins.module_utils import _hand_over
from ansible_collections.netfleet.tcp.plugins.module_utils._begin import Terms
from ansible_collections.netfleet.tcp.plugins.module_utils._confirmed import confirm, take_back
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import NetfleetError
from ansible_collections.netfleet.tcp.plugins.module_utils._exit import failure
from ansible_collections.netfleet.tcp.plugins.module_utils._frr_change import configure, deconfigure, frr_result
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Desired, from_wire, to_wire
from ansible_collections.netfleet.tcp.plugins.module_utils._observe import Request, load_vault, observe
from ansible_collections.netfleet.tcp.plugins.module_utils._result import outcome_result
from ansible_collections.netfleet.tcp.plugins.module_utils._system import System
from ansible_collections.netfleet.tcp.plugins.module_utils._transaction import apply
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_answers import Asked, answers
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_files import KEY_PATH
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_model import Tunnel
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnels import (
    keep_key,
    key_is_right,
    make_next_key,
    own_key,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils import _change_action
from tests.unit.plugins.a_router import ARouter
from tests.unit.plugins.plugin_utils.sample_links import HOSTS, MESH, SITES

NAME = "wg-wan"
ALL = ("gw1", "east", "west")
# By step, where the role leaves its result.
_REGISTERED = {
    "look": wireguard_links.LOOK,
    "route": wireguard_links.ROUTED,
    "make": wireguard_links.MADE,
    "switch": wireguard_links.SWITCHED,
    "check": wireguard_links.CHECKED,
}
# The same links with a daemon that routes.
ROUTED_MESH = {**MESH, "interface_per_peer": True, "failover": "bgp", "networks": ["10.99.0.0/24", "fd00:99::/64"]}


class EnoughError(Exception):
    """Ends a watch that would go on."""


class AFleet:
    """Hosts with keys of their own, and the links between them.

    lost: hosts that cannot be reached. broken: what the module of this name answers on a host.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ActionBase, "run", lambda *_arguments: {})
        monkeypatch.setattr(wireguard_links, "fresh", lambda _connection: None)
        monkeypatch.setattr(wireguard_links, "_PATIENCE", 0.0)
        monkeypatch.setattr(_change_action, "confirm", lambda _connection, execute, *_more, **_named: execute())
        self._monkeypatch = monkeypatch
        self.systems: dict[str, ARouter] = {name: ARouter() for name in ALL}
        for name, system in self.systems.items():
            system.put(KEY_PATH, "the key of %s\n" % name, 0o600)
            system.new_key = "the next key of %s" % name
        self.settings: dict[str, Any] = {"secret": "a long secret, as a vault keeps it"}
        self.lost: set[str] = set()
        self.broken: dict[tuple[str, str], dict[str, Any]] = {}
        self.topology = MESH
        self.check_mode = False
        self.executed: list[tuple[str, str]] = []
        self.variables: dict[str, dict[str, Any]] = {}
        self.gone: set[str] = set()
        self.begin()

    def begin(self, hosts: tuple[str, ...] = ALL) -> None:
        """Another run, for these."""
        own = {"endpoint": "wireguard_links_endpoint", "outer_mtu": "wireguard_links_outer_mtu"}
        self.variables = {name: {own[key]: value for key, value in HOSTS[name].items()} for name in ALL}
        self.hosts, self.batch, self.gone = hosts, hosts, set()
        self.plan: dict[str, Any] = {}
        self.asked: list[dict[str, Any]] = []
        self.verdict: dict[str, Any] = {}

    @property
    def present(self) -> list[str]:
        """Those of the batch who are still in the play."""
        return [name for name in self.batch if name not in self.gone]

    def step(self, host: str, step: str) -> dict[str, Any]:
        """What the action says of a step on a host; one that fails, or is lost, leaves the play."""
        return self._leave({host: self._step(host, step)})[host]

    def _leave(self, said: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        self.gone |= {host for host, answer in said.items() if answer.get("failed") or answer.get("unreachable")}
        return said

    def _step(self, host: str, step: str) -> dict[str, Any]:
        variables = self.variables[host]
        arguments = {
            "step": step,
            "settings": self.settings,
            "declaration": {"sites": SITES, "topologies": [self.topology], "peers": {}},
            "plan": self.plan,
            "look": variables.get(wireguard_links.LOOK, {}),
            "asked": self.asked,
            "routed": variables.get(wireguard_links.ROUTED, {}),
            "made": self._made(host) if step != "route" else variables.get(wireguard_links.MADE, {}),
            "verdict": self.verdict,
        }
        action: Any = object.__new__(wireguard_links.ActionModule)
        action._task = Mock(args=arguments, check_mode=self.check_mode, diff=False, _uuid="one run")
        action._connection = Mock()
        self._monkeypatch.setattr(action, "_execute_module", self._execute, raising=False)
        task_vars = {
            "inventory_hostname": host,
            "groups": {"all": list(ALL)},
            "hostvars": self.variables,
            "ansible_play_hosts_all": list(self.hosts),
            "ansible_play_hosts": [name for name in self.hosts if name not in self.gone],
            "ansible_play_batch": self.present,
        }
        try:
            answer: dict[str, Any] = action.run(None, task_vars)
        except AnsibleConnectionFailure as error:
            answer = {"unreachable": True, "msg": str(error)}
        if step in _REGISTERED:
            again = step == "route" and wireguard_links.MADE in variables
            variables[wireguard_links.UNROUTED if again else _REGISTERED[step]] = answer
        return answer

    def _made(self, host: str) -> dict[str, Any]:
        """As the role has it: what waits to be confirmed."""
        variables = self.variables[host]
        last: dict[str, Any] = variables.get(wireguard_links.UNROUTED, {})
        return last if "change" in last else variables.get(wireguard_links.MADE, {})

    def _routing(self, host: str) -> dict[str, Any]:
        found: dict[str, Any] = self.variables[host][wireguard_links.LOOK]["routing"]
        return found

    def each(self, step: str) -> dict[str, dict[str, Any]]:
        """A step on all hosts at once: none of them knows how the others fare."""
        return self._leave({host: self._step(host, step) for host in self.present})

    def look(self) -> None:
        """Up to what has to be known of all."""
        self.plan = self.step(self.present[0], "plan")
        self.each("look")
        self.asked = [{**self.step(name, "ask"), "item": name} for name in self.plan["outside"]]

    def make(self) -> dict[str, dict[str, Any]]:
        """Up to the change of the running kernel, and of FRR."""
        self.look()
        self._leave({host: self._step(host, "route") for host in self.present if self._routing(host)["wanted"]})
        made = self.each("make")
        ours = [host for host in self.present if self._routing(host)["ours"] and not self._routing(host)["wanted"]]
        self._leave({host: self._step(host, "route") for host in ours})
        return made

    def switch(self) -> None:
        """One host after another, and what each of them sets off at its peers."""
        for host in self.present:
            variables = self.variables[host]
            if "change" in variables[wireguard_links.MADE] and "next_key" in variables[wireguard_links.LOOK]:
                self.step(host, "switch")
            self.talk()

    def end(self) -> dict[str, dict[str, Any]]:
        """The rest of the run."""
        self.talk()
        self.each("check")
        self.verdict = self.step(self.present[0], "judge")
        return self.each("end")

    def run(self) -> dict[str, dict[str, Any]]:
        """The whole role."""
        self.begin(self.hosts)
        self.make()
        self.switch()
        return self.end()

    def talk(self) -> None:
        """Those hear of each other who know each other's keys; and whoever watches for that, acts."""
        keys = {tunnel.public_key for system in self.systems.values() for tunnel in system.tunnels.values()}
        for system in self.systems.values():
            system.answering = dict.fromkeys(keys, 148)
            for name, tunnel in system.tunnels.items():
                peers = tuple(
                    replace(peer, received=peer.received + 148, handshake=1) if peer.public_key in keys else peer
                    for peer in tunnel.peers
                )
                system.tunnels[name] = replace(tunnel, peers=peers)
            try:
                _hand_over.watch(system, sleep=_no_more)
            except EnoughError:
                continue

    def fall_silent(self) -> None:
        """Nobody has said anything for an hour."""
        for system in self.systems.values():
            for name, tunnel in system.tunnels.items():
                peers = tuple(replace(peer, handshake=3600) for peer in tunnel.peers)
                system.tunnels[name] = replace(tunnel, peers=peers)

    def tunnel(self, host: str) -> Tunnel:
        """The interface of a host."""
        return self.systems[host].tunnels[NAME]

    def knows(self, host: str, other: str) -> bool:
        """Whether a host would send to another what is for it."""
        peer = self.tunnel(host).by_key.get(self.tunnel(other).public_key)
        return peer is not None and peer.allowed != ()

    def consistent(self) -> bool:
        """Whether all know each other, now and after a boot."""
        files = {host: system.files for host, system in self.systems.items()}
        return all(
            self.knows(host, other)
            and any(self.tunnel(other).public_key in state.text for state in files[host].values())
            and own_key(self.systems[other]) == self.tunnel(other).public_key
            for host in ALL
            for other in ALL
            if host != other
        )

    def _execute(self, module_name: str, module_args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        host, name = str(task_vars["inventory_hostname"]), module_name.rpartition(".")[2]
        self.executed.append((host, name))
        if host in self.lost:
            raise AnsibleConnectionFailure("no route to %s" % host)
        if (host, name) in self.broken:
            return dict(self.broken[host, name])
        try:
            return {"invocation": {}, **_MODULES[name](self.systems[host], module_args, self.check_mode)}
        except NetfleetError as error:
            return {"failed": True, **failure(error)}


def _no_more(_seconds: float) -> None:
    raise EnoughError


def _facts(system: System, given: dict[str, Any], _check_mode: bool) -> dict[str, Any]:
    request = Request(files=tuple(given.get("files", ())), tunnels=given["tunnels"])
    baseline, vault = load_vault(system, given["name"], {})
    return {"ansible_facts": {"netfleet_tcp": to_wire(observe(system, request, baseline, vault))}}


def _key(system: System, given: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    if given.get("switch"):
        answered = _hand_over.switch(system, given["switch"], given["wait"])
        return {"changed": True, "public_key": own_key(system), "answered": answered}
    if given.get("next"):
        return {"changed": True, "public_key": "" if check_mode else make_next_key(system)}
    return {"changed": not key_is_right(system), "public_key": own_key(system) if check_mode else keep_key(system)}


def _apply(system: System, given: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    assert not check_mode
    desired = from_wire(Desired, given["desired"])
    terms = Terms(given["window"], given["author"], given["run"], given["amends"])
    return outcome_result(desired, apply(system, desired, given["secrets"], terms), False)


def _frr(system: System, given: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    terms = Terms(given["window"], given["author"], given["run"], given.get("amends", ""))
    if given.get("state") == "absent":
        return frr_result(deconfigure(system, check_mode, terms))
    return frr_result(configure(system, given["text"], given["replace"], check_mode, terms))


def _info(system: System, given: dict[str, Any], _check_mode: bool) -> dict[str, Any]:
    asked = [Asked(entry["interface"], entry["public_key"], entry["address"]) for entry in given["ask"]]
    return {"changed": False, "answered": answers(system, asked, given["wait"])}


def _confirm(system: System, given: dict[str, Any], _check_mode: bool) -> dict[str, Any]:
    if given["keep"]:
        ended, warnings = confirm(system, given["change"])
        return {"changed": True, "change": to_wire(ended.summary), "warnings": warnings}
    return {"changed": True, "change": to_wire(take_back(system, given["change"], given["why"]).summary)}


_MODULES: dict[str, Callable[[Any, dict[str, Any], bool], dict[str, Any]]] = {
    "tcp_facts": _facts,
    "wireguard_key": _key,
    "tcp_apply": _apply,
    "frr_config": _frr,
    "wireguard_info": _info,
    "tcp_confirm": _confirm,
}
