# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of a visit that is about WireGuard: interfaces without their secrets, the host's key, routes of others, FRR.

Apart from the rest of a visit, so that a look at TCP does not load it. Pure but for the System that is handed in.
"""

from __future__ import annotations

from typing import Any, Dict

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError
from ansible_collections.netfleet.tcp.plugins.module_utils._frr import DAEMONS_FILE
from ansible_collections.netfleet.tcp.plugins.module_utils._frr_daemon import routing_of
from ansible_collections.netfleet.tcp.plugins.module_utils._secrets import without_secrets
from ansible_collections.netfleet.tcp.plugins.module_utils._system import System
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnels import (
    NETWORKD_RUNS,
    key_is_right,
    own_key,
    read_links,
)


def observe_tunnels(system: System) -> Dict[str, Any]:
    """By the names of Observed's fields; tunnel_limit says why nothing could be read."""
    networkd = system.file_state(NETWORKD_RUNS).kind != "absent"
    routing = routing_of(system) if system.file_state(DAEMONS_FILE).kind != "absent" else None
    try:
        links = read_links(system)
        key = own_key(system) if key_is_right(system) else ""
    except HostError as error:
        return {"networkd": networkd, "routing": routing, "tunnel_limit": str(error)}
    return {
        "networkd": networkd,
        "routing": routing,
        "tunnels": {name: without_secrets(tunnel) for name, tunnel in links.tunnels.items()},
        "tunnel_key": key,
        "foreign_routes": links.elsewhere,
        "clamp_limit": links.clamp_limit,
    }
