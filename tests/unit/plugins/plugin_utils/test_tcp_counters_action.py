# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading a host's counters fails for nobody: one task reads many hosts, while changes wait for their end."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest
from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.netfleet.tcp.plugins.action import tcp_counters


def read(answers: list[Any], arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the action says where the module answers so, one time after the other."""
    # The time that an attempt takes.
    times = iter(float(number) * 4.0 for number in range(100))
    monkeypatch.setattr(tcp_counters, "time", Mock(time=lambda: next(times), sleep=lambda _seconds: None))
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
        ([GONE] * 9, "no route to host"),
        ([AnsibleError("no such connection plugin")], "no such connection plugin"),
        ([{"failed": True, "msg": "no python"}], "no python"),
        ([{"failed": True, "module_stderr": "sh: python3: not found\n"}], "sh: python3: not found"),
        ([{}], "it gave no counters"),
    ],
)
def test_one_that_does_not(answers: list[Any], lost: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(answers, {"fresh": True}, monkeypatch) == {"changed": False, "lost": lost}


def test_one_for_which_no_time_is_left_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read([], {"until": 2.0}, monkeypatch) == {"changed": False}
    assert read([GONE] * 9, {"until": 6.0}, monkeypatch) == {"changed": False, "lost": "no route to host"}
