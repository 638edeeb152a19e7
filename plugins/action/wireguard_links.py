# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""WireGuard links: worked out once for all hosts on the controller, brought about on each host."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Dict, List, Tuple

from ansible.errors import AnsibleError

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import input_error
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Observed, from_wire, to_wire
from ansible_collections.netfleet.tcp.plugins.module_utils._plan import make_plan, refusal
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_model import Tunnel, TunnelPeer
from ansible_collections.netfleet.tcp.plugins.plugin_utils._change_action import ChangeAction, Look
from ansible_collections.netfleet.tcp.plugins.plugin_utils._confirmation import fresh
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_analysis import analysed
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_declaration import OF_A_HOST, PREFIX
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_desired import (
    ROLE_DECLARATION,
    desired_links,
    watched,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_path import addresses_to_probe
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_run import checked, declared, digest, link_settings
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_topology import InterfaceWanted
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_verdict import dead, lived, not_kept

# Where the role leaves what a host was seen to be, what was changed, and which links live since.
LOOK = "__wireguard_links_look"
MADE = "__wireguard_links_made"
CHECKED = "__wireguard_links_checked"
# Seconds within which a peer answers: WireGuard tries a handshake each five, and has said something after ten.
_PATIENCE = 16.0


class ActionModule(ChangeAction):
    """plan once; look at every host; ask those outside of the play; make the change; check the links; end it."""

    verb = "links"

    def work(self, given: Dict[str, Any], task_vars: Dict[str, Any]) -> Dict[str, Any]:
        """One step."""
        steps = {
            "plan": self._plan,
            "look": self._look,
            "ask": self._ask,
            "make": self._make,
            "check": self._check,
            "end": self._end,
        }
        step = given.get("step")
        if step not in steps:
            raise input_error("step", "%r is none" % (step,), "one of: %s" % ", ".join(steps))
        return steps[step](given, task_vars)

    def _plan(self, given: Mapping[str, Any], task_vars: Dict[str, Any]) -> Dict[str, Any]:
        settings = checked(given.get("settings") or {})
        declaration = given.get("declaration") or {}
        wanted = analysed(declared(declaration, task_vars))
        # With `serial`, those of other batches are asked as those outside of the play are.
        here = set(task_vars["ansible_play_batch"])
        needed = {
            peer.node
            for host, found in wanted.items()
            if host in here
            for interface in found
            for peer in interface.peers
            if peer.managed
        }
        outside = sorted(needed - here - set(settings["keys"]))
        hosts = {host: [to_wire(interface) for interface in found] for host, found in wanted.items()}
        return {"changed": False, "hosts": hosts, "outside": outside, "digest": digest(declaration)}

    def _look(self, given: Mapping[str, Any], task_vars: Dict[str, Any]) -> Dict[str, Any]:
        settings = checked(given.get("settings") or {})
        if digest(given.get("declaration") or {}) != (given.get("plan") or {}).get("digest"):
            text = "are not the same for this host as for the one that the links were worked out for"
            cure = "they are of the whole fleet: give all hosts the same, in group_vars/all"
            raise input_error("wireguard_links_sites, _peers, _topologies", text, cure)
        wanted = _wanted(given, settings, task_vars)
        request = {
            "tunnels": True,
            "interfaces": False,
            "files": list(watched({interface.name for interface in wanted})),
            "resolve": sorted({peer.endpoint for interface in wanted for peer in interface.peers if peer.endpoint}),
            "name": ROLE_DECLARATION,
        }
        observed, _answer = self.observe(request, task_vars)
        if settings["probe_mtu"]:
            observed = self._probed(wanted, observed, task_vars)
        key, made = observed.tunnel_key, False
        if wanted and not key and not observed.tunnel_limit:
            answer = self._execute_module(module_name="netfleet.tcp.wireguard_key", module_args={}, task_vars=task_vars)
            if answer.get("failed"):
                return dict(answer)
            key, made = str(answer["public_key"]), bool(answer["changed"])
        return {"changed": made, "public_key": key, "observed": to_wire(observed)}

    def _probed(self, wanted: Tuple[InterfaceWanted, ...], observed: Observed, task_vars: Dict[str, Any]) -> Observed:
        """What was observed, with how large packets may be on the way to each peer; nothing of it where that fails."""
        addresses = addresses_to_probe(wanted, observed)
        if not addresses or observed.tunnel_limit:
            return observed
        request = {"probe": addresses, "probe_limit": _outer_mtu(task_vars)}
        answer: Dict[str, Any] = self._execute_module(
            module_name="netfleet.tcp.wireguard_info", module_args=request, task_vars=task_vars
        )
        return replace(observed, path_mtu=answer.get("path_mtu") or {})

    def _ask(self, _given: Mapping[str, Any], task_vars: Dict[str, Any]) -> Dict[str, Any]:
        """One task asks many hosts: none of them may make it fail."""
        request = {"tunnels": True, "interfaces": False, "name": ROLE_DECLARATION}
        try:
            answer: Dict[str, Any] = self._execute_module(
                module_name="netfleet.tcp.tcp_facts", module_args=request, task_vars=task_vars
            )
        except AnsibleError as error:
            return {"changed": False, "public_key": "", "lost": str(error)}
        facts = (answer.get("ansible_facts") or {}).get("netfleet_tcp") or {}
        return {"changed": False, "public_key": str(facts.get("tunnel_key", "")), "lost": str(answer.get("msg", ""))}

    def _make(self, given: Mapping[str, Any], task_vars: Dict[str, Any]) -> Dict[str, Any]:
        """Change the running kernel, where anything differs; `change`, in the result, waits to be confirmed."""
        settings = checked(given.get("settings") or {})
        seen = given.get("look") or {}
        if "observed" not in seen:
            raise input_error("look", "is no result of the step look", "use the role netfleet.tcp.wireguard_links")
        observed = from_wire(Observed, {**seen["observed"], "tunnel_key": seen["public_key"]})
        host = str(task_vars["inventory_hostname"])
        links = desired_links(
            host,
            _wanted(given, settings, task_vars),
            observed,
            _keys(given, settings, task_vars),
            link_settings(settings),
            together=set(task_vars["ansible_play_batch"]),
        )
        plan = make_plan(links.desired, observed)
        refused = refusal([*links.findings, *plan.findings])
        look = Look(None, observed, links.desired, plan, links.findings, refused, {})
        if not look.to_change or self._task.check_mode:
            return self.seen(look)
        window, asked_at = int(settings["confirm"]), time.time()
        answer = self.logged(
            settings["log"],
            task_vars,
            lambda: self.change(to_wire(links.desired), links.secrets, window, task_vars),
        )
        if "change" in answer:
            answer.update(asked_at=asked_at, wanted=[to_wire(tunnel) for tunnel in links.desired.tunnels])
        return self.told(look, answer)

    def _check(self, given: Mapping[str, Any], task_vars: Dict[str, Any]) -> Dict[str, Any]:
        """Which peers that answered before the change do not answer since."""
        made = given.get("made") or {}
        if "change" not in made:
            return {"changed": False, "skipped": True, "skip_reason": "nothing was changed"}
        before = from_wire(Observed, given["look"]["observed"]).tunnels
        want = [from_wire(Tunnel, entry) for entry in made["wanted"]]
        alive = lived(before)
        ask = [
            {"interface": tunnel.name, "public_key": peer.public_key, "address": _address(peer)}
            for tunnel in want
            for peer in tunnel.peers
            if peer.public_key in alive.get(tunnel.name, ()) and _address(peer)
        ]
        if not ask:
            return {"changed": False, "dead": []}
        fresh(self._connection)
        answer: Dict[str, Any] = self._execute_module(
            module_name="netfleet.tcp.wireguard_info", module_args={"ask": ask, "wait": _PATIENCE}, task_vars=task_vars
        )
        if answer.get("failed"):
            return {"changed": False, "dead": [], "warnings": ["its links could not be asked: %s" % answer.get("msg")]}
        return {"changed": False, "dead": dead(before, want, answer["answered"])}

    def _end(self, given: Mapping[str, Any], task_vars: Dict[str, Any]) -> Dict[str, Any]:
        """Make the change final over a new connection, or take it back where a link has died by it."""
        made = dict(given.get("made") or {})
        if "change" not in made:
            return {"changed": False, "skipped": True, "skip_reason": "nothing waits to be confirmed"}
        settings = checked(given.get("settings") or {})
        why = _why_not_kept(task_vars).get(str(task_vars["inventory_hostname"]), "")
        left = float(made["asked_at"]) + float(made["change"]["window"]) - time.time()
        answer = self.end(made, task_vars, why, max(0.0, left))
        self.log(settings["log"], task_vars, answer)
        # Shown and counted when it was made.
        answer.update(changed=False)
        return {key: value for key, value in answer.items() if key not in ("diff", "asked_at", "wanted")}


def _outer_mtu(task_vars: Mapping[str, Any]) -> int:
    """What the host says that gets through to it; checked with the plan."""
    own = task_vars["hostvars"][task_vars["inventory_hostname"]]
    return int(own.get(PREFIX + "outer_mtu", OF_A_HOST["outer_mtu"]["default"]))


def _address(peer: TunnelPeer) -> str:
    """The peer's own address in the tunnel."""
    return next((prefix.split("/")[0] for prefix in peer.allowed if prefix.endswith(("/32", "/128"))), "")


def _why_not_kept(task_vars: Mapping[str, Any]) -> Dict[str, str]:
    """Of all hosts that were changed in this run."""
    links: Dict[str, List[str]] = {}
    found: Dict[str, List[str]] = {}
    for host in task_vars["ansible_play_hosts_all"]:
        variables = task_vars["hostvars"][host]
        made = variables.get(MADE) or {}
        if "change" in made:
            links[host] = [peer["name"] for tunnel in made["wanted"] for peer in tunnel["peers"]]
            found[host] = list((variables.get(CHECKED) or {}).get("dead") or ())
    return not_kept(found, links)


def _wanted(
    given: Mapping[str, Any], settings: Mapping[str, Any], task_vars: Mapping[str, Any]
) -> Tuple[InterfaceWanted, ...]:
    """The interfaces that the host has to have, by the plan."""
    if settings["state"] == "absent":
        return ()
    hosts: Mapping[str, List[Any]] = (given.get("plan") or {}).get("hosts") or {}
    return tuple(from_wire(InterfaceWanted, entry) for entry in hosts.get(str(task_vars["inventory_hostname"]), ()))


def _keys(given: Mapping[str, Any], settings: Mapping[str, Any], task_vars: Mapping[str, Any]) -> Dict[str, str]:
    """The public keys of nodes: by the registry of the inventory, and by what the hosts themselves said in this run."""
    keys = dict(settings["keys"])
    for answer in given.get("asked") or ():
        keys.update({str(answer["item"]): answer["public_key"]} if answer.get("public_key") else {})
    for host in task_vars["ansible_play_hosts_all"]:
        key = (task_vars["hostvars"][host].get(LOOK) or {}).get("public_key")
        keys.update({host: str(key)} if key else {})
    return keys
