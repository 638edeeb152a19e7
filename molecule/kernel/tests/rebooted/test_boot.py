# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The other tests of this step mean something only if the hosts did boot again."""

from __future__ import annotations

from tests.molecule.hosts import Target


def test_it_is_another_boot(each: Target) -> None:
    assert each.now.boot != each.before.boot
