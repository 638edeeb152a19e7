# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name, which runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: health
short_description: Judge a host's TCP by the targets of its profile
version_added: 0.1.0
author:
  - netfleet.tcp contributors (@netfleet)
description:
  - Visits the host once, with M(netfleet.tcp.tcp_health_info), and changes nothing there. Without root it is not known
    whose listening sockets are.
  - What is not given here is taken from the host's variables of the same names with C(tcp_health_) before them.
  - The profile is C(tcp_tuning_profile), else the group C(local), C(cloud), C(wan) or C(edge) that the host is in.
  - Never fails a host; one that cannot be asked is a finding too. M(netfleet.tcp.health_report) weighs the findings.
    The playbook C(netfleet.tcp.health) runs both.
extends_documentation_fragment:
  - netfleet.tcp.attributes
  - netfleet.tcp.attributes.facts
  - netfleet.tcp.a_report.waivers
attributes:
  action:
    description: The judgement runs on the controller.
    support: full
options:
  interval:
    description: Seconds to count over, at most V(300); V(0) counts since the host's boot.
    type: float
    default: 5
  samples:
    description:
      - A directory on the controller with a sample of each host's counters. Where one is there, the host is judged by
        all that it has counted since, and O(interval) does not count.
    type: str
    default: ""
  keep_samples:
    description: Whether the new samples are kept in O(samples), in the place of earlier ones. Not in check mode.
    type: bool
    default: true
  peers:
    description:
      - Classes of peers, each with its prefixes, as O(netfleet.tcp.tcp_health_info#module:peers). They come beside
        those that the inventory tells by itself.
      - Hosts of the profiles C(local) and C(cloud) have a class of the profile's name with private addresses. Networks
        of C(wireguard_links_topologies) are the class C(tunnel), and so are the prefixes of C(wireguard_links_sites),
        but for the host's own site, where it is known which that is.
    type: dict
    default: {}
  targets:
    description: What is to be met, in percent; V(0) for none. What is not given is as for the profile.
    type: dict
    default: {}
    suboptions:
      client_success:
        description: More than so many of the connections that the host opens are established.
        type: float
      server_success:
        description: More than so many of the connections to its listeners are accepted.
        type: float
      retransmission:
        description: Less than so many of the data segments that it sends are retransmissions.
        type: float
      syn_retransmission:
        description: Less than so many SYNs and SYN-ACKs are sent again, by connections opened and accepted.
        type: float
  rtt_targets:
    description:
      - By class of peers, milliseconds below which the mean RTT is to be; V(0) for none. C(local) has V(5), C(cloud)
        V(50), where nothing else is given.
    type: dict
    default: {}
seealso:
  - module: netfleet.tcp.health_report
  - module: netfleet.tcp.tcp_health_info
"""

EXAMPLES = r"""
- name: Look, and judge what was counted since yesterday
  netfleet.tcp.health:
    samples: /var/lib/netfleet/samples
    rtt_targets: {tunnel: 80}
  register: __tcp_health
"""

RETURN = r"""
health:
  description: What M(netfleet.tcp.health_report) needs to know of the host.
  returned: always
  type: dict
  contains:
    status:
      description: V(asked), V(not_enough_traffic) (no indicator could be judged), V(unreachable) or V(failed).
      returned: always
      type: str
    findings:
      description: Each with C(subject), C(key), C(severity), C(rule), C(reason), C(intended), C(running), C(cure) and
        C(waiver).
      returned: always
      type: list
      elements: dict
    tolerated:
      description: Of what there is too little traffic to judge, subject and key of each that a waiver covers.
      returned: where the host was asked
      type: list
      elements: list
    checked:
      description: How many things were judged, by indicator.
      returned: always
      type: dict
    looked:
      description: What was counted, and what came of it, with C(counters), C(indicators) and C(rtts).
      returned: where the host was asked
      type: dict
"""
