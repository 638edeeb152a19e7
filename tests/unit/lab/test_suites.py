# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest

from lab.suites import KNOWN
from lab.tree import mmdebstrap_argv

SERVICES = {
    "tuned": "tuned",
    "frr": "frr",
    "charon-systemd": "strongswan",
    "prometheus-node-exporter": "prometheus-node-exporter",
}


@pytest.mark.parametrize("suite", KNOWN)
def test_whatever_runs_by_itself_after_its_installation_is_switched_off(suite: str) -> None:
    """Each service costs every boot of every host some tenths of a second under emulation."""
    data = KNOWN[suite]
    assert {unit for package, unit in SERVICES.items() if package in data.packages} <= set(data.disabled)
    argv = mmdebstrap_argv(data, Path("tree.tar"))
    for unit in data.disabled:
        assert f'--customize-hook=systemctl --root="$1" --quiet disable {unit}' in argv


@pytest.mark.parametrize("suite", ["bookworm", "trixie"])
def test_hosts_of_the_fleet_have_what_is_tested_on_them(suite: str) -> None:
    (packages,) = [word for word in mmdebstrap_argv(KNOWN[suite], Path("t.tar")) if word.startswith("--include=")]
    wanted = {"tuned", "wireguard-tools", "frr", "frr-pythontools", "strongswan-swanctl", "charon-systemd", "iperf3"}
    assert wanted | {"nftables", "prometheus-node-exporter"} <= set(packages.removeprefix("--include=").split(","))
