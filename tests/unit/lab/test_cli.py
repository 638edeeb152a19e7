# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from lab import cli
from lab.backend import HostStatus
from lab.errors import LabError
from lab.fleet import Host
from lab.paths import Settings


class FakeBackend:
    """Remembers what it was asked for."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.error: BaseException | None = None

    def image(self, suites: Sequence[str]) -> None:
        self.calls.append(f"image {' '.join(suites)}")

    def up(self, hosts: Sequence[Host], fresh: bool) -> None:
        self.calls.append(f"up {' '.join(host.name for host in hosts)} {fresh}")
        if self.error is not None:
            raise self.error

    def down(self) -> None:
        self.calls.append("down")

    def status(self, hosts: Sequence[Host]) -> list[HostStatus]:
        return [HostStatus(host.name, "vm", host.suite, None, False, f"127.0.0.1:{host.port}") for host in hosts]

    def restore(self, hosts: Sequence[Host]) -> None:
        self.calls.append(f"restore {' '.join(host.name for host in hosts)}")

    def console(self, host: Host, lines: int) -> str:
        return f"{lines} lines of {host.name}"


@pytest.fixture
def backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeBackend:
    fake = FakeBackend()
    monkeypatch.setenv("NETFLEET_LAB_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("NETFLEET_LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("NETFLEET_LAB_OFFSET", raising=False)
    monkeypatch.delenv("NETFLEET_LAB_SUITE", raising=False)
    monkeypatch.setattr(cli, "make_backend", lambda *_: fake)
    monkeypatch.setattr(cli.os, "geteuid", lambda: 0)
    monkeypatch.setattr(cli.signal, "signal", lambda *_: None)
    return fake


def test_commands_reach_the_backend(backend: FakeBackend, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["up", "--limit", "cloud", "--fresh"]) == 0
    assert cli.main(["restore", "--limit", "local1"]) == 0
    assert cli.main(["image"]) == 0
    assert cli.main(["image", "--suite", "sid"]) == 0
    assert cli.main(["down"]) == 0
    assert backend.calls == ["up cloud1 cloud2 True", "restore local1", "image bookworm trixie", "image sid", "down"]
    assert "nothing is left; the image cache stays" in capsys.readouterr().out


@pytest.mark.usefixtures("backend")
def test_status_has_a_line_for_each_host(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["status", "--limit", "cloud"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines] == [
        ["cloud1", "vm", "bookworm", "-", "stopped", "127.0.0.1:22021"],
        ["cloud2", "vm", "trixie", "-", "stopped", "127.0.0.1:22022"],
    ]


@pytest.mark.usefixtures("backend")
def test_console_of_a_known_host_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["console", "local2", "--lines", "3"]) == 0
    assert capsys.readouterr().out == "3 lines of local2\n"
    assert cli.main(["console", "nosuch"]) == 1
    assert "no host nosuch; the inventory has local1" in capsys.readouterr().err


def test_errors_and_interruption_have_their_status(backend: FakeBackend, capsys: pytest.CaptureFixture[str]) -> None:
    backend.error = LabError("cloud1: no answer")
    assert cli.main(["up"]) == 1
    assert capsys.readouterr().err == "lab: cloud1: no answer\n"
    backend.error = KeyboardInterrupt()
    assert cli.main(["up"]) == 130
    assert "lab-down" in capsys.readouterr().err


@pytest.mark.usefixtures("backend")
def test_down_keeps_the_key_while_the_other_backend_has_hosts(tmp_path: Path) -> None:
    (tmp_path / "state" / "container").mkdir(parents=True)
    assert cli.main(["down", "--backend", "vm"]) == 0
    assert (tmp_path / "state").is_dir()
    (tmp_path / "state" / "container").rmdir()
    assert cli.main(["down", "--backend", "vm"]) == 0
    assert not (tmp_path / "state").exists()


@pytest.mark.usefixtures("backend")
def test_without_root_the_same_command_runs_under_sudo(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[list[str]] = []

    def execute(program: str, argv: list[str]) -> None:
        asked.append([program, *argv])
        raise SystemExit(0)

    monkeypatch.setattr(cli.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(cli.os, "execvp", execute)
    monkeypatch.setattr(cli.os, "chdir", lambda _: None)
    monkeypatch.setattr(cli.shutil, "which", lambda _: "/usr/bin/sudo")
    with pytest.raises(SystemExit):
        cli.main(["up", "--limit", "cloud"])
    assert asked[0][:3] == ["sudo", "sudo", "-E"]
    assert f"NETFLEET_LAB_DIR={tmp_path / 'state'}" in asked[0]
    assert asked[0][-5:] == ["-m", "lab", "up", "--limit", "cloud"]
    monkeypatch.setattr(cli.shutil, "which", lambda _: None)
    with pytest.raises(LabError, match="install sudo or become root"):
        cli.become_root(Settings.from_environment({}), ["up"])
