# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian's Prometheus and node_exporter, by which what the role ships is judged."""

from __future__ import annotations

import shutil

import pytest

PROGRAMS = ("promtool", "prometheus", "prometheus-node-exporter")


@pytest.fixture(scope="session", autouse=True)
def programs() -> dict[str, str]:
    """Where each of them is."""
    found = {name: shutil.which(name) for name in PROGRAMS}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        pytest.fail(f"{' and '.join(missing)} not found: `make deps` installs what requirements/debian.txt names")
    return {name: str(path) for name, path in found.items()}
