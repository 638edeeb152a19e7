# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import io
import os
import sys
import tarfile
from pathlib import Path

import pytest

from tools import artifact, deps, interpreters, shared, venv
from tools.shared import ToolError


def test_missing_packages() -> None:
    known = "ii  git\nrc  podman\nun  runc\nii  xz-utils\n"
    assert deps.missing_packages(["git", "podman", "runc", "xz-utils", "zstd"], known) == ["podman", "runc", "zstd"]


def test_list_of_packages_is_read_without_comments() -> None:
    assert deps.wanted_packages("# a list\ngit  # for the tests\n\nmake\n") == ["git", "make"]


def test_without_root_and_sudo_the_cure_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match="neither root nor sudo"):
        deps.privileged()


def test_machine_without_apt_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match=r"no apt-get: install the counterparts .*requirements/debian\.txt"):
        deps.query(["git"])


def test_failing_command_is_told_with_its_last_lines() -> None:
    script = "print('first'); print('last'); raise SystemExit(3)"
    with pytest.raises(ToolError, match=r"(?s)counting failed \(exit status 3\).*\nlast") as caught:
        shared.run([sys.executable, "-c", script], "counting", tail=1)
    assert "\nfirst" not in str(caught.value)


def test_two_at_once_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shared, "CACHE", tmp_path)
    with shared.alone("bench"):
        with pytest.raises(ToolError, match="`make bench` runs already"), shared.alone("bench"):
            pass
        with shared.alone("test"):
            pass
    with shared.alone("bench"):
        pass


def test_output_is_streamed_and_returned(capfd: pytest.CaptureFixture[str]) -> None:
    assert shared.stream([sys.executable, "-c", "print('one'); print('two')"], "counting") == "one\ntwo\n"
    assert capfd.readouterr().out == "one\ntwo\n"
    with pytest.raises(ToolError, match=r"counting failed \(exit status 4, see above\)"):
        shared.stream([sys.executable, "-c", "raise SystemExit(4)"], "counting")


def test_absent_program_is_told_with_its_cure() -> None:
    with pytest.raises(ToolError, match=r"no-such-program is not installed .*make deps venv"):
        shared.run(["no-such-program"], "trying")


def test_environment_is_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ANSIBLE_FORKS", "MAKEFLAGS", "MOLECULE_X", "VIRTUAL_ENV", "PYTHONPATH"):
        monkeypatch.setenv(name, "x")
    env = shared.clean_environment(ANSIBLE_NOCOLOR="1")
    assert [name for name in env if name.startswith(("ANSIBLE_", "MAKE", "MOLECULE_"))] == ["ANSIBLE_NOCOLOR"]
    assert env["PATH"].startswith(f"{shared.VENV}/bin:")
    assert not {"VIRTUAL_ENV", "PYTHONPATH"} & set(env)


def test_this_interpreter_says_who_it_is() -> None:
    assert interpreters.ask(Path(sys.executable)) == (sys.version_info[:2], os.path.realpath(venv.BASE_PYTHON))


@pytest.mark.parametrize("script", ["#!/bin/sh\nexit 127\n", "#!/bin/sh\necho pyenv: python3.14: command not found\n"])
def test_shim_that_does_not_run_is_no_interpreter(tmp_path: Path, script: str) -> None:
    shim = tmp_path / "python3.14"
    shim.write_text(script)
    shim.chmod(0o755)
    assert interpreters.ask(shim) is None


def test_stamp_tells_lock_interpreter_and_place(tmp_path: Path) -> None:
    lock = tmp_path / "dev.txt"
    lock.write_text("a==1\n")
    first = venv.stamp_text(tmp_path / "one", lock, "/usr/bin/python3")
    assert first == venv.stamp_text(tmp_path / "one", lock, "/usr/bin/python3")
    others = [
        venv.stamp_text(tmp_path / "two", lock, "/usr/bin/python3"),
        venv.stamp_text(tmp_path / "one", lock, "/usr/bin/python3.12"),
    ]
    lock.write_text("a==2\n")
    others.append(venv.stamp_text(tmp_path / "one", lock, "/usr/bin/python3"))
    assert len({first, *others}) == 4


def test_absent_lock_is_told(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="no such requirements file"):
        venv.ensure(tmp_path / "venv", tmp_path / "absent.txt")


def built(folder: Path, *names: str) -> Path:
    path = folder / "netfleet-tcp-0.1.0.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name), io.BytesIO(b""))
    return path


COMPLETE = [name if "." in name or name == "LICENSE" else f"{name}/file" for name in sorted(artifact.SHIPPED)]


def test_complete_collection_is_accepted(tmp_path: Path) -> None:
    assert artifact.contents(built(tmp_path, *COMPLETE)) == COMPLETE


def test_collection_that_ships_too_much_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"ships what no user needs .*: lab/cli\.py"):
        artifact.contents(built(tmp_path, *COMPLETE, "lab/cli.py"))


def test_collection_that_lacks_a_part_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="lacks roles"):
        artifact.contents(built(tmp_path, *[name for name in COMPLETE if not name.startswith("roles")]))
