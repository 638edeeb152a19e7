# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name, which runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kube_proxy
short_description: The steps that bring kube-proxy of a cluster to a mode, node by node
version_added: 0.1.0
author:
  - netfleet.tcp contributors (@netfleet)
description:
  - Looks at a node (V(look)); from what all of them said and what the API says, chooses the mode and the order of
    nodes, and names everything that stands in the way of any of them (V(plan)); changes a node, verifies it from the
    outside, and gives it back what it had where that does not hold (V(switch)).
  - Before the first node is changed, it refuses to go on without one of the hosts that were planned (V(begin)).
  - Where the API holds the configuration (kubeadm, EKS), nodes move one by one to a second DaemonSet (V(begin) too);
    once all have moved the cluster's own one gets the settings (V(settle)), nodes go back to it (V(home)), and nothing
    of the second one is left (V(end)).
  - The role P(netfleet.tcp.kube_proxy#role) uses it, and says what the variables mean.
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
    choices: [look, plan, begin, switch, settle, home, end]
    required: true
  plan:
    description: The result of O(step=plan). For all steps that follow it.
    type: dict
    default: {}
  number:
    description: The number of the wave, from 0 on. For O(step=switch) and O(step=home).
    type: int
    default: 0
  settled:
    description: The result of O(step=settle). For O(step=home).
    type: dict
    default: {}
  settings:
    description: The role's variables, without their prefix.
    type: dict
    default: {}
requirements:
  - the Python package kubernetes on the controller, where the API is asked
seealso:
  - module: netfleet.tcp.kube_proxy_info
  - module: netfleet.tcp.kube_proxy_mode
"""

EXAMPLES = r"""
- name: Look at kube-proxy
  netfleet.tcp.kube_proxy:
    step: look
    settings: {mode: nftables}
  register: __kube_proxy_look

- name: Choose the mode, and see what stands in the way of all nodes
  netfleet.tcp.kube_proxy:
    step: plan
    settings: {mode: nftables}
  run_once: true
  register: plan
"""

RETURN = r"""
node:
  description: What was seen of the node, as RV(netfleet.tcp.kube_proxy_info#module:node).
  returned: by O(step=look)
  type: dict
plan:
  description: The mode, why it is that one, and for each node what differs and what it is to do.
  returned: by O(step=plan)
  type: dict
waves:
  description: The hosts of each wave; none where all is as it should be.
  returned: by O(step=plan) and O(step=settle)
  type: list
  elements: list
changes:
  description: What was changed on the node, each with C(key), C(running), C(want) and C(reason).
  returned: by O(step=switch), of a node that was changed
  type: list
  elements: dict
steps:
  description: What was done in the API, or would be, a line for each.
  returned: by O(step=begin), O(step=settle) and O(step=end)
  type: list
  elements: str
verified:
  description: By how many Services and connections the node was verified.
  returned: by O(step=switch), of a node that was changed
  type: str
missing:
  description:
    - The nodes of the cluster that this run has not seen to have the settings, so that its own ConfigMap does not get
      them.
  returned: by O(step=settle), if there are any
  type: list
  elements: str
"""
