# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The instances of the lab that may stand side by side on one machine, as the environment that chooses each."""

from __future__ import annotations

from tools.shared import ROOT

INSTANCES = {
    name: {"NETFLEET_LAB_OFFSET": str(offset), "NETFLEET_LAB_DIR": str(ROOT / ".lab" / name)}
    for offset, name in enumerate(("demo", "test", "bench"))
}
