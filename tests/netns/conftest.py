# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two hosts and a router in network namespaces, new for each test. Takes root, ip and nft."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.netns.namespaces import Net, net


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Net]:
    with net(tmp_path) as made:
        yield made
