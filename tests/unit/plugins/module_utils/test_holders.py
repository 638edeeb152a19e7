# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose a socket is. The cgroups are as systemd and the runtimes document them; ids are made up."""

from __future__ import annotations

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._health_model import Holder
from ansible_collections.netfleet.tcp.plugins.module_utils._holders import holders, owner_of
from tests.unit.plugins.recorded_sockets import SocketHost

ID = "0123456789ab" + "cdef" * 13
SHORT = ID[:12]


@pytest.mark.parametrize(
    ("text", "unit", "container"),
    [
        ("0::/system.slice/nginx.service\n", "nginx.service", ""),
        ("0::/system.slice/system-postgresql.slice/postgresql@15-main.service\n", "postgresql@15-main.service", ""),
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/web.service\n", "web.service", ""),
        ("0::/user.slice/user-0.slice/session-3.scope\n", "session-3.scope", ""),
        ("0::/init.scope\n", "init.scope", ""),
        ("0::/\n", "", ""),
        ("", "", ""),
        ("12:memory:/system.slice/a.service\n1:name=systemd:/system.slice/b.service\n0::/\n", "b.service", ""),
        ("5:cpu,cpuacct:/user.slice\n", "", ""),
        ("0::/system.slice/docker-%s.scope\n" % ID, "", "docker:" + SHORT),
        ("0::/machine.slice/libpod-%s.scope/container\n" % ID, "", "libpod:" + SHORT),
        (
            "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice/cri-containerd-%s.scope\n" % ID,
            "",
            "cri-containerd:" + SHORT,
        ),
        ("0::/kubepods.slice/kubepods-pod1.slice/crio-%s.scope\n" % ID, "", "crio:" + SHORT),
        (
            "11:memory:/docker/%s\n1:name=systemd:/docker/%s\n0::/system.slice/x.service\n" % (ID, ID),
            "",
            "docker:" + SHORT,
        ),
        ("0::/kubepods/burstable/pod12/%s\n" % ID, "", "kubepods:" + SHORT),
        ("0::/lxc.payload.web/system.slice/nginx.service\n", "", "lxc:web"),
        ("no colons\n", "", ""),
    ],
)
def test_a_cgroup_tells_the_unit_or_the_container(text: str, unit: str, container: str) -> None:
    assert owner_of(text) == (unit, container)


def test_a_process_that_has_gone_since_is_left_out() -> None:
    system = SocketHost(recorded=False)
    system.held = {11: 100, 12: 100, 13: 200, 14: 300}
    system.put("/proc/100/comm", "nginx\n")
    system.put("/proc/100/cgroup", "0::/system.slice/nginx.service\n")
    # Of this one the cgroup went away in between.
    system.put("/proc/300/comm", "late\n")
    nginx = Holder("nginx", 100, "nginx.service", "")
    assert holders(system, {11, 12, 13, 14}) == {11: nginx, 12: nginx, 14: Holder("late", 300, "", "")}
    assert holders(system, {12}) == {12: nginx}
