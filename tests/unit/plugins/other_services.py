# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Other programs on a host in memory: the files by which they are seen. Runs under Python 3.8 too."""

from __future__ import annotations

from collections.abc import Sequence

from tests.unit.plugins.fake_system import FakeSystem


def run_unit(system: FakeSystem, name: str) -> None:
    """A systemd unit that is active."""
    system.put("/run/systemd/units/invocation:%s.service" % name, kind="symlink", target="0123456789abcdef")


def run_process(system: FakeSystem, number: int, name: str) -> None:
    """A process; name as the kernel tells it."""
    system.put("/proc/%d" % number, kind="other")
    system.put("/proc/%d/comm" % number, name + "\n")


def run_kube_proxy(
    system: FakeSystem,
    number: int,
    words: Sequence[str],
    group: str = "/system.slice/kube-proxy.service",
    uids: str = "0 0 0 0",
    program: str = "/usr/local/bin/kube-proxy",
    network: int = 1,
) -> None:
    """A process that is called kube-proxy. uids: the real one and the others; network: its namespace, ours is 1."""
    run_process(system, number, "kube-proxy")
    system.put("/proc/%d/cmdline" % number, "".join(word + "\0" for word in words))
    system.put("/proc/%d/status" % number, "Name:\tkube-proxy\nUid:\t%s\nGid:\t0\t0\t0\t0\n" % "\t".join(uids.split()))
    system.put("/proc/%d/cgroup" % number, "0::%s\n" % group)
    system.put("/proc/%d/exe" % number, kind="symlink", target=program)
    for pid, which in ((str(number), network), ("self", 1)):
        system.put("/proc/%s/ns/net" % pid, kind="symlink", target="net:[%d]" % which)


def run_tuned(system: FakeSystem, sets: str, reapply: str = "1", directory: str = "/usr/lib/tuned") -> None:
    """tuned with a profile `fast` whose section sysctl has these lines."""
    run_unit(system, "tuned")
    system.put("/etc/tuned/active_profile", "fast\n")
    system.put("/etc/tuned/tuned-main.conf", "# of the package\ndaemon = 1\nreapply_sysctl = %s\n" % reapply)
    system.put(directory + "/fast/tuned.conf", "[main]\nsummary=Fast\n\n[sysctl]\n%s\n" % sets)


def boot_by_procps(system: FakeSystem) -> None:
    """A host without systemd, where procps applies sysctl.d."""
    del system.files["/run/systemd/system"]
    system.put("/etc/init.d/procps", "#!/bin/sh\n", 0o755)
