# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name, which runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: links_throughput
short_description: What TCP gets through a link, beside what it gets without
version_added: 0.1.0
author:
  - netfleet.tcp contributors (@netfleet)
description:
  - Works out, from the declaration of links, which two transfers by iperf3 show what a link costs, and what the answers
    of these say. Visits no host itself.
  - The playbook C(netfleet.tcp.links_throughput) uses it, by the role P(netfleet.tcp.wireguard_links#role).
extends_documentation_fragment:
  - netfleet.tcp.attributes
  - netfleet.tcp.attributes.facts
attributes:
  action:
    description: All of it is done on the controller.
    support: full
options:
  declaration:
    description: C(sites), C(peers) and C(topologies).
    type: dict
    required: true
  options:
    description:
      - C(sender) and C(receiver), hosts of the inventory; C(topology), where more than one joins them; C(seconds) of
        each transfer (10); C(rate) in Mbit/s that it is held to (0 for as much as goes); C(iperf3_port), of TCP, in the
        tunnel (5201), while the next one serves beside it.
    type: dict
    default: {}
  answers:
    description: What iperf3 has printed for each of RV(ways). Without, these are worked out.
    type: list
    elements: str
    default: []
seealso:
  - module: netfleet.tcp.wireguard_links
"""

EXAMPLES = r"""
- name: Which transfers show what the link costs?
  netfleet.tcp.links_throughput:
    declaration:
      sites: "{{ wireguard_links_sites }}"
      topologies: "{{ wireguard_links_topologies }}"
    options: {sender: gw1, receiver: east1}
  register: measurement
"""

RETURN = r"""
server:
  description: The host that listens.
  returned: without O(answers)
  type: str
client:
  description: The host that can call it.
  returned: without O(answers)
  type: str
interface:
  description: The sender's interface.
  returned: without O(answers)
  type: str
seconds:
  description: Of each transfer.
  returned: without O(answers)
  type: int
ways:
  description: Each with C(name), and the command lines C(server) and C(client).
  returned: without O(answers)
  type: list
  elements: dict
tunnel:
  description: C(bits_per_second), C(bytes), C(seconds), C(retransmits) and C(mss).
  returned: with O(answers)
  type: dict
underlay:
  description: The same of the transfer beside the tunnel.
  returned: with O(answers)
  type: dict
ratio:
  description: What the tunnel leaves of the underlay's throughput.
  returned: with O(answers)
  type: float
"""
