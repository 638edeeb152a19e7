# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError
from ansible_collections.netfleet.tcp.plugins.module_utils._programs import IPROUTE2, must_run, printed_json


def host(status: int, output: str, error: str) -> Any:
    return Mock(run=Mock(return_value=(status, output, error)))


def test_a_program_that_does_not_fail() -> None:
    system = host(0, "what it prints\n", "a warning")
    assert must_run(system, ("tc", "-batch", "-"), "qdisc show") == "what it prints\n"
    system.run.assert_called_once_with(["tc", "-batch", "-"], "qdisc show")


@pytest.mark.parametrize(("said", "shown"), [("no such device\n", "no such device"), ("", "exit status 2")])
def test_one_that_fails_is_named_without_what_it_has_printed(said: str, shown: str) -> None:
    with pytest.raises(HostError) as caught:
        must_run(host(2, "a private key", said), ["wg", "show", "all", "dump"], cure="install it")
    assert str(caught.value) == "wg show all dump: %s (install it)" % shown


@pytest.mark.parametrize(("text", "found"), [("", []), (" \n", []), ('[{"a": 1}]', [{"a": 1}])])
def test_json_that_is_printed(text: str, found: object) -> None:
    assert printed_json(text, "ip -j address show") == found


def test_what_is_not_json() -> None:
    with pytest.raises(HostError, match=r"ip -j rule show: its output is not JSON: .* \(is iproute2 older than 4.17"):
        printed_json("0: from all lookup local", "ip -j rule show", IPROUTE2)
