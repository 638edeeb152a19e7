# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name, which runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: tcp_render
short_description: Write what a host would get into a folder, without contacting it
version_added: 0.1.0
author:
  - netfleet.tcp contributors (@netfleet)
description:
  - Writes the files of the declaration below C(directory/HOST/), as they would stand on a host that has everything the
    declaration mentions, and C(summary.yml), which says what the host itself decides (its memory, its kernel's own
    higher values, its interfaces).
  - Depends on the inventory and the version of this collection alone, so that a change of the inventory shows as a
    plain diff. Secrets are tokens.
extends_documentation_fragment:
  - netfleet.tcp.attributes
  - netfleet.tcp.attributes.controller
  - netfleet.tcp.attributes.changes
options:
  tcp_tuning:
    description: The declaration, with the options of M(netfleet.tcp.tcp_tuning). Required unless O(prune=true).
    type: dict
  directory:
    description: The folder, on the controller. A folder of a host that holds something else is refused.
    type: path
    required: true
  prune:
    description: Instead of rendering, remove the renderings of hosts that are not in the inventory.
    type: bool
    default: false
seealso:
  - module: netfleet.tcp.tcp_tuning
"""

EXAMPLES = r"""
- name: Render
  netfleet.tcp.tcp_render:
    tcp_tuning:
      profile: cloud
    directory: rendered
"""

RETURN = r"""
folder:
  description: The host's folder.
  returned: success, unless pruning
  type: str
removed:
  description: The folders that were removed.
  returned: when pruning
  type: list
  elements: str
"""
