# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the variables of a host ask a look at its TCP for: the same for the playbook health and for the exporter.

Runs on the controller alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Dict, List, Tuple

from ansible_collections.netfleet.tcp.plugins.plugin_utils._health_check import (
    OF_LINKS,
    derived_peers,
    profile_of,
    request,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils._host_variables import Declared, groups

_LINKS, _TUNING = "wireguard_links_", "tcp_tuning_"


def standing(declared: Declared, task_vars: Mapping[str, Any]) -> Tuple[str, Dict[str, List[str]]]:
    """The host's profile, and the classes of peers that the inventory tells by itself."""
    host = str(task_vars["inventory_hostname"])
    profile = profile_of(str(declared(_TUNING, ("profile",)).get("profile") or ""), groups(task_vars))
    address = str(declared("", ("ansible_host",)).get("ansible_host") or host)
    return profile, derived_peers(host, address, profile, declared(_LINKS, OF_LINKS))


def asked_of(
    settings: Mapping[str, Any], declared: Declared, task_vars: Mapping[str, Any]
) -> Tuple[str, Dict[str, Any]]:
    """The host's profile, and the arguments of tcp_health_info. settings: as _health_check.checked gives them.

    InputError with every problem.
    """
    profile, peers = standing(declared, task_vars)
    return profile, request(settings, profile, peers)
