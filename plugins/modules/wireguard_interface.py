#!/usr/bin/python
# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One WireGuard interface of a host, declared by itself."""

from __future__ import annotations

DOCUMENTATION = r"""
module: wireguard_interface
short_description: Bring one WireGuard interface of a host to its declared state
version_added: 0.1.0
author:
  - netfleet.tcp contributors (@netfleet)
description:
  - Makes an interface with its addresses, peers and routes, reconciles it in place (what is as declared is not
    touched), and writes the files that bring it up at the next boot. If any part fails, all is restored.
  - The private key is made on the host, as by M(netfleet.tcp.wireguard_key), and never leaves it. All interfaces of a
    host have the same one.
  - For whole topologies, of which both ends are derived from one declaration, use the role
    P(netfleet.tcp.wireguard_links#role). This module is for a single one.
  - What cannot work is refused before anything is touched, all of it at once.
extends_documentation_fragment:
  - netfleet.tcp.attributes
  - netfleet.tcp.attributes.changes
  - netfleet.tcp.attributes.result_notes
options:
  name:
    description: Name of the interface, of up to 15 characters.
    type: str
    required: true
  state:
    description: V(absent) takes the interface away and restores what stood there before. The host's key stays.
    type: str
    choices: [present, absent]
    default: present
  listen_port:
    description: UDP port on which the interface listens.
    type: int
    default: 51820
  mtu:
    description: Bytes of a packet in the tunnel. The default fits into 1500 bytes over IPv4 and IPv6.
    type: int
    default: 1408
  addresses:
    description: Addresses of the interface, with prefix length.
    type: list
    elements: str
    default: []
  peers:
    description: All peers of the interface; others are removed.
    type: list
    elements: dict
    default: []
    suboptions:
      public_key:
        description: The key of the peer.
        type: str
        required: true
      name:
        description: What it is called in files and results; by default, it is made of its key.
        type: str
      endpoint:
        description: Where it is reached, as C(address:port), C([address]:port) or C(name:port); without one, it calls.
        type: str
      allowed_ips:
        description:
          - Prefixes that may come from it and go to it. No two peers may have overlapping ones, since an address goes
            to one peer; but one of them may have all that is left, C(0.0.0.0/0) or C(::/0).
        type: list
        elements: str
        default: []
      keepalive:
        description: Seconds after which an idle connection is kept alive, for an end behind NAT; V(0) for never.
        type: int
        default: 0
      preshared_key:
        description: The key that is shared with it, as C(wg genpsk) prints it. It belongs in a vault.
        type: str
  routes:
    description: Routes into the tunnel. What an address of O(addresses) connects needs none.
    type: list
    elements: dict
    default: []
    suboptions:
      prefix:
        description: What is routed. It has to be among the C(allowed_ips) of a peer.
        type: str
        required: true
      metric:
        description: Of routes to the same prefix the lowest is used; V(0) for the kernel's own.
        type: int
        default: 0
      congestion_control:
        description: The congestion control of connections over the route, such as V(bbr); that of the host by default.
        type: str
      initcwnd:
        description: Segments that a connection sends at first; V(0) for the kernel's own.
        type: int
        default: 0
      initrwnd:
        description: Segments that a connection says at first that it takes; V(0) for the kernel's own.
        type: int
        default: 0
  backend:
    description: What brings the interface up at boot; V(auto) is systemd-networkd where it runs, else wg-quick.
    type: str
    choices: [auto, systemd-networkd, wg-quick]
    default: auto
requirements:
  - wireguard-tools on the host
seealso:
  - module: netfleet.tcp.wireguard_key
  - module: netfleet.tcp.wireguard_info
  - module: netfleet.tcp.tcp_rollback
"""

EXAMPLES = r"""
- name: Reach the data centre from this host
  netfleet.tcp.wireguard_interface:
    name: wg-dc1
    addresses: [10.99.0.2/24]
    peers:
      - name: gw1
        public_key: xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=
        endpoint: gw1.example.net:51820
        allowed_ips: [10.99.0.0/24, 10.10.0.0/16]
        keepalive: 25
        preshared_key: "{{ vault_shared_with_gw1 }}"
    routes:
      - prefix: 10.10.0.0/16
        congestion_control: bbr

- name: Take it away again
  netfleet.tcp.wireguard_interface:
    name: wg-dc1
    state: absent
"""

RETURN = r"""
public_key:
  description: The public key of the host; empty in check mode, where it has none yet.
  returned: where O(state=present)
  type: str
  sample: xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=
before:
  description: What ran before, by subject (tunnel, file) and key.
  returned: success
  type: dict
  sample: {tunnel: {wg-dc1: absent}}
after:
  description: The same after the run, read back from the kernel (in check mode - as planned).
  returned: success
  type: dict
  sample: {tunnel: {wg-dc1: "1 peers, port 51820, MTU 1408"}}
changes:
  description: Each difference that was removed, with C(subject), C(key), C(want), C(running), C(reason) and
    C(takes_effect). Tokens stand for preshared keys.
  returned: success
  type: list
  elements: dict
findings:
  description: What stands in the way or deserves a word, with C(severity), C(reason), C(source) and C(cure).
  returned: success
  type: list
  elements: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.netfleet.tcp.plugins.module_utils._exit import run_module
from ansible_collections.netfleet.tcp.plugins.module_utils._system import LinuxSystem
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_converge import converge_tunnel


def main() -> None:
    """Specification, converge, exit."""
    peer = dict(
        public_key=dict(type="str", required=True, no_log=False),
        name=dict(type="str"),
        endpoint=dict(type="str"),
        allowed_ips=dict(type="list", elements="str", default=[]),
        keepalive=dict(type="int", default=0),
        preshared_key=dict(type="str", no_log=True),
    )
    route = dict(
        prefix=dict(type="str", required=True),
        metric=dict(type="int", default=0),
        congestion_control=dict(type="str"),
        initcwnd=dict(type="int", default=0),
        initrwnd=dict(type="int", default=0),
    )
    module = AnsibleModule(
        argument_spec=dict(
            name=dict(type="str", required=True),
            state=dict(type="str", choices=["present", "absent"], default="present"),
            listen_port=dict(type="int", default=51820),
            mtu=dict(type="int", default=1408),
            addresses=dict(type="list", elements="str", default=[]),
            peers=dict(type="list", elements="dict", default=[], options=peer),
            routes=dict(type="list", elements="dict", default=[], options=route),
            backend=dict(type="str", choices=["auto", "systemd-networkd", "wg-quick"], default="auto"),
        ),
        supports_check_mode=True,
    )
    run_module(module, lambda: converge_tunnel(LinuxSystem(), module.params, module.check_mode))


if __name__ == "__main__":
    main()
