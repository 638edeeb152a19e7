# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest

from lab.container_machine import Machine, containers_conf, detect, podman_environment, run_arguments, write_settings
from lab.errors import LabError

ALL_CAPABILITIES = 0x1FFFFFFFFFF
WITHOUT_SYS_RESOURCE = 0x1FFFEFFFFFF


def machine(root: Path, *, cgroup_file: str | None, capabilities: int) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/status").write_text(f"Name:\tpython\nCapPrm:\t0\nCapEff:\t{capabilities:016x}\n")
    (root / "sys/fs/cgroup/unified").mkdir(parents=True)
    if cgroup_file:
        (root / "sys/fs/cgroup" / cgroup_file).write_text("")
    return root


def test_an_ordinary_machine_needs_no_settings(tmp_path: Path) -> None:
    found = detect(machine(tmp_path, cgroup_file="cgroup.controllers", capabilities=ALL_CAPABILITIES))
    assert found == Machine(hybrid_cgroups=False, may_raise_limits=True)
    write_settings(found, tmp_path)
    assert podman_environment(tmp_path) == {}
    assert run_arguments(found) == ["--systemd=always"]


def test_hybrid_cgroups_take_runc_and_the_v2_tree(tmp_path: Path) -> None:
    found = detect(machine(tmp_path, cgroup_file="unified/cgroup.procs", capabilities=ALL_CAPABILITIES))
    assert found == Machine(hybrid_cgroups=True, may_raise_limits=True)
    text = containers_conf(found, 1000, 1000)
    assert 'runtime = "runc"' in text
    assert "default_ulimits" not in text
    assert "--volume=/sys/fs/cgroup/unified:/sys/fs/cgroup" in run_arguments(found)


def test_without_the_right_to_raise_limits_they_stay_below_this_process_s(tmp_path: Path) -> None:
    found = detect(machine(tmp_path, cgroup_file="cgroup.controllers", capabilities=WITHOUT_SYS_RESOURCE))
    assert found == Machine(hybrid_cgroups=False, may_raise_limits=False)
    text = containers_conf(found, 4000, 900)
    assert 'default_ulimits = ["nofile=1024:4000", "nproc=900:900"]' in text
    assert "runc" not in text
    write_settings(found, tmp_path)
    settings = Path(podman_environment(tmp_path)["CONTAINERS_CONF"])
    assert "default_ulimits" in settings.read_text()


def test_a_machine_without_cgroup_v2_is_refused_with_a_cure(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"no cgroup v2 tree .*NETFLEET_LAB_BACKEND=vm"):
        detect(machine(tmp_path, cgroup_file=None, capabilities=ALL_CAPABILITIES))
