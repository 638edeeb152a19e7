# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lab.cache import Cache
from lab.run import Progress
from tools import kube_binaries
from tools.kube_binaries import MODULES, PROGRAMS, VARIABLE, build, given, refuse_old_go, version_of
from tools.shared import SkippedError, ToolError

LOCKED = (MODULES / "go.mod").read_text(encoding="utf-8")


def test_all_programs_are_locked_and_all_parts_have_the_version_of_the_whole() -> None:
    version, minor = version_of(LOCKED)
    for package in PROGRAMS.values():
        assert f"\t{package}\n" in LOCKED
    replaced = [line.split()[-1] for line in LOCKED.splitlines() if " => " in line]
    assert len(replaced) > 30
    assert set(replaced) == {f"v0.{minor}.{version.rpartition('.')[2]}"}


def test_a_file_without_a_version_is_told() -> None:
    with pytest.raises(ToolError, match=r"go\.mod: requires no k8s\.io/kubernetes"):
        version_of("module other\n")


@pytest.mark.parametrize("words", ["require k8s.io/kubernetes {}", "require (\n\tk8s.io/kubernetes {}\n)"])
def test_the_version_is_found_as_people_write_it_and_as_go_does(words: str) -> None:
    assert version_of("module m\n\n" + words.format("v1.36.2") + "\n") == ("v1.36.2", "36")


def test_without_go_it_is_skipped_and_the_way_out_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SkippedError, match=f"Go is not installed.*{VARIABLE}"):
        refuse_old_go(LOCKED)


@pytest.mark.parametrize(("told", "old"), [("go1.25.9", True), ("go1.26.0", False), ("go1.30rc1", False)])
def test_an_old_go_is_skipped(monkeypatch: pytest.MonkeyPatch, told: str, old: bool) -> None:
    monkeypatch.setattr(kube_binaries.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(kube_binaries, "run", lambda *_words, **_options: f"{told}\n")
    if old:
        with pytest.raises(SkippedError, match=r"this is go1\.25\.9, and kube-proxy is built by Go 1\.26"):
            refuse_old_go("go 1.26.0\n")
    else:
        assert refuse_old_go("go 1.26.0\n") == told


class Toolchain:
    """Stands in for Go: writes what it is asked to build, or fails."""

    def __init__(self, failing: str = "") -> None:
        self.failing = failing
        self.calls: list[str] = []

    def __call__(self, command: Sequence[str], purpose: str, **_options: Any) -> str:
        self.calls.append(command[1])
        if command[1] == self.failing:
            raise ToolError(f"{purpose} failed:\n no such host")
        if command[1] == "build":
            Path(command[command.index("-o") + 1]).write_text(" ".join(command), encoding="utf-8")
        return ""


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", Progress(quiet=True))


def test_a_program_is_built_once_with_its_version(monkeypatch: pytest.MonkeyPatch, cache: Cache) -> None:
    toolchain = Toolchain()
    monkeypatch.setattr(kube_binaries, "run", toolchain)
    monkeypatch.setattr(kube_binaries, "MODULES", _modules(cache.directory.parent))
    modules = LOCKED.replace(version_of(LOCKED)[0], "v1.99.7")
    path = build("kube-proxy", modules, "go1.26.0", cache, Progress(quiet=True))
    assert path == build("kube-proxy", modules, "go1.26.0", cache, Progress(quiet=True))
    assert toolchain.calls == ["list", "build"]
    command = path.read_text(encoding="utf-8")
    assert "version.gitVersion=v1.99.7" in command
    assert "version.gitMinor=99" in command
    assert command.endswith("k8s.io/kubernetes/cmd/kube-proxy")
    assert build("kube-proxy", modules, "go1.27.0", cache, Progress(quiet=True)) != path


def test_modules_that_cannot_be_had_are_a_skip_and_a_failed_build_is_none(
    monkeypatch: pytest.MonkeyPatch, cache: Cache
) -> None:
    monkeypatch.setattr(kube_binaries, "MODULES", _modules(cache.directory.parent))
    monkeypatch.setattr(kube_binaries, "run", Toolchain("list"))
    with pytest.raises(SkippedError, match="fetching the modules of etcd failed: no such host"):
        build("etcd", LOCKED, "go1.26.0", cache, Progress(quiet=True))
    monkeypatch.setattr(kube_binaries, "run", Toolchain("build"))
    with pytest.raises(ToolError, match="building etcd failed"):
        build("etcd", LOCKED, "go1.26.0", cache, Progress(quiet=True))
    assert not list(cache.directory.glob("etcd-*"))


def test_modules_that_nobody_has_locked_are_told(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="--lock` writes it"):
        kube_binaries.sums_of(tmp_path / "go.sum")


def _modules(folder: Path) -> Path:
    (folder / "go.sum").write_text("sums\n", encoding="utf-8")
    return folder


def test_a_folder_that_somebody_names_has_to_have_them_all(tmp_path: Path) -> None:
    (tmp_path / "etcd").touch(mode=0o755)
    assert given(tmp_path, ["etcd"]) == tmp_path
    with pytest.raises(ToolError, match="no program kube-proxy there"):
        given(tmp_path, ["etcd", "kube-proxy"])


def test_the_command_is_run_with_the_folder_and_its_status_is_ours(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in PROGRAMS:
        (tmp_path / name).touch(mode=0o755)
    script = f"import os, sys; sys.exit(7 if os.environ['{VARIABLE}'] == {str(tmp_path)!r} else 0)"
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["kube_binaries", sys.executable, "-c", script])
    assert kube_binaries.main() == 7
