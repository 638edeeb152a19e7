# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Attributes that the modules of this collection share."""

from __future__ import annotations


class ModuleDocFragment:
    """Fragments: the default for all; CHANGES, FACTS: whether a host is changed; CONTROLLER: none is contacted."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in check mode and return the changed status that an application would have.
  diff_mode:
    description: Returns what would change, or has changed, in diff mode.
  platform:
    description: Linux hosts with Python 3.8 or newer; changes need root, and iproute2 where qdiscs are concerned.
    platforms: linux
    support: full
"""

    CHANGES = r"""
options: {}
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
"""

    FACTS = r"""
options: {}
attributes:
  check_mode:
    support: full
    details: It changes nothing.
  diff_mode:
    support: none
    details: It changes nothing.
"""

    CONTROLLER = r"""
options: {}
attributes:
  action:
    description: Runs on the controller; no host is contacted.
    support: full
"""

    RESULT_NOTES = r"""
options: {}
notes:
  - The result has the same shape in every module of this collection that changes a host - RV(ignore:changed),
    RV(ignore:before), RV(ignore:after), RV(ignore:changes), RV(ignore:findings) and RV(ignore:warnings).
  - Values of secret keys (C(net.ipv4.tcp_fastopen_key)) appear in no result, diff or log; a token stands for them.
"""
