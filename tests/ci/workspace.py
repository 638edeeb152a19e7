# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A user's inventory repository as docs/ci/README.md describes it, and the machine on which a CI job of it runs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tools.shared import ROOT, VENV, clean_environment

DOCS = ROOT / "docs" / "ci"
BLOCK = re.compile(r"^`([^`\n]+)`[^\n]*(?:\n[^\n`#|]+)*:?\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
GIT = ("git", "-c", "user.name=ci", "-c", "user.email=ci@example.net", "-c", "commit.gpgsign=false")


@dataclass
class Ended:
    """How a job went: what each command printed, and the exit status."""

    status: int = 0
    output: str = ""
    variables: dict[str, str] = field(default_factory=dict)


def described_files() -> dict[str, str]:
    """The files that the README shows in full, by name."""
    return dict(BLOCK.findall((DOCS / "README.md").read_text(encoding="utf-8")))


class Repository:
    """The repository, with a commit for each state that a test wants to see."""

    def __init__(self, folder: Path, files: Mapping[str, str]) -> None:
        self.folder = folder
        folder.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")
        self.commit(files)

    def git(self, *arguments: str) -> str:
        """Run git in it; what it printed."""
        done = subprocess.run([*GIT, *arguments], cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"git {' '.join(arguments)}: {done.stderr}"
        return done.stdout.strip()

    def commit(self, files: Mapping[str, str | None]) -> str:
        """Write files (None: remove) and commit them; the commit."""
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink() if text is None else path.write_text(text, encoding="utf-8")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message=a change")
        return self.git("rev-parse", "HEAD")

    def merge_request(self, base: str, files: Mapping[str, str | None]) -> tuple[str, str]:
        """A branch off `base` with one commit more: that commit, and its merge into base as GitHub checks it out."""
        self.git("checkout", "--quiet", "-B", "change", base)
        head = self.commit(files)
        self.git("checkout", "--quiet", "--detach", base)
        self.git("merge", "--quiet", "--no-ff", "--no-edit", head)
        merged = self.git("rev-parse", "HEAD")
        self.git("checkout", "--quiet", "main")
        return head, merged


class Machine:
    """Where jobs run: a home and a folder for each checkout, with nothing of the user's own in reach."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.bin = folder / "bin"
        self.kept = folder / "kept"  # caches and artifacts, as a server would keep them
        self.log = ""  # all that jobs printed
        for path in (self.home, self.bin, self.kept):
            path.mkdir()

    def stand_in(self, name: str, script: str) -> None:
        """A program that stands before the real one on PATH."""
        path = self.bin / name
        path.write_text(f"#!/bin/bash\n{script}", encoding="utf-8")
        path.chmod(0o755)

    def checkout(self, repository: Repository, commit: str) -> Path:
        """A clean clone at a commit; the one before is removed."""
        project = self.folder / "project"
        shutil.rmtree(project, ignore_errors=True)
        subprocess.run([*GIT, "clone", "--quiet", str(repository.folder), str(project)], check=True)
        subprocess.run([*GIT, "checkout", "--quiet", "--detach", commit], cwd=project, check=True)
        return project

    def run(self, commands: str, project: Path, variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """Run commands in a checkout as a runner does, strictly. The umask is as open as GitLab's runner has it."""
        path = os.pathsep.join([str(self.bin), str(VENV / "bin"), os.environ.get("PATH", os.defpath)])
        settings = {
            "PATH": path,
            "HOME": str(self.home),
            "TMPDIR": str(self.folder),
            "CI": "true",
            # What is installed already suffices; anything else would be a fault, and needs the network.
            "PIP_NO_INDEX": "1",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "ANSIBLE_NOCOLOR": "1",
            **variables,
        }
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-euo", "pipefail", "-c", commands],
            cwd=project,
            env=clean_environment(**settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            umask=0,
            check=False,
        )
        self.log += done.stdout
        return done

    def keep(self, project: Path, name: str, paths: list[str]) -> Path:
        """Copy what an upload would take; a path that is missing is a fault."""
        target = self.kept / name
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for path in paths:
            source = project / path
            assert source.exists(), f"{name}: {path} is to be kept, and is not there"
            if source.is_dir():
                shutil.copytree(source, target / path, symlinks=True)
            else:
                (target / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, target / path)
        return target

    def bring_back(self, project: Path, name: str) -> None:
        """Put what was kept back into a checkout, if there is any."""
        if (self.kept / name).exists():
            shutil.copytree(self.kept / name, project, dirs_exist_ok=True)

    def told(self) -> Iterator[tuple[str, str]]:
        """All that left the machine: what jobs printed, and every file that the server got."""
        yield "the output", self.log
        for path in self.kept.rglob("*"):
            if path.is_file():
                yield path.relative_to(self.kept).as_posix(), path.read_text(encoding="utf-8", errors="replace")
