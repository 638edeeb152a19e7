#!/usr/bin/python
# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Connects to chosen destinations, and says how many connections stood, how soon, and why others did not."""

from __future__ import annotations

DOCUMENTATION = r"""
module: tcp_probe
short_description: Connect to chosen destinations, and say how that went
version_added: 0.1.0
author:
  - netfleet.tcp contributors (@netfleet)
description:
  - Opens TCP connections to each destination, one after the other, and closes them without sending anything. Different
    destinations are connected to side by side, sixteen at a time.
  - Counts each attempt, also those that an application would give up, which are in no counter of the kernel, and judges
    them as M(netfleet.tcp.tcp_health_info) judges what the kernel counts, with the same confidence.
  - Takes the RTT from the kernel (C(tcp_info)), not from a clock of its own.
  - As root it also finds the largest packet that gets through to each destination, by echoes of ICMP.
  - By the standard library alone, without any program on the host. It changes nothing there.
  - A server sees connections that close at once, and may log them. OpenSSH from 9.8 on refuses an address for some
    seconds after about fifteen of these within a short time (C(PerSourcePenalties)).
extends_documentation_fragment:
  - netfleet.tcp.attributes
  - netfleet.tcp.attributes.facts
options:
  to:
    description: Where to connect to, at most 64 destinations.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: What the destination is called in results; the address where it is not given.
        type: str
        default: ""
      address:
        description: An address, or a name that the host itself resolves.
        type: str
        required: true
      port:
        description: The port, on which something is to listen.
        type: int
        required: true
  attempts:
    description: Connections to each destination, from V(1) to V(200).
    type: int
    default: 10
  timeout:
    description: Seconds after which an attempt has failed, from V(0.1) to V(30).
    type: float
    default: 3.0
  mtu:
    description: Whether to look for the largest packet that gets through. It takes root, and up to three seconds more.
    type: bool
    default: true
  peers:
    description: Classes of peers, as O(netfleet.tcp.tcp_health_info#module:peers).
    type: dict
    default: {}
  targets:
    description: What is to be met, in percent; V(0) for none.
    type: dict
    default: {}
    suboptions:
      client_success:
        description: More than so many of the connections are established.
        type: float
        default: 99.9
      syn_retransmission:
        description: Less than so many SYNs are sent again, by connections.
        type: float
        default: 2.0
  rtt_targets:
    description: By class of peers, milliseconds below which the mean RTT is to be; V(0) for none.
    type: dict
    default: {}
requirements:
  - Linux; root, to find the MTU of a path
seealso:
  - module: netfleet.tcp.probe
  - module: netfleet.tcp.tcp_health_info
"""

EXAMPLES = r"""
- name: Does the database take connections from here?
  netfleet.tcp.tcp_probe:
    to:
      - {name: db1, address: 10.20.0.5, port: 5432}
      - {address: cache.example.com, port: 6379}
    attempts: 50
  register: probed
"""

RETURN = r"""
destinations:
  description:
    - By destination, C(name), the C(address) that was called (empty where the name has none) and C(port); C(attempts),
      of which C(established); C(failures) by the name of the kernel's error (C(TIMEOUT) for no answer,
      C(UNKNOWN_NAME)); C(syn_retransmitted); connections C(without_window_scale); C(connect_p50) and C(connect_most),
      milliseconds until one stood; C(peer_class); C(rtt), C(indicators) as of M(netfleet.tcp.tcp_health_info);
      C(route_mtu), the bytes that the kernel believes to get through, and C(path_mtu), those that do (0 where that is
      not known).
  returned: success
  type: list
  elements: dict
counters:
  description: By the names of nstat, what TCP would have counted of these connections alone, had it counted all.
  returned: success
  type: dict
indicators:
  description: C(client_success) and C(syn_retransmission) of all destinations together.
  returned: success
  type: dict
rtts:
  description: The RTT by class of peers, as in C(sockets.peers) of M(netfleet.tcp.tcp_health_info).
  returned: success
  type: dict
findings:
  description: What is outside its target, with the likely cause, in the one shape of this collection.
  returned: success
  type: list
  elements: dict
kernel:
  description: The release of the kernel.
  returned: success
  type: str
limits:
  description: What could not be probed, and why.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.netfleet.tcp.plugins.module_utils._connects import connect_all, route_mtus
from ansible_collections.netfleet.tcp.plugins.module_utils._exit import run_module
from ansible_collections.netfleet.tcp.plugins.module_utils._health_targets import TARGETS
from ansible_collections.netfleet.tcp.plugins.module_utils._icmp import echo
from ansible_collections.netfleet.tcp.plugins.module_utils._model import to_wire
from ansible_collections.netfleet.tcp.plugins.module_utils._probe import PROBED, Network, asked_from, probe
from ansible_collections.netfleet.tcp.plugins.module_utils._probe_findings import findings
from ansible_collections.netfleet.tcp.plugins.module_utils._system import LinuxSystem


def main() -> None:
    """Specification, probe, findings, exit."""
    destination = dict(
        name=dict(type="str", default=""), address=dict(type="str", required=True), port=dict(type="int", required=True)
    )
    targets = {name: dict(type="float", default=TARGETS[name]) for name in PROBED}
    module = AnsibleModule(
        argument_spec=dict(
            to=dict(type="list", elements="dict", required=True, options=destination),
            attempts=dict(type="int", default=10),
            timeout=dict(type="float", default=3.0),
            mtu=dict(type="bool", default=True),
            peers=dict(type="dict", default={}),
            targets=dict(type="dict", default={}, options=targets),
            rtt_targets=dict(type="dict", default={}),
        ),
        supports_check_mode=True,
    )

    def work() -> dict:
        probed = probe(LinuxSystem(), Network(connect_all, echo, route_mtus), asked_from(module.params))
        return {"changed": False, "findings": [to_wire(each) for each in findings(probed)], **to_wire(probed)}

    run_module(module, work)


if __name__ == "__main__":
    main()
