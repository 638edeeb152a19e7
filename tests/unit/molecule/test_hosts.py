# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the scenarios wait for is the command as it is written, whatever quotes it has."""

from __future__ import annotations

import pytest
import testinfra

from tests.molecule.hosts import wait_for


@pytest.mark.parametrize("command", ["true", "test 'a b' = \"a b\"", "! test 'a b' = 'c'"])
def test_it_ends_once_the_command_succeeds(command: str) -> None:
    wait_for(testinfra.get_host("local://"), command, 0.0)


@pytest.mark.parametrize("command", ["false", "! test 'a b' = 'a b'"])
def test_a_command_that_does_not_is_named(command: str) -> None:
    with pytest.raises(AssertionError, match="not within 0 s"):
        wait_for(testinfra.get_host("local://"), command, 0.0)
