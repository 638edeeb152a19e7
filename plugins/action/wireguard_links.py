# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""WireGuard links: worked out once for all hosts on the controller, brought about on each host."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Dict, List, Set, Tuple

from ansible.errors import AnsibleError

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import input_error
from ansible_collections.netfleet.tcp.plugins.module_utils._frr import CONFIGURATION, DAEMONS_FILE
from ansible_collections.netfleet.tcp.plugins.module_utils._hand_over import needed
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Finding, Observed, from_wire, to_wire
from ansible_collections.netfleet.tcp.plugins.module_utils._plan import make_plan, refusal
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_files import preshared_path
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_model import Tunnel
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_plan import SUBJECT
from ansible_collections.netfleet.tcp.plugins.plugin_utils._change_action import ChangeAction, Look, LookError
from ansible_collections.netfleet.tcp.plugins.plugin_utils._confirmation import fresh
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_analysis import analysed
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_bgp import of_routes, routing, routing_seen
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_declaration import OF_A_HOST, PREFIX
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_desired import (
    ROLE_DECLARATION,
    DesiredLinks,
    Keys,
    desired_links,
    watched,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_path import addresses_to_probe
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_run import (
    checked,
    declared,
    digest,
    link_settings,
    rotating,
    shared_digest,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_topology import InterfaceWanted
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_verdict import (
    asked_beside,
    dead,
    no_answer,
    not_kept,
    silent,
    to_ask,
)

# Where the role leaves what a host was seen to be, what was changed, and which links live since.
LOOK = "__wireguard_links_look"
ROUTED = "__wireguard_links_routed"
MADE = "__wireguard_links_made"
UNROUTED = "__wireguard_links_unrouted"
SWITCHED = "__wireguard_links_switched"
CHECKED = "__wireguard_links_checked"
# Seconds within which a peer answers: WireGuard tries a handshake each five, and has said something after ten.
_PATIENCE = 16.0
_ALL_THE_SAME = "they are of the whole fleet: give all hosts the same, in group_vars/all"
_SILENT = ": links between the two would stay silent"
_NO_TIME = "%d s are left to confirm its change in, which are too few: give wireguard_links_confirm more"


class ActionModule(ChangeAction):
    """plan once; look at every host; ask those outside of the play; make the change; check the links; judge; end it.

    The routing daemon comes first where links need it, so that routes are left to it once it has them, and last where
    they do not any more (route): both are parts of one change of the host. Where keys change, each host switches to its
    own between make and check, once its peers have learnt it.
    """

    verb = "links"

    def run_uuid(self) -> str:
        """That of the plan, which all steps and hosts of the run share."""
        return str((self._task.args.get("plan") or {}).get("run") or super().run_uuid())

    def work(self, given: Dict[str, Any], task_vars: Dict[str, Any]) -> Dict[str, Any]:
        """One step."""
        steps = {
            "plan": self._plan,
            "look": self._look,
            "ask": self._ask,
            "route": self._route,
            "make": self._make,
            "switch": self._switch,
            "check": self._check,
            "judge": self._judge,
            "end": self._end,
        }
        step = given.get("step")
        if step not in steps:
            raise input_error("step", "%r is none" % (step,), "one of: %s" % ", ".join(steps))
        return steps[step](given, task_vars)

    def _plan(self, given: Mapping[str, Any], task_vars: Dict[str, Any]) -> Dict[str, Any]:
        settings = checked(given.get("settings") or {})
        # A name that is mistyped is refused before a host is touched.
        rotating(settings, "", task_vars["groups"])
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
            "run": self.run_uuid(),
            "shared": _shared_by(wanted.get(str(task_vars["inventory_hostname"]), ()), settings),
        }

    def _look(self, given: Mapping[str, Any], task_vars: Dict[str, Any]) -> Dict[str, Any]:
        settings = checked(given.get("settings") or {})
        if digest(given.get("declaration") or {}) != (given.get("plan") or {}).get("digest"):
            text = "are not the same for this host as for the one that the links were worked out for"
            raise input_error("wireguard_links_sites, _peers, _topologies", text, _ALL_THE_SAME)
        wanted = _wanted(given, settings, task_vars)
        theirs, ours = given["plan"].get("shared"), _shared_by(wanted, settings)
        if theirs and ours and theirs != ours:
            text = "are not the same for this host as for the one that the links were worked out for"
            raise input_error("wireguard_links_secret, _generation", text + _SILENT, _ALL_THE_SAME)
        request = {
            "tunnels": True,
            "interfaces": False,
            "files": [
                *watched({interface.name for interface in wanted}),
                *_shared(wanted, settings),
                CONFIGURATION,
                DAEMONS_FILE,
            ],
            "resolve": sorted({peer.endpoint for interface in wanted for peer in interface.peers if peer.endpoint}),
            "name": ROLE_DECLARATION,
        }
        routed = _routing(given, settings, task_vars)
        refused = refusal(of_routes(settings) if routed else ())
        if refused:
            raise refused
        observed, _answer = self.observe(request, task_vars)
        if settings["probe_mtu"]:
            observed = self._probed(wanted, observed, task_vars)
        seen = routing_seen(routed, observed.files, observed.tunnels, observed.routing)
        # They are ours, and not of the links: whatever plans these would remove them.
        files = {path: state for path, state in observed.files.items() if path not in (CONFIGURATION, DAEMONS_FILE)}
        observed = replace(observed, files=files)
        key, made = observed.tunnel_key, False
        if wanted and not key and not observed.tunnel_limit:
            answer = self._key({}, task_vars)
            key, made = str(answer["public_key"]), bool(answer["changed"])
        answer = {"public_key": key, "observed": to_wire(observed), "routing": seen}
        rotates = rotating(settings, str(task_vars["inventory_hostname"]), task_vars["groups"])
        # A key that was not as closed as it has to be is one all the same, and had better change.
        in_use = {observed.tunnel_key, *(tunnel.public_key for tunnel in observed.tunnels.values())}
        if wanted and rotates and key and key in in_use:
            # In check mode there is none yet: that there will be is the change.
            answer["next_key"] = str(self._key({"next": True}, task_vars)["public_key"])
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

    def _route(self, given: Mapping[str, Any], task_vars: Dict[str, Any]) -> Dict[str, Any]:
        """Bring the routing daemon to what the links need, or, where they do not need it, to what it was before them.

        `change`, in the result, waits to be confirmed; where something of the host waits already, as a part of that.
        """
        settings = checked(given.get("settings") or {})
        routing, made = _seen(given)["routing"], given.get("made") or {}
        if routing["current"] if routing["wanted"] else not routing["ours"]:
            return {"changed": False, "skipped": True, "skip_reason": "it is as declared"}
        look, links = self._planned(given, settings, task_vars)
        if look.refused:
            # Before it is touched.
            return self.seen(look)
        wanted = {"text": routing["text"], "replace": settings["replace_frr"]}
        arguments = wanted if routing["wanted"] else {"state": "absent"}
        if self._task.check_mode:
            return self.changed_by("netfleet.tcp.frr_config", arguments, 0, task_vars)
        window, asked_at = _window(settings, links), time.time()
        answer = self.logged(
            settings["log"],
            task_vars,
            lambda: self.changed_by("netfleet.tcp.frr_config", arguments, window, task_vars, amends=_id(made)),
        )
        return _part(answer, made, links, asked_at)

    def _make(self, given: Mapping[str, Any], task_vars: Dict[str, Any]) -> Dict[str, Any]:
        """Change the running kernel, where anything differs; `change`, in the result, waits to be confirmed."""
        settings = checked(given.get("settings") or {})
        look, links = self._planned(given, settings, task_vars)
        routed = given.get("routed") or {}
        if self._task.check_mode or look.refused or not (look.to_change or "change" in routed):
            return self.seen(look)
        if not look.plan.changes and "change" in routed:
            return {**self.seen(look), **{key: routed[key] for key in ("change", "changes", "wanted", "asked_at")}}
        window, asked_at = _window(settings, links), time.time()
        answer = self.logged(
            settings["log"],
            task_vars,
            lambda: self.change(to_wire(links.desired), links.secrets, window, task_vars, amends=_id(routed)),
        )
        return self.told(look, _part(answer, routed, links, asked_at))

    def _planned(
        self, given: Mapping[str, Any], settings: Mapping[str, Any], task_vars: Dict[str, Any]
    ) -> Tuple[Look, DesiredLinks]:
        """What the host is to have, and what of that has to change."""
        seen = _seen(given)
        observed = from_wire(Observed, {**seen["observed"], "tunnel_key": seen["public_key"]})
        host, wanted = str(task_vars["inventory_hostname"]), _wanted(given, settings, task_vars)
        keys = _keys(given, settings, task_vars, {host, *(peer.node for entry in wanted for peer in entry.peers)})
        links = desired_links(host, wanted, observed, keys, link_settings(settings))
        plan = make_plan(links.desired, observed)
        findings = (*links.findings, *_registry_findings(host, settings["keys"], keys))
        refused = refusal([*findings, *plan.findings])
        return Look(None, observed, links.desired, plan, findings, refused, {}), links

    def _switch(self, given: Mapping[str, Any], task_vars: Dict[str, Any]) -> Dict[str, Any]:
        """Have the host use its new key, if all of its peers have learnt it; held: who has not."""
        made = given.get("made") or {}
        want = [from_wire(Tunnel, entry) for entry in made.get("wanted") or ()]
        if not any(tunnel.former for tunnel in want):
            return {"changed": False, "skipped": True, "skip_reason": "its key stays the same"}
        here = set(task_vars["ansible_play_hosts"])
        peers = {peer.name for tunnel in want for peer in tunnel.peers}
        # Of the hosts themselves alone: this is done by one after another, of which there may be many.
        held = sorted(name for name in peers if name not in here or not _waits(task_vars["hostvars"][name]))
        if held:
            return {"changed": False, "held": held}
        left = float(made["asked_at"]) + float(made["change"]["window"]) - time.time()
        if left < _PATIENCE:
            return {"changed": False, "failed_to_switch": _NO_TIME % left}
        fresh(self._connection)
        try:
            return self._key({"switch": made["change"]["id"], "wait": _PATIENCE}, task_vars)
        except LookError as error:
            # It is taken back, and so is what its peers have made: by the step that ends it.
            return {"changed": False, "failed_to_switch": str(error.answer.get("msg", ""))}

    def _check(self, given: Mapping[str, Any], task_vars: Dict[str, Any]) -> Dict[str, Any]:
        """Which peers that answered before the change do not answer since; a warning for others that do not."""
        made = given.get("made") or {}
        if "change" not in made:
            return {"changed": False, "skipped": True, "skip_reason": "nothing was changed"}
        before = from_wire(Observed, given["look"]["observed"]).tunnels
        want = [from_wire(Tunnel, entry) for entry in made["wanted"]]
        beside = list(asked_beside(before, want, task_vars["ansible_play_batch"]))
        ask = [
            {"interface": tunnel.name, "public_key": peer.public_key, "address": peer.address}
            for tunnel, peer in (*to_ask(before, want), *beside)
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
        answered = answer["answered"]
        result: Dict[str, Any] = {"changed": False, "dead": dead(before, want, answered)}
        warnings = [
            no_answer(tunnel, peer)
            for tunnel, peer in beside
            if peer.address and peer.public_key not in answered.get(tunnel.name, ())
        ]
        return {**result, "warnings": warnings} if warnings else result

    def _judge(self, _given: Mapping[str, Any], task_vars: Dict[str, Any]) -> Dict[str, Any]:
        """Why each host that does not keep its change takes it back. Once, for all of them: each depends on others."""
        here = set(task_vars["ansible_play_hosts"])
        hosts = _changed_hosts(task_vars)
        switched = {host for host, variables in hosts.items() if "answered" in (variables.get(SWITCHED) or {})}
        peers = {
            host: [peer for tunnel in _waiting(variables)["wanted"] for peer in tunnel["peers"]]
            for host, variables in hosts.items()
        }
        reasons = {
            host: _reason(variables, {peer["name"] for peer in peers[host] if peer["former"]} - switched)
            if host in here
            else "it was lost in this run"
            for host, variables in hosts.items()
        }
        links = {host: [peer["name"] for peer in found] for host, found in peers.items()}
        return {"changed": False, "why": not_kept(reasons, links)}

    def _end(self, given: Mapping[str, Any], task_vars: Dict[str, Any]) -> Dict[str, Any]:
        """Make the change final over a new connection, or take it back where a link has died by it."""
        made = dict(given.get("made") or {})
        settings = checked(given.get("settings") or {})
        why = (given.get("verdict") or {}).get("why")
        if why is None:
            raise input_error("verdict", "is no result of the step judge", "use the role netfleet.tcp.wireguard_links")
        return self.end_of(made, task_vars, why.get(str(task_vars["inventory_hostname"]), ""), settings["log"])


def _seen(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the step look has left. InputError where it is none."""
    seen: Mapping[str, Any] = given.get("look") or {}
    if "observed" not in seen:
        raise input_error("look", "is no result of the step look", "use the role netfleet.tcp.wireguard_links")
    return seen


def _window(settings: Mapping[str, Any], links: DesiredLinks) -> int:
    """Seconds to confirm the change in. InputError where it needs some, and has none."""
    window = int(settings["confirm"])
    if not window and needed(links.desired.tunnels):
        text = "is 0 here, and a peer changes its key: that takes a change that waits to be confirmed"
        raise input_error("wireguard_links_confirm", text, "give it its seconds")
    return window


def _id(made: Mapping[str, Any]) -> str:
    """The id of the change that an earlier step has left to be confirmed; empty where there is none."""
    return str((made.get("change") or {}).get("id", ""))


def _part(answer: Dict[str, Any], earlier: Mapping[str, Any], links: DesiredLinks, asked_at: float) -> Dict[str, Any]:
    """The answer of a step, with what the later ones have to know; its changes are all of the host's by now."""
    if "change" in answer:
        answer.update(asked_at=asked_at, wanted=[to_wire(tunnel) for tunnel in links.desired.tunnels])
    if not answer.get("failed"):
        answer["changes"] = [*(earlier.get("changes") or ()), *(answer.get("changes") or ())]
    return answer


def _waiting(variables: Mapping[str, Any]) -> Mapping[str, Any]:
    """The result of the latest step that has left a change of the host to be confirmed; empty where none has."""
    each = (variables.get(name) or {} for name in (UNROUTED, MADE, ROUTED))
    return next((answer for answer in each if "change" in answer), {})


def _waits(variables: Mapping[str, Any]) -> bool:
    """Whether a host has a change of this run."""
    return bool(_waiting(variables))


def _changed_hosts(task_vars: Mapping[str, Any]) -> Dict[str, Mapping[str, Any]]:
    """The variables of each host whose change of this run waits to be confirmed, or was never confirmed."""
    # With `serial`: those of earlier batches who are still in the play have kept theirs.
    kept = set(task_vars["ansible_play_hosts"]) - set(task_vars["ansible_play_batch"])
    found = {host: task_vars["hostvars"][host] for host in task_vars["ansible_play_hosts_all"] if host not in kept}
    return {host: variables for host, variables in found.items() if _waits(variables)}


def _outer_mtu(task_vars: Mapping[str, Any]) -> int:
    """What the host says that gets through to it; checked with the plan."""
    own = task_vars["hostvars"][task_vars["inventory_hostname"]]
    return int(own.get(PREFIX + "outer_mtu", OF_A_HOST["outer_mtu"]["default"]))


def _reason(variables: Mapping[str, Any], not_switched: Set[str]) -> str:
    """Why a host takes its change back by itself; empty where it does not.

    not_switched: the peers whose new keys it has learnt, and that still have the former ones.
    """
    switched = variables.get(SWITCHED) or {}
    if switched.get("failed_to_switch"):
        return "it could not switch to its new key: %s" % switched["failed_to_switch"]
    if switched.get("held"):
        return "%s did not learn the new key" % ", ".join(switched["held"])
    if not_switched:
        return "%s did not change to the new key" % ", ".join(sorted(not_switched))
    return silent((variables.get(CHECKED) or {}).get("dead") or ())


def _registry_findings(host: str, registry: Mapping[str, str], keys: Keys) -> List[Finding]:
    """That the inventory names another key of a host than it has, or has from this run on."""
    key = keys.public.get(host, "")
    if registry.get(host, key) == key:
        return []
    text = "is another key than the host has: a run without this host would give it to its peers"
    return [Finding(SUBJECT, "wireguard_links_keys.%s" % host, "warning", text, cure="change it to %s" % key)]


def _wanted(
    given: Mapping[str, Any], settings: Mapping[str, Any], task_vars: Mapping[str, Any]
) -> Tuple[InterfaceWanted, ...]:
    """The interfaces that the host has to have, by the plan."""
    if settings["state"] == "absent":
        return ()
    hosts: Mapping[str, List[Any]] = (given.get("plan") or {}).get("hosts") or {}
    return tuple(from_wire(InterfaceWanted, entry) for entry in hosts.get(str(task_vars["inventory_hostname"]), ()))


def _shared(wanted: Iterable[InterfaceWanted], settings: Mapping[str, Any]) -> Iterator[str]:
    """The paths of the keys that the host is to share with its peers."""
    for interface in wanted if settings["secret"] else ():
        yield from (preshared_path(interface.name, peer.node) for peer in interface.peers if peer.preshared)


def _shared_by(wanted: Iterable[InterfaceWanted], settings: Mapping[str, Any]) -> str:
    """Stands for what a host makes the keys of that it shares with its peers; empty where it shares none."""
    shares = any(peer.preshared for interface in wanted for peer in interface.peers)
    return shared_digest(settings) if shares else ""


def _routing(given: Mapping[str, Any], settings: Mapping[str, Any], task_vars: Mapping[str, Any]) -> Dict[str, Any]:
    """What the routing daemon of the host has to have, by the plan; empty where it needs none."""
    if settings["state"] == "absent":
        return {}
    routed: Mapping[str, Any] = (given.get("plan") or {}).get("routing") or {}
    return dict(routed.get(str(task_vars["inventory_hostname"])) or {})


def _keys(given: Mapping[str, Any], settings: Mapping[str, Any], task_vars: Mapping[str, Any], nodes: Set[str]) -> Keys:
    """The public keys of nodes: by the registry of the inventory, and by what the hosts themselves said in this run."""
    former: Dict[str, str] = {}
    keys = {host: key for host, key in settings["keys"].items() if host in nodes}
    batch = set(task_vars["ansible_play_batch"])
    for answer in given.get("asked") or ():
        keys.update({str(answer["item"]): answer["public_key"]} if answer.get("public_key") else {})
    for host in sorted(nodes & set(task_vars["ansible_play_hosts_all"])):
        # One that has failed since, or is of an earlier batch of `serial`, changes no key in step with this host.
        look = (task_vars["hostvars"][host].get(LOOK) or {}) if host in batch else {}
        key = look.get("public_key")
        keys.update({host: str(look.get("next_key") or key)} if key else {})
        former.update({host: str(key)} if key and "next_key" in look else {})
    return Keys(keys, former, batch)
