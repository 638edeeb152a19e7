# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""WireGuard links: worked out once for all hosts on the controller, brought about on each host."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Dict, List, Tuple

from ansible.errors import AnsibleError

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import input_error
from ansible_collections.netfleet.tcp.plugins.module_utils._frr import CONFIGURATION, DAEMONS_FILE
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Observed, from_wire, to_wire
from ansible_collections.netfleet.tcp.plugins.module_utils._plan import make_plan, refusal
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_model import Tunnel
from ansible_collections.netfleet.tcp.plugins.plugin_utils._change_action import ChangeAction, Look, LookError
from ansible_collections.netfleet.tcp.plugins.plugin_utils._confirmation import fresh
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_analysis import analysed
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_bgp import of_routes, routing, routing_seen
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_declaration import OF_A_HOST, PREFIX
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_desired import (
    ROLE_DECLARATION,
    Keys,
    desired_links,
    watched,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_run import (
    checked,
    declared,
    digest,
    link_settings,
    rotating,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_topology import InterfaceWanted
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_verdict import (
    dead,
    not_kept,
    silent,
    to_ask,
)

# Where the role leaves what a host was seen to be, what was changed, and which links live since.
LOOK = "__wireguard_links_look"
MADE = "__wireguard_links_made"
SWITCHED = "__wireguard_links_switched"
CHECKED = "__wireguard_links_checked"
# Seconds within which a peer answers: WireGuard tries a handshake each five, and has said something after ten.
_PATIENCE = 16.0


class ActionModule(ChangeAction):
    """plan once; look at every host; ask those outside of the play; make the change; check the links; end it.

    Where keys change, each host switches to its own between make and check, once its peers have learnt it.
    """

    verb = "links"

    def work(self, given: Dict[str, Any], task_vars: Dict[str, Any]) -> Dict[str, Any]:
        """One step."""
        steps = {
            "plan": self._plan,
            "look": self._look,
            "ask": self._ask,
            "make": self._make,
            "switch": self._switch,
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
        links = declared(declaration, task_vars)
        wanted = analysed(links)
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
        routed = {host: to_wire(found) for host, found in routing(links).items()}
        return {
            "changed": False,
            "hosts": hosts,
            "routing": routed,
            "outside": outside,
            "digest": digest(declaration),
        }

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
            "files": [*watched({interface.name for interface in wanted}), CONFIGURATION, DAEMONS_FILE],
            "resolve": sorted({peer.endpoint for interface in wanted for peer in interface.peers if peer.endpoint}),
            "name": ROLE_DECLARATION,
        }
        if settings["probe_mtu"]:
            request.update(probe=request["resolve"], probe_limit=_outer_mtu(task_vars))
        routed = _routing(given, settings, task_vars)
        refused = refusal(list(of_routes(settings))) if routed else None
        if refused:
            raise refused
        observed, _answer = self.observe(request, task_vars)
        seen = routing_seen(routed, observed.files, observed.tunnels)
        key, made = observed.tunnel_key, False
        if wanted and not key and not observed.tunnel_limit:
            answer = self._key({}, task_vars)
            key, made = str(answer["public_key"]), bool(answer["changed"])
        answer = {"public_key": key, "observed": to_wire(observed), "routing": seen}
        rotates = rotating(settings, str(task_vars["inventory_hostname"]), task_vars["groups"])
        if wanted and rotates and observed.tunnel_key:
            following = str(self._key({"next": True}, task_vars)["public_key"])
            # In check mode there is none yet: that there will be is the change.
            answer.update({"next_key": following} if following else {})
            made = True
        return {"changed": made, **answer}

    def _key(self, arguments: Dict[str, Any], task_vars: Dict[str, Any]) -> Dict[str, Any]:
        """What wireguard_key answers; LookError where it fails."""
        answer: Dict[str, Any] = self._execute_module(
            module_name="netfleet.tcp.wireguard_key", module_args=arguments, task_vars=task_vars
        )
        answer.pop("invocation", None)
        if answer.get("failed"):
            raise LookError(answer)
        return answer

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

    def _switch(self, given: Mapping[str, Any], task_vars: Dict[str, Any]) -> Dict[str, Any]:
        """Have the host use its new key, if all of its peers have learnt it; held: who has not."""
        made = given.get("made") or {}
        want = [from_wire(Tunnel, entry) for entry in made.get("wanted") or ()]
        if not any(tunnel.former for tunnel in want):
            return {"changed": False, "skipped": True, "skip_reason": "its key stays the same"}
        peers = {peer.name for tunnel in want for peer in tunnel.peers}
        held = sorted(peers - set(_changed_hosts(task_vars)))
        if held:
            return {"changed": False, "held": held}
        fresh(self._connection)
        try:
            return self._key({"switch": made["change"]["id"], "wait": _PATIENCE}, task_vars)
        except LookError as error:
            # It is taken back, and so is what its peers have made: by the step that ends it.
            return {"changed": False, "failed_to_switch": str(error.answer.get("msg", ""))}

    def _check(self, given: Mapping[str, Any], task_vars: Dict[str, Any]) -> Dict[str, Any]:
        """Which peers that answered before the change do not answer since."""
        made = given.get("made") or {}
        if "change" not in made:
            return {"changed": False, "skipped": True, "skip_reason": "nothing was changed"}
        before = from_wire(Observed, given["look"]["observed"]).tunnels
        want = [from_wire(Tunnel, entry) for entry in made["wanted"]]
        ask = [
            {"interface": tunnel.name, "public_key": peer.public_key, "address": peer.address}
            for tunnel, peer in to_ask(before, want)
            if peer.address
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
        settings = checked(given.get("settings") or {})
        hosts = _changed_hosts(task_vars)
        links = {
            host: [peer["name"] for tunnel in variables[MADE]["wanted"] for peer in tunnel["peers"]]
            for host, variables in hosts.items()
        }
        why = not_kept({host: _reason(variables) for host, variables in hosts.items()}, links)
        return self.end_of(made, task_vars, why.get(str(task_vars["inventory_hostname"]), ""), settings["log"])


def _changed_hosts(task_vars: Mapping[str, Any]) -> Dict[str, Mapping[str, Any]]:
    """The variables of each host whose change of this run waits to be confirmed."""
    found = {host: task_vars["hostvars"][host] for host in task_vars["ansible_play_hosts_all"]}
    return {host: variables for host, variables in found.items() if "change" in (variables.get(MADE) or {})}


def _outer_mtu(task_vars: Mapping[str, Any]) -> int:
    """What the host says that gets through to it; checked with the plan."""
    own = task_vars["hostvars"][task_vars["inventory_hostname"]]
    return int(own.get(PREFIX + "outer_mtu", OF_A_HOST["outer_mtu"]["default"]))


def _reason(variables: Mapping[str, Any]) -> str:
    """Why a host takes its change back by itself; empty where it does not."""
    switched = variables.get(SWITCHED) or {}
    if switched.get("failed_to_switch"):
        return "it could not switch to its new key: %s" % switched["failed_to_switch"]
    if switched.get("held"):
        return "%s did not learn the new key" % ", ".join(switched["held"])
    return silent((variables.get(CHECKED) or {}).get("dead") or ())


def _wanted(
    given: Mapping[str, Any], settings: Mapping[str, Any], task_vars: Mapping[str, Any]
) -> Tuple[InterfaceWanted, ...]:
    """The interfaces that the host has to have, by the plan."""
    if settings["state"] == "absent":
        return ()
    hosts: Mapping[str, List[Any]] = (given.get("plan") or {}).get("hosts") or {}
    return tuple(from_wire(InterfaceWanted, entry) for entry in hosts.get(str(task_vars["inventory_hostname"]), ()))


def _routing(given: Mapping[str, Any], settings: Mapping[str, Any], task_vars: Mapping[str, Any]) -> Dict[str, Any]:
    """What the routing daemon of the host has to have, by the plan; empty where it needs none."""
    if settings["state"] == "absent":
        return {}
    routed: Mapping[str, Any] = (given.get("plan") or {}).get("routing") or {}
    return dict(routed.get(str(task_vars["inventory_hostname"])) or {})


def _keys(given: Mapping[str, Any], settings: Mapping[str, Any], task_vars: Mapping[str, Any]) -> Keys:
    """The public keys of nodes: by the registry of the inventory, and by what the hosts themselves said in this run."""
    former: Dict[str, str] = {}
    keys = dict(settings["keys"])
    for answer in given.get("asked") or ():
        keys.update({str(answer["item"]): answer["public_key"]} if answer.get("public_key") else {})
    for host in task_vars["ansible_play_hosts_all"]:
        look = task_vars["hostvars"][host].get(LOOK) or {}
        key, following = look.get("public_key"), look.get("next_key")
        keys.update({host: str(following or key)} if key else {})
        former.update({host: str(key)} if following else {})
    return Keys(keys, former, set(task_vars["ansible_play_batch"]))
