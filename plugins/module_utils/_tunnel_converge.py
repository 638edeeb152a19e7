# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings one WireGuard interface of a host to its declared state. Pure but for the System that is handed in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict, Mapping

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError, host_error, input_error
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Desired
from ansible_collections.netfleet.tcp.plugins.module_utils._observe import load_vault
from ansible_collections.netfleet.tcp.plugins.module_utils._plan import refusal
from ansible_collections.netfleet.tcp.plugins.module_utils._result import outcome_result
from ansible_collections.netfleet.tcp.plugins.module_utils._system import System
from ansible_collections.netfleet.tcp.plugins.module_utils._transaction import apply, inspect
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_declaration import (
    declaration_of,
    declared_tunnel,
    named_problems,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_files import (
    LINKS_DECLARATION,
    NETWORKD,
    WG_QUICK,
    tunnel_files,
    tunnel_paths,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_model import Tunnel
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnels import (
    NETWORKD_RUNS,
    keep_key,
    key_is_right,
    own_key,
)

AUTO = "auto"


def converge_tunnel(system: System, given: Mapping[str, Any], check_mode: bool) -> Dict[str, Any]:
    """The module's result. given: its parameters. InputError before anything is touched; HostError, all restored."""
    name = given["name"]
    if given["state"] == "absent":
        problems = named_problems(name)
        if problems:
            raise InputError(problems)
        known = name in load_vault(system, declaration_of(name), {})[0].tunnels
        # Files of an interface that another declaration has made are not ours to remove.
        desired = Desired(declaration_of(name), watched=tunnel_paths(name) if known else ())
        return _converged(system, desired, {}, check_mode)
    tunnel, secrets = declared_tunnel(given)
    if name in load_vault(system, LINKS_DECLARATION, {})[0].tunnels:
        raise host_error(name, "is an interface of the role wireguard_links", "give this one another name")
    made = not key_is_right(system)
    public = own_key(system) if check_mode else keep_key(system)
    _not_itself(tunnel, public)
    tunnel = replace(tunnel, public_key=public)
    desired = Desired(
        name=declaration_of(name),
        tunnels=(tunnel,),
        files=tuple(tunnel_files(tunnel, _backend(system, given["backend"]))),
        watched=tunnel_paths(name),
    )
    answer = _converged(system, desired, secrets, check_mode)
    return {**answer, "changed": answer["changed"] or made, "public_key": public}


def _converged(system: System, desired: Desired, secrets: Dict[str, str], check_mode: bool) -> Dict[str, Any]:
    outcome = (inspect if check_mode else apply)(system, desired, secrets)
    # apply has refused by itself; inspect only looks.
    refused = refusal(outcome.plan.findings)
    if refused:
        raise refused
    return outcome_result(desired, outcome, check_mode)


def _backend(system: System, given: str) -> str:
    if given != AUTO:
        return given
    return NETWORKD if system.file_state(NETWORKD_RUNS).kind != "absent" else WG_QUICK


def _not_itself(tunnel: Tunnel, public: str) -> None:
    for index, peer in enumerate(tunnel.peers):
        if peer.public_key == public:
            text = "is the key of this host itself"
            raise input_error("peers[%d].public_key" % index, text, "each host has a key of its own")
