# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A road between two virtual machines, new for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from testinfra.host import Host as Connection

from lab.fleet import Fleet
from tests.molecule.road import Road, road


@pytest.fixture
def path(fleet: Fleet, connections: dict[str, Connection], tmp_path: Path) -> Iterator[Road]:
    with road(fleet, connections, tmp_path) as made:
        yield made
