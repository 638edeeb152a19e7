# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Links on containers of a machine whose kernel has no WireGuard: that is said, and nothing is left of the attempt."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from testinfra.host import Host as Connection

from ansible_collections.netfleet.tcp.plugins.module_utils._checkpoint_store import HISTORY, PENDING_PATH
from tests.molecule.hosts import Seen, differences, look
from tests.molecule.links import GATEWAYS, INTERFACE, KEY, run_links

PROBE = "wg-probe"


@pytest.fixture(autouse=True)
def _kernel_without(connections: dict[str, Connection]) -> Iterator[None]:
    """Asked of a container, as the role would: the machine may have modules and not load them for it."""
    host = connections[GATEWAYS[0]]
    if host.run(f"ip link add dev {PROBE} type wireguard").rc == 0:
        host.check_output(f"ip link delete dev {PROBE}")
        pytest.skip("this machine's kernel has WireGuard; what links do with it is what scenario `links` tests")
    yield
    for name in GATEWAYS:
        connections[name].check_output(f"rm -f {KEY}")


def _links(connections: dict[str, Connection]) -> dict[str, str]:
    """By gateway: its interfaces, its rules, and the files that a link would have."""
    command = "ls /sys/class/net; ip rule; ls -A /etc/wireguard /etc/systemd/network 2>&1 | sort"
    return {name: connections[name].check_output(command) for name in GATEWAYS}


def _apart_from_what_stays(seen: dict[str, Seen]) -> dict[str, Seen]:
    """Without the host's key, which it makes before all else and keeps, and the records of what was taken back."""

    def files(host: Seen) -> dict[str, str]:
        return {path: digest for path, digest in host.files.items() if path != KEY and not path.startswith(HISTORY)}

    return {name: replace(host, files=files(host)) for name, host in seen.items()}


def test_it_is_named_on_each_gateway_and_nothing_is_left(
    connections: dict[str, Connection], before: dict[str, Seen], tmp_path: Path
) -> None:
    links = _links(connections)
    run = run_links(tmp_path)
    assert run.status != 0, run.output
    assert run.failed == sorted(GATEWAYS)
    for name in GATEWAYS:
        problems = run.results[name]["problems"]
        assert "this kernel has no WireGuard" in problems[0], problems
        assert f"dev {INTERFACE} type wireguard" in problems[0], problems
        assert "nothing has changed on this host" in problems[1], problems
        assert not connections[name].file(PENDING_PATH).exists
    assert _links(connections) == links
    assert not differences(_apart_from_what_stays(before), _apart_from_what_stays(look(connections)))
