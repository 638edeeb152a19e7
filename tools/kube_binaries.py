# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kubernetes' own programs for scenario `kube`: `python -m tools.kube_binaries [--only NAME] [COMMAND ...]`.

Debian has no kube-proxy, so they are built from their Go modules, as requirements/kube/ locks them: once for a version,
each takes minutes, and the lab's cache keeps them. With a command, that is run with NETFLEET_KUBE_BINARIES, the folder
that has them all. Who sets that variable has a folder of their own taken instead. Says SKIPPED where there is no Go
that is new enough, or the modules cannot be had.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from lab.cache import Cache
from lab.errors import LabError
from lab.paths import Settings
from lab.run import Progress
from tools.shared import CACHE, ROOT, SkippedError, ToolError, empty_folder, finish, run

MODULES = ROOT / "requirements" / "kube"
FOLDER = CACHE / "kube"
VARIABLE = "NETFLEET_KUBE_BINARIES"
# In the order in which they are of use.
PROGRAMS = {
    "kube-proxy": "k8s.io/kubernetes/cmd/kube-proxy",
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
    "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
    "etcd": "go.etcd.io/etcd/server/v3",
}
_VERSION = re.compile(r"^(?:require)?\s+k8s\.io/kubernetes (v1\.(\d+)\.\d+)\b", re.MULTILINE)
_GO = re.compile(r"^go (\d+)\.(\d+)", re.MULTILINE)
# What a program says of itself; API servers refuse nodes that are too old by it.
_SAID = "k8s.io/component-base/version"


def version_of(modules: str) -> tuple[str, str]:
    """The version that a go.mod requires, and its minor number. ToolError where it names none."""
    found = _VERSION.search(modules)
    if not found:
        raise ToolError(f"{MODULES / 'go.mod'}: requires no k8s.io/kubernetes v1...")
    return found.group(1), found.group(2)


def flags(version: str, minor: str) -> list[str]:
    """What each program is built with: without symbols, which are half of it, and with its version."""
    said = {"gitVersion": version, "gitMajor": "1", "gitMinor": minor, "gitTreeState": "clean"}
    values = " ".join(f"-X {_SAID}.{name}={value}" for name, value in said.items())
    return ["-trimpath", "-buildvcs=false", f"-ldflags=-s -w {values}"]


def refuse_old_go(modules: str) -> str:
    """The version of the Go that is there. SkippedError where there is none, or an older one than the modules need."""
    if shutil.which("go") is None:
        raise SkippedError(
            f"Go is not installed, which builds kube-proxy; or name a folder that has it with {VARIABLE}"
        )
    told = run(["go", "env", "GOVERSION"], "asking Go for its version").strip()
    here = re.match(r"go(\d+)\.(\d+)", told)
    asked = _GO.search(modules)
    if here and asked and tuple(map(int, here.groups())) < tuple(map(int, asked.groups())):
        raise SkippedError(f"this is {told}, and kube-proxy is built by Go {'.'.join(asked.groups())} or newer")
    return told


def environment() -> dict[str, str]:
    """Ours, for programs that need no library of the machine and run on any CPU of its kind; modules stay as locked."""
    return {**os.environ, "CGO_ENABLED": "0", "GOAMD64": "v1", "GOTOOLCHAIN": "local", "GOWORK": "off"}


def fetch(name: str) -> None:
    """Have the sources of a program. SkippedError where they cannot be had."""
    command = ["go", "list", "-mod=readonly", "-deps", "-f", "{{.ImportPath}}", PROGRAMS[name]]
    try:
        run(command, f"fetching the modules of {name}", cwd=MODULES, env=environment(), tail=3)
    except ToolError as error:
        raise SkippedError(" ".join(str(error).split())) from error


def sums_of(path: Path) -> str:
    """The sums of all modules. ToolError where nobody has locked them."""
    if not path.exists():
        raise ToolError(f"{path}: not there; `python -m tools.kube_binaries --lock` writes it, and it belongs into git")
    return path.read_text(encoding="utf-8")


def build(name: str, modules: str, go: str, cache: Cache, progress: Progress) -> Path:
    """A program, from the cache or built now."""
    version, minor = version_of(modules)
    options = flags(version, minor)
    sums = sums_of(MODULES / "go.sum")
    recipe = {"package": PROGRAMS[name], "modules": modules, "sums": sums, "go": go, "flags": options}

    def compile_it(directory: Path) -> None:
        fetch(name)
        with progress.step(name, f"built for Kubernetes {version} by {go}", announce=True):
            command = ["go", "build", "-mod=readonly", *options, "-o", str(directory / name), PROGRAMS[name]]
            run(command, f"building {name}", cwd=MODULES, env=environment())

    return cache.entry(name, recipe, compile_it) / name


def lock() -> None:
    """Work out all versions and sums anew, by what go.mod requires of Kubernetes."""
    run(["go", "mod", "tidy"], "locking the modules of Kubernetes", cwd=MODULES, env=environment(), show=True)


def folder_of(programs: dict[str, Path]) -> Path:
    """A folder of this clone in which each of them is found by its name."""
    folder = empty_folder(FOLDER)
    for name, path in programs.items():
        (folder / name).symlink_to(path)
    return folder


def given(folder: Path, names: Sequence[str]) -> Path:
    """The folder that somebody names, if all are there."""
    missing = [name for name in names if not os.access(folder / name, os.X_OK)]
    if missing:
        raise ToolError(f"{VARIABLE}={folder}: no program {', '.join(missing)} there")
    return folder.absolute()


def binaries(names: Sequence[str]) -> Path:
    """The folder that has these programs."""
    named = os.environ.get(VARIABLE)
    if named:
        return given(Path(named), names)
    modules = (MODULES / "go.mod").read_text(encoding="utf-8")
    go = refuse_old_go(modules)
    progress = Progress(stream=sys.stderr)
    try:
        cache = Cache(Settings.from_environment(os.environ).cache_dir, progress)
        return folder_of({name: build(name, modules, go, cache, progress) for name in names})
    except LabError as error:
        raise ToolError(str(error)) from error


def main() -> int:
    """Have the programs, then run the command with them, or say where they are."""
    parser = argparse.ArgumentParser(prog="python -m tools.kube_binaries", description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", choices=list(PROGRAMS), help="one of them (may be repeated)")
    parser.add_argument("--lock", action="store_true", help="lock the modules anew, and build nothing")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="what to run with them")
    options = parser.parse_args()
    if options.lock:
        lock()
        return 0
    folder = binaries(options.only or list(PROGRAMS))
    if not options.command:
        print(folder)
        return 0
    done = subprocess.run(options.command, env={**os.environ, VARIABLE: str(folder)}, check=False)
    return done.returncode


if __name__ == "__main__":
    finish(main)
