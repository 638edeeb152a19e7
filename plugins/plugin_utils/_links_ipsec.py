# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Beside IPsec, and after it: what lets links take over, site by site, from tunnels that run. Pure.

The policies of IPsec catch packets wherever they are routed, unless what they leave by says that it wants none
(disable_xfrm), and refuse those that come in the clear, unless what they come by takes them (disable_policy).
strongSwan's routes stand in a table of their own (220), which is asked before the main one.

Runs on the controller alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Dict, Optional, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._model import Finding
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_model import Tunnel
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_plan import SUBJECT
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_topology import InterfaceWanted

# There is none; the links are there, and take what the other end sends by them, while IPsec carries; the links carry.
NO_IPSEC, BESIDE, MOVED = "none", "beside", "moved"
IPSEC = (NO_IPSEC, BESIDE, MOVED)
_LOOSE = {"rp_filter": "2"}
# Caught by its policies, what is routed into a link goes by IPsec all the same.
_SETTINGS: Dict[str, Dict[str, str]] = {
    NO_IPSEC: {},
    # What comes is answered by IPsec, until this end has moved too.
    BESIDE: {"disable_policy": "1", "disable_xfrm": "0", **_LOOSE},
    MOVED: {"disable_policy": "1", "disable_xfrm": "1", **_LOOSE},
}
_ONLY_FOR_IPSEC = ("disable_policy", "disable_xfrm")


def ipsec_settings(wanted: InterfaceWanted, ipsec: str, live: Optional[Tunnel]) -> Tuple[str, ...]:
    """The settings of an interface, as a Tunnel has them. live: it, as it runs."""
    found = dict(_LOOSE if wanted.loose else {})
    if ipsec == NO_IPSEC and live is not None:
        # Left from a migration that is over.
        found.update({name: "0" for name in _ONLY_FOR_IPSEC if name + "=1" in live.settings})
    found.update(_SETTINGS[ipsec])
    return tuple(sorted("%s=%s" % pair for pair in found.items()))


def ipsec_rules(ipsec: str, prefixes: Iterable[str]) -> Tuple[str, ...]:
    """The prefixes, of those that are routed into a link, that have to be asked for before IPsec's own routes."""
    return tuple(sorted({prefix for prefix in prefixes if not _is_ipv6(prefix)})) if ipsec == MOVED else ()


def ipsec_findings(wanted: InterfaceWanted, ipsec: str, prefixes: Iterable[str]) -> Iterator[Finding]:
    """What cannot be moved: Linux has disable_xfrm for IPv4 alone."""
    left = sorted({prefix for prefix in prefixes if _is_ipv6(prefix)}) if ipsec == MOVED else []
    if left:
        text = "%s stays with IPsec for as long as that has policies for it" % ", ".join(left)
        cure = "take its IPv6 policies away on both ends; the routes into the link are there"
        yield Finding(SUBJECT, wanted.name, "warning", text, cure=cure)


def _is_ipv6(prefix: str) -> bool:
    return ":" in prefix
