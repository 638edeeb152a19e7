# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name, which runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: tcp_tuning
short_description: Bring a host's TCP configuration to a declared state
version_added: 0.1.0
author:
  - netfleet.tcp contributors (@netfleet)
description:
  - Composes the declaration (base, profile, workloads, features, overrides; later ones win), looks at the host in one
    visit, and visits it a second time only if something has to change.
  - Everything is verified by what the kernel runs and what the next boot will run, not by the file that was written.
  - The role P(netfleet.tcp.tcp_tuning#role) hands its variables to this module; its documentation says more of each.
extends_documentation_fragment:
  - netfleet.tcp.attributes
  - netfleet.tcp.attributes.changes
  - netfleet.tcp.attributes.result_notes
attributes:
  action:
    description: The composing and planning run on the controller.
    support: full
options:
  state:
    description: V(absent) takes the declaration away and restores the values from before it.
    type: str
    choices: [present, absent]
    default: present
  profile:
    description: Where the host stands - V(local), V(cloud), V(wan) or V(edge). Required with O(state=present).
    type: str
  workloads:
    description: What the host does, in rising precedence.
    type: list
    elements: str
    default: []
  congestion_control:
    description: Algorithms in order of preference; the first that the host has or can load. Empty for the profile's.
    type: list
    elements: str
    default: []
  fast_open:
    description: TCP Fast Open - V(profile), V(off), V(client), V(server), V(both) or V(all_listeners).
    type: raw
    default: profile
  fast_open_key:
    description: The key that hosts behind one load balancer share; two (comma between) while one replaces another.
    type: str
  bandwidth:
    description: Bandwidth of one flow, such as V(10Gbit). Empty for the profile's.
    type: str
  rtt:
    description: Round-trip time, such as V(40ms). Empty for the profile's.
    type: str
  memory_share:
    description: The share of the host's memory that the maximum of one buffer may be.
    type: float
    default: 0.05
  qdisc:
    description: V(profile), V(none), V(fq), V(fq_codel), V(pfifo_fast), V(sfq) or V(cake).
    type: str
    default: profile
  qdisc_interfaces:
    description: Live interfaces whose qdisc to set; V(auto) stands for those that are up and backed by a device.
    type: list
    elements: str
    default: [auto]
  reserved_ports:
    description: Ports and ranges that outgoing connections leave to listeners.
    type: list
    elements: str
    default: []
  overrides:
    description: Values of single keys; they win over everything else.
    type: dict
    default: {}
  force:
    description: Whether a value that the kernel has higher by itself may be lowered.
    type: bool
    default: false
  unsupported:
    description: What to do about a key or feature that the host does not have or may not change.
    type: str
    choices: [fail, warn, skip]
    default: fail
  boot_conflict:
    description:
      - What to do about a file of somebody else's that would win at the next boot.
      - V(override) adds a file of ours that sorts after it; the other stays as it is.
      - A file that stands in the place of ours is refused, unless V(warn) is given.
    type: str
    choices: [override, fail, warn]
    default: override
  confirm:
    description:
      - Seconds within which a change is confirmed, over a fresh connection. Until then the running kernel alone is
        changed; after them, or at a boot, the host is as before, whatever became of the connection and the controller.
      - V(0) makes a change final at once.
    type: int
    default: 120
  log:
    description:
      - A file on the controller that gets a line of JSON for each host that is changed - when, who, which change, what
        from and to. Empty for none.
    type: str
    default: ~/.local/state/netfleet-tcp/changes.jsonl
  file:
    description: Name of the sysctl.d file. Files sort by name, whatever their directory; the last one wins at boot.
    type: str
    default: 90-netfleet-tcp.conf
  template:
    description: Template of the sysctl.d file, in place of the role's own.
    type: str
seealso:
  - module: netfleet.tcp.tcp_facts
  - module: netfleet.tcp.tcp_apply
  - module: netfleet.tcp.tcp_confirm
"""

EXAMPLES = r"""
- name: A message broker in a cloud region
  netfleet.tcp.tcp_tuning:
    profile: cloud
    workloads: [many_connections]
    bandwidth: 5Gbit
    rtt: 40ms

- name: Give it back
  netfleet.tcp.tcp_tuning:
    state: absent
"""

RETURN = r"""
change:
  description: The change that was made, with C(id), C(author), C(started), C(ended) and C(outcome).
  returned: where something was changed and had to be confirmed
  type: dict
before:
  description: What ran before, by subject (sysctl, qdisc, module, file) and key.
  returned: success
  type: dict
  sample: {sysctl: {net.ipv4.tcp_congestion_control: cubic}}
after:
  description: The same after the run, read back from the kernel (in check mode - as planned).
  returned: success
  type: dict
  sample: {sysctl: {net.ipv4.tcp_congestion_control: bbr}}
changes:
  description: Each difference that was removed, with C(subject), C(key), C(want), C(running), C(boot), C(source),
    C(reason) and C(takes_effect).
  returned: success
  type: list
  elements: dict
findings:
  description: What stands in the way or deserves a word, with C(severity), C(reason), C(source) and C(cure).
  returned: always
  type: list
  elements: dict
problems:
  description: Each problem on its own, where the run failed.
  returned: failure
  type: list
  elements: str
"""
