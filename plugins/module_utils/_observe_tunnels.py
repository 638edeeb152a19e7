# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of a visit that is about WireGuard: interfaces without their secrets, the host's key, routes of others.

Apart from the rest of a visit, so that a look at TCP does not load it. Pure but for the System that is handed in.
"""

from __future__ import annotations

from typing import Any, Dict, Iterable, Mapping, Sequence, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError
from ansible_collections.netfleet.tcp.plugins.module_utils._secrets import without_secrets
from ansible_collections.netfleet.tcp.plugins.module_utils._system import System
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_endpoints import address_of
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_model import Tunnel
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnels import (
    NETWORKD_RUNS,
    key_is_right,
    own_key,
    read_links,
)


def observe_tunnels(system: System) -> Dict[str, Any]:
    """By the names of Observed's fields; tunnel_limit says why nothing could be read."""
    networkd = system.file_state(NETWORKD_RUNS).kind != "absent"
    try:
        links = read_links(system)
        key = own_key(system) if key_is_right(system) else ""
    except HostError as error:
        return {"networkd": networkd, "tunnel_limit": str(error)}
    return {
        "networkd": networkd,
        "tunnels": {name: without_secrets(tunnel) for name, tunnel in links.tunnels.items()},
        "tunnel_key": key,
        "foreign_routes": links.elsewhere,
        "clamp_limit": links.clamp_limit,
    }


def observe_paths(
    system: System,
    probe: Sequence[str],
    highest: int,
    resolved: Mapping[str, Tuple[str, ...]],
    tunnels: Iterable[Tunnel],
) -> Dict[str, int]:
    """How large packets may be on the way to endpoints (see _path_mtu). tunnels: whose peers are asked too."""
    from ansible_collections.netfleet.tcp.plugins.module_utils._path_mtu import path_mtus

    # Of a name the first address, which a new tunnel would use; one that is in use is that of a peer.
    named = [(resolved.get(entry) or ("",))[0] if entry in resolved else entry for entry in probe]
    live = [address_of(peer.endpoint) for tunnel in tunnels for peer in tunnel.peers]
    return path_mtus(system, [address for address in (*named, *live) if address], highest)
