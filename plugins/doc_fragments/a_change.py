# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a module that changes a host is told of the change, for the host's records."""

from __future__ import annotations


class ModuleDocFragment:
    """Options that say whose change it is."""

    DOCUMENTATION = r"""
options:
  author:
    description: Who makes the change, for the host's journal and its record.
    type: str
    default: ""
  run:
    description: Of which run the change is a part; the same on all its hosts, so that they can be rolled back by it.
    type: str
    default: ""
  amends:
    description: The id of a pending change of the same run that this one becomes a part of; its time begins anew.
    type: str
    default: ""
"""
