# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What this machine lets containers do, and the podman settings that follow from it."""

from __future__ import annotations

import resource
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError

CAP_SYS_RESOURCE = 24
CONF = "containers.conf"
MOST = 16384  # podman lowers its own limit of processes to 32768


@dataclass(frozen=True)
class Machine:
    """The traits of this machine that matter to a systemd container."""

    hybrid_cgroups: bool  # cgroup v1 controllers beside an empty v2 tree, instead of v2 alone
    may_raise_limits: bool  # CAP_SYS_RESOURCE: podman's default ulimits can be set

    @property
    def ordinary(self) -> bool:
        """Podman's own settings do."""
        return self.may_raise_limits and not self.hybrid_cgroups


def detect(root: Path = Path("/")) -> Machine:
    """Look at the machine (its /proc and /sys below `root`).

    :raises LabError: systemd containers cannot run here, since no cgroup v2 tree is mounted.
    """
    cgroup = root / "sys/fs/cgroup"
    unified = (cgroup / "cgroup.controllers").exists()
    if not unified and not (cgroup / "unified/cgroup.procs").exists():
        raise LabError(
            f"{cgroup}: no cgroup v2 tree is mounted there (nor at {cgroup}/unified); systemd containers need one. "
            "Boot with systemd.unified_cgroup_hierarchy=1, or use the VM backend (NETFLEET_LAB_BACKEND=vm)."
        )
    status = (root / "proc/self/status").read_text(encoding="utf-8")
    effective = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff:"))
    return Machine(hybrid_cgroups=not unified, may_raise_limits=bool(effective >> CAP_SYS_RESOURCE & 1))


def containers_conf(machine: Machine, nofile: int, nproc: int) -> str:
    """The containers.conf for a machine on which podman's own settings fail.

    `nofile` and `nproc` are the hard limits of this process: without CAP_SYS_RESOURCE podman cannot go beyond them.
    """
    lines = [
        "# Written by `lab up`: this machine cannot run systemd containers with podman's own settings.",
        "[containers]",
    ]
    # Every service of every container would take a key of one user's small quota.
    lines.append("keyring = false")
    if not machine.may_raise_limits:
        lines.append(f'default_ulimits = ["nofile=1024:{nofile}", "nproc={nproc}:{nproc}"]')
    if machine.hybrid_cgroups:
        # crun refuses hybrid hierarchies, and without systemd on the machine there is no systemd manager or journal.
        lines += ["[engine]", 'runtime = "runc"', 'cgroup_manager = "cgroupfs"', 'events_logger = "file"']
    return "\n".join(lines) + "\n"


def write_settings(machine: Machine, directory: Path) -> None:
    """Write the settings that podman needs on this machine, if any, for `podman_environment` to name."""
    if not machine.ordinary:
        text = containers_conf(machine, _hard(resource.RLIMIT_NOFILE), _hard(resource.RLIMIT_NPROC))
        (directory / CONF).write_text(text, encoding="utf-8")


def podman_environment(directory: Path) -> dict[str, str]:
    """The variables that make podman use the settings that were written into a directory."""
    path = directory / CONF
    return {"CONTAINERS_CONF": str(path)} if path.exists() else {}


def run_arguments(machine: Machine) -> list[str]:
    """The arguments of `podman create` that let systemd be process 1, with cgroup v2 as it is on a real host."""
    if not machine.hybrid_cgroups:
        return ["--systemd=always"]
    # Podman's systemd mode would offer the v1 tree, which systemd >= 258 refuses. With the v2 tree in its place every
    # suite boots; the hook gives the container's own part of it to the container's root (see container_hook.py).
    mounts = [f"--tmpfs={path}" for path in ("/run", "/run/lock", "/tmp")]  # noqa: S108 - the host's own /tmp
    stop = ["--stop-signal=SIGRTMIN+3", "--env=container=podman"]
    return ["--systemd=false", *mounts, *stop, "--volume=/sys/fs/cgroup/unified:/sys/fs/cgroup"]


def _hard(kind: int) -> int:
    limit = resource.getrlimit(kind)[1]
    return MOST if limit == resource.RLIM_INFINITY else min(limit, MOST)
