# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name, which runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: diagnose
short_description: Have one end of a connection look why it is slow
version_added: 0.1.0
author:
  - netfleet.tcp contributors (@netfleet)
description:
  - Visits the host once, with M(netfleet.tcp.tcp_diagnose), and changes nothing there. Of the hosts of the play, that
    of the name O(peer) looks at the others, and these look at it, all at the same time.
  - What the host says is kept on the controller, for its owner alone, until M(netfleet.tcp.diagnose_report) makes an
    archive of it, or Ansible ends.
  - What is not given here is taken from the host's variables of the same names with C(tcp_diagnose_) before them.
    Hosts are called at C(tcp_probe_address), else C(ansible_host).
  - Never fails a host; one that cannot be asked is a finding too. The playbook C(netfleet.tcp.diagnose) runs both.
extends_documentation_fragment:
  - netfleet.tcp.attributes
  - netfleet.tcp.attributes.facts
attributes:
  action:
    description: What is captured is judged on the controller.
    support: full
options:
  host:
    description: Whom the playbook visits, as a pattern. It must be given.
    type: str
    default: ""
  peer:
    description:
      - The other end, a host of the inventory or an address. Where nothing is given, O(port) is a service of the host.
    type: str
    default: ""
  port:
    description: The port of the service; V(0) for any.
    type: int
    default: 0
  filter:
    description: More that packets have to be, as C(pcap-filter(7)) has it.
    type: str
    default: ""
  interface:
    description:
      - Where to capture. Where nothing is given, C(any) at the end that serves, and at the other one the interface of
        the route to the peer, else C(any).
    type: str
    default: ""
  seconds:
    description: How long, from V(1) to V(300).
    type: float
    default: 10
  megabytes:
    description: How large each capture gets at most, before it is compressed, from V(1) to V(64).
    type: int
    default: 8
  payload:
    description: Bytes of payload of each packet that are captured. Payload may have passwords in it.
    type: int
    default: 0
  connects:
    description: How many connections to open to the peer's port, so that a handshake is seen; at most V(50).
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
seealso:
  - module: netfleet.tcp.diagnose_report
  - module: netfleet.tcp.tcp_diagnose
"""

EXAMPLES = r"""
- name: Look
  netfleet.tcp.diagnose:
    host: app1
    peer: db1
    port: 5432
  register: __tcp_diagnose
"""

RETURN = r"""
diagnose:
  description: What M(netfleet.tcp.diagnose_report) needs to know of the host.
  returned: always
  type: dict
  contains:
    status:
      description: V(asked), V(unreachable) or V(failed).
      returned: always
      type: str
    findings:
      description: What could not be looked at, each with C(subject), C(key), C(severity), C(rule), C(reason), C(cure).
      returned: always
      type: list
      elements: dict
    folder:
      description: Where on the controller what the host has said is kept.
      returned: where the host was asked
      type: str
    settings:
      description: What it was asked for.
      returned: where the host was asked
      type: dict
    addresses:
      description: Where the hosts of the play are called, by name.
      returned: where the host was asked
      type: dict
"""
