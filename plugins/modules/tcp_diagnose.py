#!/usr/bin/python
# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A bounded capture of a connection's headers, and all else that a host knows of why it is slow."""

from __future__ import annotations

DOCUMENTATION = r"""
module: tcp_diagnose
short_description: Capture a connection's headers, and what else tells why it is slow
version_added: 0.1.0
author:
  - netfleet.tcp contributors (@netfleet)
description:
  - For some seconds, captures the packets between the host and a peer, or of a port, with C(tcpdump), and looks at
    sockets, counters, routes, queueing disciplines, the MTU of the path and the routers on it meanwhile.
  - The capture ends each packet where its last header does - no payload leaves the kernel's buffer, but where
    O(payload) asks for it. It is bounded by O(seconds) and O(megabytes), never without a filter, and no file is written
    on the host.
  - Changes nothing, and installs nothing. What is missing (C(tcpdump), C(mtr), C(bpftrace), root) is named in
    RV(view.limits), and the rest is done.
  - To be run by the playbook C(netfleet.tcp.diagnose), which judges what both ends say.
extends_documentation_fragment:
  - netfleet.tcp.attributes
  - netfleet.tcp.attributes.facts
options:
  peers:
    description: Addresses, or names that the host resolves, of the other end; at most 8.
    type: list
    elements: str
    default: []
  port:
    description: The port at either end; V(0) for any.
    type: int
    default: 0
  serves:
    description: Whether O(port) is served by this host, so that it opens no connections itself.
    type: bool
    default: false
  filter:
    description: More that packets have to be, as C(pcap-filter(7)) has it. It is one word of tcpdump's command line.
    type: str
    default: ""
  interface:
    description:
      - Where to capture. Where nothing is given, C(any) where O(serves), else the interface of the route to the peers,
        else C(any).
    type: str
    default: ""
  seconds:
    description: How long, from V(1) to V(300).
    type: float
    default: 10
  megabytes:
    description: How large the capture gets at most, before it is compressed, from V(1) to V(64).
    type: int
    default: 8
  payload:
    description: Bytes of payload of each packet that are captured. Payload may have passwords in it.
    type: int
    default: 0
  connects:
    description:
      - How many connections to open to the first peer's port, and to close again, so that a handshake is seen. Not from
        the end that serves.
    type: int
    default: 3
  hops:
    description: Whether to ask C(mtr), C(traceroute) or C(tracepath), whichever is installed, for the way.
    type: bool
    default: true
  trace:
    description: Whether to have C(bpftrace) watch retransmissions, resets and connects. Needs root.
    type: bool
    default: false
requirements:
  - Linux; root and tcpdump for the capture, iproute2 4.17 or newer for routes and queueing disciplines
seealso:
  - module: netfleet.tcp.diagnose
  - module: netfleet.tcp.tcp_health_info
"""

EXAMPLES = r"""
- name: What goes on between here and the database?
  netfleet.tcp.tcp_diagnose:
    peers: [10.20.0.5]
    port: 5432
    seconds: 20
  become: true
  register: view
"""

RETURN = r"""
view:
  description: All that the host says.
  returned: success
  type: dict
  contains:
    capture:
      description: What was captured where, by which filter, and what was missed; without the data.
      returned: success
      type: dict
    sockets:
      description: The connections with the peers and of the port, as the kernel has them.
      returned: success
      type: list
      elements: dict
    listeners:
      description: The sockets that listen on the port, with their queues.
      returned: success
      type: list
      elements: dict
    holders:
      description: Whose the connections are of which something was not read.
      returned: success
      type: dict
    counters:
      description: By the names of nstat, what was counted in the time; those that did not change are left out.
      returned: success
      type: dict
    settings:
      description: Keys by which causes are told.
      returned: success
      type: dict
    ways:
      description: By peer, the route, the MTU of the path, the routers on it, and connections that were tried.
      returned: success
      type: list
      elements: dict
    interfaces:
      description: What their qdiscs and they themselves have dropped in the time.
      returned: success
      type: list
      elements: dict
    traced:
      description: What C(bpftrace) has seen.
      returned: success
      type: list
      elements: dict
    raw:
      description: What programs have printed, by a name.
      returned: success
      type: dict
    limits:
      description: What could not be looked at, and why.
      returned: success
      type: list
      elements: str
capture:
  description: The capture, as a pcap file compressed by gzip, in base64; empty where there is none.
  returned: success
  type: str
"""

import base64
import time
from dataclasses import replace

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.netfleet.tcp.plugins.module_utils._capture import TcpdumpCapture
from ansible_collections.netfleet.tcp.plugins.module_utils._connects import connect_all, route_mtus
from ansible_collections.netfleet.tcp.plugins.module_utils._diagnose import Tools, asked_from, look
from ansible_collections.netfleet.tcp.plugins.module_utils._exit import run_module
from ansible_collections.netfleet.tcp.plugins.module_utils._icmp import echo
from ansible_collections.netfleet.tcp.plugins.module_utils._model import to_wire
from ansible_collections.netfleet.tcp.plugins.module_utils._probe import Network
from ansible_collections.netfleet.tcp.plugins.module_utils._system import LinuxSystem


def main() -> None:
    """Specification, look, exit."""
    module = AnsibleModule(
        argument_spec=dict(
            peers=dict(type="list", elements="str", default=[]),
            port=dict(type="int", default=0),
            serves=dict(type="bool", default=False),
            filter=dict(type="str", default=""),
            interface=dict(type="str", default=""),
            seconds=dict(type="float", default=10),
            megabytes=dict(type="int", default=8),
            payload=dict(type="int", default=0),
            connects=dict(type="int", default=3),
            hops=dict(type="bool", default=True),
            trace=dict(type="bool", default=False),
        ),
        supports_check_mode=True,
    )

    def work() -> dict:
        tools = Tools(Network(connect_all, echo, route_mtus), TcpdumpCapture, time.sleep)
        view = look(LinuxSystem(), tools, asked_from(module.params))
        data = base64.b64encode(view.capture.data).decode("ascii")
        return {
            "changed": False,
            "capture": data,
            "view": to_wire(replace(view, capture=replace(view.capture, data=b""))),
        }

    run_module(module, work)


if __name__ == "__main__":
    main()
