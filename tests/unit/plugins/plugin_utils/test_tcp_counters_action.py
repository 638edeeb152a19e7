# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading a host's counters fails for nobody: one task reads many hosts, while changes wait for their end."""

from __future__ import annotations

import time
from collections.abc import Iterable
from itertools import repeat
from typing import Any
from unittest.mock import Mock

import pytest
from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.netfleet.tcp.plugins.action import tcp_counters
from ansible_collections.netfleet.tcp.plugins.plugin_utils import _confirmation


def read(answers: Iterable[Any], arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the action says where the module answers so, one time after the other."""
    monkeypatch.setattr(_confirmation, "_PAUSE", 0.0)
    monkeypatch.setattr(ActionBase, "run", lambda *_arguments: {})
    monkeypatch.setattr(tcp_counters, "fresh", lambda _connection: None)
    action = object.__new__(tcp_counters.ActionModule)
    action._task, action._connection = Mock(args=arguments), Mock()
    monkeypatch.setattr(action, "_execute_module", Mock(side_effect=answers), raising=False)
    return action.run(None, {})


GONE = AnsibleConnectionFailure("no route to host")


def test_a_host_that_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read([GONE, {"counters": {"segments": 1}, "invocation": {}}], {}, monkeypatch) == {
        "counters": {"segments": 1}
    }


@pytest.mark.parametrize(
    ("answers", "lost"),
    [
        (repeat(GONE), "no route to host"),
        ([AnsibleError("no such connection plugin")], "no such connection plugin"),
        ([{"failed": True, "msg": "no python"}], "no python"),
        ([{"failed": True, "module_stderr": "sh: python3: not found\n"}], "sh: python3: not found"),
        ([{}], "it gave no counters"),
    ],
)
def test_one_that_does_not(answers: Iterable[Any], lost: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp_counters, "_PATIENCE", 0.001)
    assert read(answers, {"fresh": True}, monkeypatch) == {"changed": False, "lost": lost}


def test_one_for_which_no_time_is_left_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read([], {"until": 2.0}, monkeypatch) == {"changed": False}
    soon = time.time() + 0.1
    assert read(repeat(GONE), {"until": soon}, monkeypatch) == {"changed": False, "lost": "no route to host"}
    assert time.time() >= soon
