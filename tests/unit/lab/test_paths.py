# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest

from lab.errors import LabError
from lab.paths import Settings, make_directory, mounts_below, remove_tree

MOUNTS = """\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
31 22 0:5 / /tmp/build/root/dev rw - devtmpfs dev rw
32 22 0:5 / /tmp/with\\040space/x rw - tmpfs tmpfs rw
33 22 0:5 / /tmp/build2/y rw - tmpfs tmpfs rw
"""


def test_settings_from_the_environment() -> None:
    settings = Settings.from_environment({"NETFLEET_LAB_OFFSET": "2", "XDG_CACHE_HOME": "/c", "NETFLEET_LAB_DIR": "/s"})
    assert (settings.backend, settings.offset, settings.suite) == ("vm", 2, None)
    assert settings.cache_dir == Path("/c/netfleet-tcp-lab")
    assert settings.key == Path("/s/id_ed25519")
    assert settings.backend_dir == Path("/s/vm")


def test_the_command_line_wins_and_settings_survive_another_process() -> None:
    settings = Settings.from_environment({"NETFLEET_LAB_BACKEND": "vm", "NETFLEET_LAB_SUITE": "sid"}, "container")
    assert settings.backend == "container"
    assert Settings.from_environment(settings.environment()) == settings


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"NETFLEET_LAB_BACKEND": "docker"}, "NETFLEET_LAB_BACKEND='docker': choose one of vm, container"),
        ({"NETFLEET_LAB_OFFSET": "10"}, "NETFLEET_LAB_OFFSET='10': must be a number from 0 to 9"),
        ({"NETFLEET_LAB_OFFSET": "-1"}, "must be a number from 0 to 9"),
    ],
)
def test_wrong_settings_are_refused(environment: dict[str, str], message: str) -> None:
    with pytest.raises(LabError, match=message):
        Settings.from_environment(environment)


def test_mounts_at_and_below_a_path_are_found() -> None:
    assert mounts_below(Path("/tmp/build"), MOUNTS) == ["/tmp/build/root/dev"]
    assert mounts_below(Path("/tmp/build/root/dev"), MOUNTS) == ["/tmp/build/root/dev"]
    assert mounts_below(Path("/tmp/with space"), MOUNTS) == ["/tmp/with space/x"]
    assert mounts_below(Path("/srv"), MOUNTS) == []


def test_a_tree_with_a_mount_is_not_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.paths.mounts_below", lambda path, _: [f"{path}/dev"])
    (tmp_path / "dev").mkdir()
    with pytest.raises(LabError, match="is mounted there; unmount it"):
        remove_tree(tmp_path)
    assert (tmp_path / "dev").is_dir()


def test_trees_are_made_and_removed(tmp_path: Path) -> None:
    path = make_directory(tmp_path / "a" / "b")
    assert path.is_dir()
    remove_tree(tmp_path / "a")
    remove_tree(tmp_path / "a")
    assert not (tmp_path / "a").exists()
