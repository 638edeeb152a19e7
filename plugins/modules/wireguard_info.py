#!/usr/bin/python
# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The WireGuard interfaces of a host, and which of their peers answer."""

from __future__ import annotations

DOCUMENTATION = r"""
module: wireguard_info
short_description: The WireGuard interfaces of a host, and which of their peers answer
version_added: 0.1.0
author:
  - netfleet.tcp contributors (@netfleet)
description:
  - Reads what the kernel runs - peers, endpoints, allowed IPs, handshakes, transfer, addresses, routes. Private and
    preshared keys are not returned; tokens stand for the latter.
  - Where O(wait) is given, sends a datagram to each address of O(ask), and waits until the peer behind it has answered
    in any way. WireGuard itself does, within ten seconds, whatever the peer's firewall says.
  - Changes nothing.
extends_documentation_fragment:
  - netfleet.tcp.attributes
  - netfleet.tcp.attributes.facts
options:
  ask:
    description: The peers to ask, each with C(interface), C(public_key) and C(address) (in the tunnel).
    type: list
    elements: dict
    default: []
    suboptions:
      interface:
        description: Name of the interface.
        type: str
        required: true
      public_key:
        description: The peer's public key.
        type: str
        required: true
      address:
        description: An address that is reached by the peer.
        type: str
        required: true
  wait:
    description: Seconds to wait for their answers.
    type: float
    default: 0
  probe:
    description:
      - Addresses of endpoints to which to look how large packets may be, by ICMP echoes that nobody may fragment.
      - It takes up to three seconds for all of them.
    type: list
    elements: str
    default: []
  probe_limit:
    description: Bytes of the largest packets to try.
    type: int
    default: 1500
requirements:
  - wireguard-tools on the host
seealso:
  - module: netfleet.tcp.wireguard_links
"""

EXAMPLES = r"""
- name: Look at the tunnels
  netfleet.tcp.wireguard_info:
  register: info

- name: Name peers that were not heard of for long
  ansible.builtin.debug:
    msg: "{{ info.tunnels.values() | map(attribute='peers') | flatten | selectattr('handshake', 'gt', 180) }}"
"""

RETURN = r"""
tunnels:
  description:
    - The interfaces by name, with C(public_key), C(port), C(mtu), C(up), C(addresses), C(routes) and C(peers).
    - C(clamp) is the MTU that TCP's segments are made to fit (0 where they are not, -1 where somebody has changed the
      rules for it by hand); C(settings) are some of those below net/ipv4/conf; C(rules) are the prefixes for which the
      main table is asked before those of IPsec.
    - Of a peer, C(handshake) is seconds since the latest (-1 where there was none), C(received) and C(sent) are bytes.
  returned: success
  type: dict
path_mtu:
  description: Bytes of the largest packet of a tunnel that gets through, by address of O(probe); V(0) for no answer.
  returned: success
  type: dict
answered:
  description: The public keys of the peers of O(ask) that have answered, by interface.
  returned: success
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.netfleet.tcp.plugins.module_utils._exit import run_module
from ansible_collections.netfleet.tcp.plugins.module_utils._icmp import echo
from ansible_collections.netfleet.tcp.plugins.module_utils._model import to_wire
from ansible_collections.netfleet.tcp.plugins.module_utils._path_mtu import path_mtus
from ansible_collections.netfleet.tcp.plugins.module_utils._secrets import without_secrets
from ansible_collections.netfleet.tcp.plugins.module_utils._system import LinuxSystem
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_answers import Asked, answers
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnels import read_tunnels


def main() -> None:
    """Specification, look, ask, exit."""
    peer = dict(
        interface=dict(type="str", required=True),
        public_key=dict(type="str", required=True, no_log=False),
        address=dict(type="str", required=True),
    )
    module = AnsibleModule(
        argument_spec=dict(
            ask=dict(type="list", elements="dict", default=[], options=peer),
            wait=dict(type="float", default=0),
            probe=dict(type="list", elements="str", default=[]),
            probe_limit=dict(type="int", default=1500),
        ),
        supports_check_mode=True,
    )

    def work() -> dict:
        system = LinuxSystem()
        asked = [Asked(entry["interface"], entry["public_key"], entry["address"]) for entry in module.params["ask"]]
        answered = answers(system, asked, module.params["wait"])
        tunnels = {name: to_wire(without_secrets(tunnel)) for name, tunnel in read_tunnels(system).items()}
        paths = path_mtus(echo, module.params["probe"], module.params["probe_limit"])
        return {"changed": False, "tunnels": tunnels, "answered": answered, "path_mtu": paths}

    run_module(module, work)


if __name__ == "__main__":
    main()
