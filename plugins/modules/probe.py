# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name, which runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: probe
short_description: Have a host connect to a few others of the play
version_added: 0.1.0
author:
  - netfleet.tcp contributors (@netfleet)
description:
  - Visits the host once, with M(netfleet.tcp.tcp_probe), and changes nothing there.
  - Each host calls as many peers, and is called by as many, however large the play is. Which these are follows from the
    names of the hosts and O(round) alone.
  - What is not given here is taken from the host's variables of the same names with C(tcp_probe_) before them. Targets,
    targets of RTT and classes of peers are those of M(netfleet.tcp.health) (C(tcp_health_targets),
    C(tcp_health_rtt_targets), C(tcp_health_peers)).
  - Never fails a host; one that cannot be asked is a finding too. M(netfleet.tcp.probe_report) weighs the findings.
    The playbook C(netfleet.tcp.probe) runs both.
extends_documentation_fragment:
  - netfleet.tcp.attributes
  - netfleet.tcp.attributes.facts
  - netfleet.tcp.a_report.waivers
attributes:
  action:
    description: The choice of peers and the judgement run on the controller.
    support: full
options:
  peers:
    description: How many other hosts a host calls, at most V(64).
    type: int
    default: 3
  to:
    description: Groups and hosts of the inventory that may be called. All hosts of the play, where nothing is given.
    type: list
    elements: str
    default: []
  ports:
    description: Ports that are called on each peer. Where nothing is given, the one of ssh (C(ansible_port), else 22).
    type: list
    elements: int
    default: []
  endpoints:
    description: Others that every host calls, as C(ADDRESS:PORT), C([ADDRESS]:PORT) or C(HOST:PORT).
    type: list
    elements: str
    default: []
  attempts:
    description:
      - Connections to each, from V(1) to V(200), one after the other. OpenSSH from 9.8 on refuses an address for a
        while after some fifteen that did not log in, of all hosts behind one address together; more suit other ports.
    type: int
    default: 4
  timeout:
    description: Seconds after which a connection has failed, from V(0.1) to V(30).
    type: float
    default: 3.0
  mtu:
    description: Whether to look for the largest packet that gets through. Needs root.
    type: bool
    default: true
  round:
    description: Another number has other peers called, so that some days see all pairs.
    type: int
    default: 0
seealso:
  - module: netfleet.tcp.probe_report
  - module: netfleet.tcp.tcp_probe
"""

EXAMPLES = r"""
- name: Do all clients reach the databases?
  netfleet.tcp.probe:
    to: [databases]
    ports: [5432]
    attempts: 50
  register: __tcp_probe
"""

RETURN = r"""
probe:
  description: What M(netfleet.tcp.probe_report) needs to know of the host.
  returned: always
  type: dict
  contains:
    status:
      description: V(asked), V(not_enough_traffic) (too few connections to judge), V(unreachable) or V(failed).
      returned: always
      type: str
    findings:
      description: Each with C(subject), C(key), C(severity), C(rule), C(reason), C(intended), C(running), C(cure) and
        C(waiver).
      returned: always
      type: list
      elements: dict
    destinations:
      description: As M(netfleet.tcp.tcp_probe) returns them.
      returned: where the host was asked
      type: list
      elements: dict
    looked:
      description: What was counted, and what came of it, with C(counters), C(indicators) and C(rtts).
      returned: where the host was asked
      type: dict
"""
