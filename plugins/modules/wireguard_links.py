# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name, which runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: wireguard_links
short_description: The steps that bring WireGuard links to their declared state
version_added: 0.1.0
author:
  - netfleet.tcp contributors (@netfleet)
description:
  - Works out, from one declaration for all hosts, what each of them has to have (V(plan)); looks at a host and makes
    its key where it has none (V(look)); asks a host outside of the play for its public key (V(ask)); and brings the
    running kernel to what it has to have (V(make)), in place, so that what differs is all that is touched.
  - Where a host's key changes, its peers learn the new one beside the former; then it switches (V(switch)), and they
    hand over what it is allowed by the time it first speaks with it.
  - FRR, where links need it, is brought to its configuration before the links are changed, and to what it was before
    them after they are (V(route)); it is a part of the same change.
  - The change is armed with a revert. Peers that answered before it are asked again (V(check)). From what all
    hosts have said, it is worked out who keeps it (V(judge)); then it is confirmed over a new connection and written
    for the next boot, or taken back on both ends (V(end)). A host that cannot be
    reached any more takes it back by itself.
  - The role P(netfleet.tcp.wireguard_links#role) uses it, and says what the variables mean.
extends_documentation_fragment:
  - netfleet.tcp.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  action:
    description: The planning runs on the controller.
    support: full
options:
  step:
    description: Which step.
    type: str
    choices: [plan, look, ask, route, make, switch, check, judge, end]
    required: true
  declaration:
    description: C(sites), C(peers) and C(topologies). For O(step=plan) and O(step=look).
    type: dict
    default: {}
  plan:
    description: The result of O(step=plan). For O(step=look), O(step=route), O(step=make) and O(step=end).
    type: dict
    default: {}
  look:
    description: The result of O(step=look). For O(step=route), O(step=make) and O(step=check).
    type: dict
    default: {}
  asked:
    description: The results of O(step=ask). For O(step=route) and O(step=make).
    type: list
    elements: dict
    default: []
  routed:
    description: The result of O(step=route) before it, of whose change this one becomes a part. For O(step=make).
    type: dict
    default: {}
  made:
    description:
      - The result of the latest step that changed the host, O(step=make) or O(step=route). For O(step=switch),
        O(step=check) and O(step=end), and for O(step=route) after O(step=make).
    type: dict
    default: {}
  verdict:
    description: The result of O(step=judge). For O(step=end).
    type: dict
    default: {}
  settings:
    description:
      - The role's other variables, without their prefix. For O(step=plan), O(step=look), O(step=route), O(step=make)
        and O(step=end).
    type: dict
    default: {}
seealso:
  - module: netfleet.tcp.wireguard_key
  - module: netfleet.tcp.tcp_apply
"""

EXAMPLES = r"""
- name: Work the links out
  netfleet.tcp.wireguard_links:
    step: plan
    declaration:
      sites:
        onprem: {prefixes: [10.10.0.0/16], gateways: [gw1]}
        cloud: {prefixes: [10.20.0.0/16], gateways: [east]}
      topologies:
        - {name: wan, kind: site_to_site, members: [onprem, cloud], networks: [10.99.0.0/24]}
  run_once: true
  register: plan
"""

RETURN = r"""
hosts:
  description: The interfaces that each host has to have.
  returned: by O(step=plan)
  type: dict
digest:
  description: Stands for the declaration, with which each host compares its own.
  returned: by O(step=plan)
  type: str
run:
  description: What all hosts of the run have in common.
  returned: by O(step=plan)
  type: str
outside:
  description: The hosts whose public keys are needed, and which neither the play nor C(keys) has.
  returned: by O(step=plan)
  type: list
  elements: str
public_key:
  description: The host's public key; empty where it has none, or could not be asked.
  returned: by O(step=look) and O(step=ask)
  type: str
changes:
  description: What was changed, as RV(netfleet.tcp.tcp_apply#module:changes).
  returned: by O(step=route) and O(step=make)
  type: list
  elements: dict
next_key:
  description: The public key that is to follow; empty in check mode, where it is not made yet.
  returned: by O(step=look), of a host that gets another one
  type: str
held:
  description: The peers that have not learnt the new key, so that the host did not switch to it.
  returned: by O(step=switch), if there are any
  type: list
  elements: str
dead:
  description: The peers that answered before the change, and do not since.
  returned: by O(step=check)
  type: list
  elements: str
"""
