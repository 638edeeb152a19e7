# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in for k3s reads files as k3s does."""

from __future__ import annotations

from tests.molecule.k3s_agent import arguments


def test_a_later_file_adds_with_a_plus_and_replaces_without() -> None:
    first = "# own\nnode-label:\n  - a=b\nkube-proxy-arg:\n- 'v=2'\n- proxy-mode=iptables\ndebug: true\n"
    assert arguments([first]) == ["--v=2", "--proxy-mode=iptables"]
    ours = '# managed\n"kube-proxy-arg+":\n  - "proxy-mode=ipvs"\n  - "ipvs-scheduler=lc"\n'
    assert arguments([first, ours]) == [
        "--v=2",
        "--proxy-mode=iptables",
        "--proxy-mode=ipvs",
        "--ipvs-scheduler=lc",
    ]
    assert arguments([first, "kube-proxy-arg: proxy-mode=nftables\n"]) == ["--proxy-mode=nftables"]
