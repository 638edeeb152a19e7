# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Units of systemd's own that the next boot does not run, and by whose doing."""

from __future__ import annotations

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._boot_units import held_off_by
from tests.unit.plugins.fake_system import FakeSystem

UNIT = "/etc/systemd/system/systemd-sysctl.service"
RUNS = "[Service]\nExecStart=/usr/lib/systemd/systemd-sysctl\n"


def held(*files: tuple[str, str]) -> str:
    system = FakeSystem()
    for path, text in files:
        if text == "masked":
            system.put(path, kind="symlink", target="/dev/null")
        else:
            system.put(path, text)
    return held_off_by(system, "systemd-sysctl")


@pytest.mark.parametrize(
    "files",
    [
        (),
        ((UNIT, RUNS),),
        ((UNIT + ".d/a.conf", "[Unit]\nAfter=x.service\n"),),
        ((UNIT + ".d/a.conf", "[Service]\nExecStart=\nExecStart=/usr/lib/systemd/systemd-sysctl --prefix=/net\n"),),
        ((UNIT + ".d/a.conf", "[Service]\nExecStart=\n"), (UNIT + ".d/b.conf", RUNS)),
        ((UNIT + ".d/a.conf.off", "[Service]\nExecStart=\n"),),
        (("/proc/cmdline", "quiet systemd.mask=systemd-sysctl-x.service"),),
    ],
)
def test_it_runs(files: tuple[tuple[str, str], ...]) -> None:
    assert held(*files) == ""


@pytest.mark.parametrize(
    ("files", "blamed"),
    [
        (((UNIT, "masked"),), UNIT),
        (((UNIT, ""),), UNIT),
        (((UNIT, "[Service]\nExecStart=/bin/true\n"),), UNIT),
        (((UNIT + ".d/o.conf", "[Service]\nExecStart=\nExecStart=/bin/true\n"),), UNIT + ".d/o.conf"),
        (((UNIT, RUNS), (UNIT + ".d/o.conf", "[Service]\nExecStart =\n")), UNIT + ".d/o.conf"),
        ((("/proc/cmdline", "quiet systemd.mask=systemd-sysctl.service"),), "/proc/cmdline"),
        ((("/proc/cmdline", "systemd.mask=systemd-sysctl"),), "/proc/cmdline"),
    ],
)
def test_it_does_not(files: tuple[tuple[str, str], ...], blamed: str) -> None:
    assert held(*files) == blamed
