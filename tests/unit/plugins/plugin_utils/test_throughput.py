# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which transfers show what a link costs, and what is said of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from ansible.plugins.action import ActionBase

from ansible_collections.netfleet.tcp.plugins.action import links_throughput
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError, InputError
from ansible_collections.netfleet.tcp.plugins.plugin_utils import _throughput as throughput
from ansible_collections.netfleet.tcp.plugins.plugin_utils._links_analysis import analysed
from tests.unit.plugins.plugin_utils.sample_links import GROUPS, HOSTS, HUBS, MESH, PEERS, SITES, declared

RECORDED = (Path(__file__).parents[2] / "fixtures" / "iperf3" / "loopback.json").read_text(encoding="utf-8")


def measured(*topologies: dict[str, Any], **given: Any) -> throughput.Measurement:
    named = {"sender": "gw1", "receiver": "east", **given}
    return throughput.measurement(analysed(declared(*topologies or (MESH,))), throughput.arguments(named))


def test_the_one_that_can_call_sends_through_the_tunnel_and_to_the_endpoint() -> None:
    found = measured()
    assert (found.interface, found.server, found.client) == ("wg-wan", "east", "gw1")
    tunnel, underlay = found.ways
    assert tunnel.server == ("iperf3", "-s", "-1", "-p", "5201", "-B", "10.99.0.2")
    words = " ".join(tunnel.client)
    assert words == "timeout -k 5 25 iperf3 -J -c 10.99.0.2 -p 5201 --connect-timeout 5000 -t 10 -B 10.99.0.1"
    assert underlay.server == ("iperf3", "-s", "-1", "-p", "5202")
    words = " ".join(underlay.client)
    assert words == "timeout -k 5 25 iperf3 -J -c 198.51.100.1 -p 5202 --connect-timeout 5000 -t 10"


def test_where_the_receiver_cannot_be_called_it_calls_and_has_the_other_one_send() -> None:
    found = measured(sender="east", receiver="gw1", seconds=3, rate=50, iperf3_port=7000)
    assert (found.server, found.client) == ("east", "gw1")
    tunnel, underlay = found.ways
    assert " ".join(tunnel.client).endswith("-c 10.99.0.2 -p 7000 --connect-timeout 5000 -t 3 -R -b 50M -B 10.99.0.1")
    assert " ".join(underlay.client).endswith("-c 198.51.100.1 -p 7001 --connect-timeout 5000 -t 3 -R -b 50M")


def test_of_two_links_one_has_to_be_named() -> None:
    metric = {"interface_per_peer": True, "failover": "metric"}
    second = {**MESH, **metric, "name": "isp2", "networks": ["10.98.0.0/24"], "port": 52900, "metric": 80}
    both = ({**MESH, **metric}, second)
    with pytest.raises(InputError, match="gw1 and east are joined by wan, isp2"):
        measured(*both)
    assert measured(*both, topology="isp2").interface == "wg-isp2-2"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"sender": ""}, "sender: is not given"),
        ({"receiver": "worker1"}, "no link of gw1 leads to worker1"),
        ({"sender": "east", "receiver": "alice"}, "alice is not managed"),
        ({"seconds": 3600, "rate": -1}, "seconds: 3600 is out of range .* rate: -1 is out of range"),
        ({"topology": "wan"}, "no link of gw1 leads to east"),
    ],
)
def test_what_cannot_be_measured(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        measured(HUBS, **given)


@pytest.mark.parametrize(("text", "said"), [("iperf3: error", "no JSON"), ('{"error": "unable"}', "iperf3: unable")])
def test_answers_that_tell_nothing(text: str, said: str) -> None:
    with pytest.raises(HostError, match=said):
        throughput.parse_iperf3(text)


def acted(monkeypatch: pytest.MonkeyPatch, **given: Any) -> tuple[dict[str, Any], list[str]]:
    """What the action answers, and prints."""
    monkeypatch.setattr(ActionBase, "run", lambda *_arguments: {})
    action: Any = object.__new__(links_throughput.ActionModule)
    declaration = {"sites": SITES, "peers": PEERS, "topologies": [MESH]}
    options = {"sender": "gw1", "receiver": "east", "rate": 100}
    action._task = Mock(args={"declaration": declaration, "options": options, **given})
    monkeypatch.setattr(action, "_display", Mock(), raising=False)
    hostvars = {name: {"wireguard_links_" + key: value for key, value in own.items()} for name, own in HOSTS.items()}
    answer = action.run(None, {"groups": GROUPS, "hostvars": hostvars})
    return answer, [call.args[0] for call in action._display.display.call_args_list]


def test_the_action_says_what_to_do_and_what_became_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    plan, printed = acted(monkeypatch)
    assert (plan["server"], plan["client"], plan["seconds"], printed) == ("east", "gw1", 10, [])
    assert [way["name"] for way in plan["ways"]] == ["through the tunnel", "beside it"]
    answer, printed = acted(monkeypatch, answers=[RECORDED, RECORDED])
    assert (answer["ratio"], answer["tunnel"]["mss"]) == (1.0, 32768)
    assert printed[0] == "gw1 to east, wg-wan, 10 s each, held to 100 Mbit/s:"
    assert printed[-1].split() == ["ratio", "1.00"]
    assert acted(monkeypatch, answers=[RECORDED])[0]["failed"]
