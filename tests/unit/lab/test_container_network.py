# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from lab import container_hook
from lab.container_network import Network
from lab.errors import LabError
from lab.fleet import MAX_LAB_ID, Host

LONGEST_DEVICE_NAME = 15


def host(lab_id: int) -> Host:
    return Host("h", lab_id, "trixie", (), f"10.77.109.{lab_id}", 1)


def test_no_two_hosts_share_a_device_or_a_hardware_address_and_names_fit() -> None:
    cards = [Network(instance, "10.77.109").card(host(lab_id)) for instance in range(10) for lab_id in range(1, 254)]
    assert len({card["veth"] for card in cards}) == len(cards)
    assert len({card["mac"] for card in cards}) == len(cards)
    assert max(len(card["veth"]) for card in cards) <= LONGEST_DEVICE_NAME
    assert max(len(card["bridge"]) for card in cards) <= LONGEST_DEVICE_NAME


def test_the_gateway_is_no_host() -> None:
    assert Network(9, "10.77.109").gateway not in {host(lab_id).address for lab_id in range(1, MAX_LAB_ID + 1)}


@pytest.mark.parametrize("route", ["10.77.100.0/24", "10.77.100.8/29"])
def test_a_network_in_use_is_refused_by_name(route: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Done:
        returncode = 1
        stdout = json.dumps([{"dst": route, "dev": "vpn0"}])

    monkeypatch.setattr("lab.container_network.run", lambda *_, **__: Done())
    with pytest.raises(LabError, match=f"{route} to vpn0.*NETFLEET_LAB_OFFSET"):
        Network(0, "10.77.100").ensure()


def test_a_bridge_of_someone_else_is_not_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[Sequence[str]] = []

    class Done:
        returncode = 0
        stdout = json.dumps([{"ifname": "netfleet-lab-0"}])

    def record(argv: Sequence[str], **_: object) -> Done:
        commands.append(argv)
        return Done()

    monkeypatch.setattr("lab.container_network.run", record)
    with pytest.raises(LabError, match="the lab did not make it"):
        Network(0, "10.77.100").remove()
    assert not [argv for argv in commands if "delete" in argv]


def test_the_hook_reads_the_card_that_the_backend_wrote(monkeypatch: pytest.MonkeyPatch) -> None:
    card = Network(1, "10.77.101").card(host(21))
    words = " ".join(f"{key}={value}" for key, value in card.items())
    state = {"id": "abc", "pid": 77, "annotations": {container_hook.ANNOTATION: words}}
    seen: list[object] = []
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(state)))
    monkeypatch.setattr(container_hook, "delegate", lambda pid, container: seen.append((pid, container)))
    monkeypatch.setattr(container_hook, "attach", lambda pid, given: seen.append((pid, given)))
    container_hook.main()
    assert seen == [(77, "abc"), (77, card)]


def test_the_hook_gives_only_the_container_s_own_cgroup_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container_hook, "UNIFIED", tmp_path)
    changed: list[object] = []
    monkeypatch.setattr("os.chown", lambda *arguments: changed.append(arguments))
    with pytest.raises(RuntimeError, match="not the cgroup of container"):
        container_hook.delegate(1, "no-such-container")  # process 1 of this machine
    assert changed == []


def test_the_hook_finds_owner_and_cgroup() -> None:
    assert container_hook._mapped_root("         0 1700000000      65536\n") == 1_700_000_000
    assert container_hook._unified_path("2:cpu:/x\n0::/libpod_parent/libpod-abc\n") == "/libpod_parent/libpod-abc"
