# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name, which runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: drift
short_description: Compare what is declared for a host, what it runs, and what its next boot will run
version_added: 0.1.0
author:
  - netfleet.tcp contributors (@netfleet)
description:
  - Visits the host once, with M(netfleet.tcp.tcp_facts), changes nothing, and needs no more rights than to read
    /proc/sys. What only root may read is said to be not judged.
  - Where the inventory declares WireGuard links (C(wireguard_links_topologies)), these are compared too, in the same
    visit, as root.
  - Never fails a host; one that cannot be asked is a finding too. M(netfleet.tcp.drift_report) weighs the findings.
  - The playbook P(netfleet.tcp.tcp_tuning#role) C(netfleet.tcp.drift) runs both.
extends_documentation_fragment:
  - netfleet.tcp.attributes
  - netfleet.tcp.attributes.facts
  - netfleet.tcp.a_report.waivers
attributes:
  action:
    description: The comparison runs on the controller.
    support: full
options:
  tcp_tuning:
    description:
      - The declaration, with the options of M(netfleet.tcp.tcp_tuning), or the name of a variable that holds it.
    type: dict
    required: true
  report:
    description:
      - The C(threshold), C(formats) and C(directory) that M(netfleet.tcp.drift_report) will be given. What it could not
        take is refused before the host is visited.
    type: dict
    default: {}
seealso:
  - module: netfleet.tcp.drift_report
  - module: netfleet.tcp.tcp_tuning
"""

EXAMPLES = r"""
- name: Compare
  netfleet.tcp.drift:
    tcp_tuning:
      profile: cloud
    waivers:
      - hosts: gw*
        key: net.ipv4.tcp_rmem
        reason: a measurement of the vendor's until the summer
        expires: 2027-06-30
  register: drift
"""

RETURN = r"""
drift:
  description: What M(netfleet.tcp.drift_report) needs to know of the host.
  returned: always
  type: dict
  contains:
    status:
      description: V(asked), V(unreachable) or V(failed).
      returned: always
      type: str
    findings:
      description: Each with C(subject), C(key), C(severity), C(rule), C(reason), C(intended), C(running), C(boot),
        C(source), C(owner), C(takes_effect), C(cure) and C(waiver).
      returned: always
      type: list
      elements: dict
    checked:
      description: How many things were compared, by subject.
      returned: always
      type: dict
"""
