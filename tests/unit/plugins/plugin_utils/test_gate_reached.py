# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that the health gate has read over a new connection is confirmed over that one; any other over its own."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest
from ansible.plugins.action import ActionBase

from ansible_collections.netfleet.tcp.plugins.action import tcp_change, tcp_gate
from ansible_collections.netfleet.tcp.plugins.module_utils._model import to_wire
from ansible_collections.netfleet.tcp.plugins.plugin_utils._gate import FINE, LIMITS, MINIMUM
from ansible_collections.netfleet.tcp.plugins.plugin_utils._waves import LOOK, MADE
from tests.unit.plugins.plugin_utils.test_gate import START, WELL, later

MIDDLE = later(START, WELL)


class Connection:
    """Counts how often it was made anew."""

    resets = 0

    def reset(self) -> None:
        self.resets += 1


def acted(module: Any, arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch, **variables: Any) -> Any:
    monkeypatch.setattr(ActionBase, "run", lambda *_arguments: {})
    action = object.__new__(module.ActionModule)
    action._task, action._display, action._connection = Mock(args=arguments, check_mode=False), Mock(), Connection()
    action._execute_module = lambda **_given: {"change": {"outcome": "confirmed"}}
    return action, action.run(None, variables)


def test_the_gate_names_those_that_it_has_read(monkeypatch: pytest.MonkeyPatch) -> None:
    hostvars = {
        name: {
            LOOK: {"counters": to_wire(START), "to_change": {"settings": {"gate_limits": LIMITS}}},
            MADE: {"counters": to_wire(MIDDLE)},
        }
        for name in "abc"
    }
    arguments = {
        "step": "judge",
        "hosts": ["a", "b", "c"],
        "settings": {"max_failed": 50, "gate_minimum": MINIMUM, "gate_too_little": "keep"},
        "read": [
            {"item": "a", "counters": to_wire(later(MIDDLE, WELL))},
            {"item": "b", "lost": "timed out"},
        ],
    }
    _action, verdict = acted(tcp_gate, arguments, monkeypatch, hostvars=hostvars)
    assert (verdict["outcome"], verdict["reached"]) == (FINE, ["a"])


@pytest.mark.parametrize(
    ("host", "not_kept", "resets"),
    [("a", "", 0), ("b", "", 1), ("a", "segments are lost", 1)],
    ids=["reached", "not reached", "taken back"],
)
def test_its_connection_serves_to_confirm_and_not_to_take_back(
    host: str, not_kept: str, resets: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tcp_change, "validated", lambda _given: {"log": ""})
    made = {"change": {"id": "000001-x", "window": 120}, "asked_at": 4e9, "changes": []}
    arguments = {"step": "end", "made": made, "reached": ["a"], "not_kept": not_kept}
    action, answer = acted(tcp_change, arguments, monkeypatch, inventory_hostname=host)
    assert action._connection.resets == resets
    assert bool(answer.get("failed")) == bool(not_kept)
