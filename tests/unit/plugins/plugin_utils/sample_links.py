# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A declaration of links to test with: a data centre behind NAT, two clouds, a laptop."""

from __future__ import annotations

import base64
import copy
from typing import Any

from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_declaration import parse
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_model import Links

KEY = base64.b64encode(bytes(range(32))).decode()
OTHER_KEY = base64.b64encode(bytes(range(1, 33))).decode()
HOSTS: dict[str, dict[str, Any]] = {
    "gw1": {},
    "gw2": {},
    "east": {"endpoint": "198.51.100.1"},
    "west": {"endpoint": "203.0.113.1", "outer_mtu": 1460},
    "worker1": {"endpoint": "192.0.2.11"},
    "worker2": {"endpoint": "192.0.2.12"},
}
GROUPS = {"all": list(HOSTS), "workers": ["worker1", "worker2"], "empty": []}
SITES: dict[str, Any] = {
    "onprem": {"prefixes": ["10.10.0.0/16", "2001:db8:10::/48"], "gateways": ["gw1"]},
    "cloud_east": {"prefixes": ["10.20.0.0/16"], "gateways": ["east"]},
    "cloud_west": {"prefixes": ["10.30.0.0/16"], "gateways": ["west"]},
}
MESH: dict[str, Any] = {
    "name": "wan",
    "kind": "mesh",
    "members": ["onprem", "cloud_east", "cloud_west"],
    "networks": ["10.99.0.0/24"],
    "numbers": {"gw1": 1, "east": 2, "west": 3},
}
HUBS: dict[str, Any] = {
    "name": "star",
    "kind": "hub_and_spoke",
    "hubs": ["east"],
    "spokes": ["onprem", "cloud_west", "alice"],
    "networks": ["10.98.0.0/24"],
    "numbers": {"gw1": 1, "east": 2, "west": 3, "alice": 4},
}
PEERS: dict[str, Any] = {"alice": {"public_key": KEY}}


def declared(
    *topologies: dict[str, Any],
    sites: dict[str, Any] | None = None,
    peers: dict[str, Any] | None = None,
    **hosts: dict[str, Any],
) -> Links:
    """A declaration. hosts: what these hosts say of themselves, in place of HOSTS."""
    variables = {
        "sites": copy.deepcopy(SITES if sites is None else sites),
        "peers": copy.deepcopy(PEERS if peers is None else peers),
        "topologies": [copy.deepcopy(entry) for entry in topologies],
    }
    return parse(variables, {**HOSTS, **hosts}, GROUPS)


def site(name: str, **more: Any) -> dict[str, Any]:
    """SITES, with one of them changed."""
    return {**SITES, name: {**SITES.get(name, {}), **more}}
