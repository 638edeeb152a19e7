# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What most runs wait for: code that few hosts need is loaded for them alone."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

_OURS = "ansible_collections.netfleet.tcp.plugins."
_SHOW = "import importlib, sys; importlib.import_module(sys.argv[1]); print('\\n'.join(sys.modules))"
# What only some hosts have, and what other playbooks look at, by how their files begin.
_FEW = ("_kube", "_drift_kube", "_drift_links", "_links", "_exporter")
_OTHERS = ("_health_check", "_health_asked", "_loopback", "_diagnose", "_probe")


def loaded_with(plugin: str) -> list[str]:
    """The files of ours that are loaded with an action plugin, by name."""
    # A process of its own, which finds what this one does.
    found = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    argv = [sys.executable, "-c", _SHOW, _OURS + "action." + plugin]
    ran = subprocess.run(argv, env=found, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return [name.rpartition(".")[2] for name in ran.stdout.split() if name.startswith(_OURS)]


@pytest.mark.parametrize("plugin", ["drift", "tcp_tuning"])
def test_what_few_hosts_need_is_not_loaded(plugin: str) -> None:
    loaded = loaded_with(plugin)
    assert plugin in loaded
    assert [name for name in loaded if name.startswith((*_FEW, *_OTHERS))] == []
