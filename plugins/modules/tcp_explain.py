# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name, which runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: tcp_explain
short_description: Say where the values of keys come from on a host
version_added: 0.1.0
author:
  - netfleet.tcp contributors (@netfleet)
description:
  - For each key, prints every layer of the declaration that gave it a value with reason and source, what runs, what
    stood there before, which file and line decides at the next boot, and which are shadowed and why.
  - Visits the host once, with M(netfleet.tcp.tcp_facts), and changes nothing.
extends_documentation_fragment:
  - netfleet.tcp.attributes
  - netfleet.tcp.attributes.facts
attributes:
  action:
    description: The explanation is made on the controller.
    support: full
options:
  tcp_tuning:
    description: The declaration, with the options of M(netfleet.tcp.tcp_tuning).
    type: dict
    required: true
  keys:
    description: The keys, in either spelling (dots or slashes).
    type: list
    elements: str
    required: true
seealso:
  - module: netfleet.tcp.drift
"""

EXAMPLES = r"""
- name: Why is the receive buffer what it is?
  netfleet.tcp.tcp_explain:
    tcp_tuning:
      profile: cloud
    keys: [net.ipv4.tcp_rmem]
"""

RETURN = r"""
explained:
  description: The lines that were printed.
  returned: success
  type: list
  elements: str
"""
