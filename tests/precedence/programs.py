# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the real programs come from: the lab's Debian trees, or this machine. Only what they need is taken."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

from ansible_collections.netfleet.tcp.plugins.module_utils._sysctl_d import PROCPS, SYSTEMD
from lab.cache import Cache
from lab.paths import Settings
from lab.run import Progress
from lab.tree import debian_tree
from tests.precedence.compare import Program

MACHINE = "this machine"
_SYSTEMD_PLACES = ("/usr/lib/systemd/systemd-sysctl", "/lib/systemd/systemd-sysctl")
_PROCPS_PLACES = ("/usr/sbin/sysctl", "/sbin/sysctl")
_WANTED = re.compile(
    r"\./((usr/)?lib(64|x?32)?"  # themselves: links where /usr is merged
    r"|(usr/)?lib(64|x?32)?/[^/]+\.so[^/]*"
    r"|(usr/)?lib/[^/]+-linux-gnu[^/]*/([^/]+\.so[^/]*|systemd/libsystemd-shared-[^/]+\.so)"
    r"|(usr/)?lib/systemd/(systemd-sysctl|libsystemd-shared-[^/]+\.so)"
    r"|(usr/)?sbin/sysctl)\Z"
)


class NoProgramsError(Exception):
    """A release's programs cannot be had; the text says why."""


def unpack(suite: str, root: Path) -> None:
    """Take the two programs and all shared libraries of a release out of the lab's tree, which is built if need be."""
    settings = Settings.from_environment(os.environ)
    archive = debian_tree(suite, Cache(settings.cache_dir, Progress()), Progress())
    root.mkdir()
    with tarfile.open(archive, "r:") as tar:
        for member in tar:
            if _WANTED.match(member.name):
                _put(tar, member, root / member.name)


def _put(tar: tarfile.TarFile, member: tarfile.TarInfo, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    if member.issym():
        place.symlink_to(member.linkname)
    elif member.isdir():
        place.mkdir(exist_ok=True)
    else:
        source = tar.extractfile(member)
        if source is None:
            return
        with place.open("wb") as stream:
            shutil.copyfileobj(source, stream)
        place.chmod(0o755)


def copy_ours(root: Path) -> None:
    """Copy this machine's own programs, with the libraries that ldd names."""
    root.mkdir()
    for link in ("lib", "lib64"):
        if Path("/", link).is_symlink():
            (root / link).symlink_to(Path("/", link).readlink())
            (root / Path("/", link).readlink()).mkdir(parents=True)
    for places in (_SYSTEMD_PLACES, _PROCPS_PLACES):
        program = next((place for place in places if Path(place).exists()), None)
        if program is None:
            raise NoProgramsError(f"{places[0]} is not installed here (Debian's packages are systemd and procps)")
        told = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
        for place in [program, *re.findall(r"(/\S+) \(0x", told)]:
            copy = root / place.lstrip("/")
            copy.parent.mkdir(parents=True, exist_ok=True)
            if not copy.exists():
                shutil.copyfile(place, copy)
                copy.chmod(0o755)


def programs(root: Path, suite: str) -> list[Program]:
    """The programs below a directory, with the versions that they tell."""
    found = []
    called: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
        (SYSTEMD, _SYSTEMD_PLACES, ()),
        (PROCPS, _PROCPS_PLACES, ("-q", "--system")),
    )
    for reader, places, options in called:
        place = next((place for place in places if (root / place.lstrip("/")).exists()), None)
        if place is None:
            raise NoProgramsError(f"{suite}: no {places[0]} in its tree")
        done = subprocess.run(["chroot", str(root), place, "--version"], capture_output=True, text=True, check=False)
        words = done.stdout.split()
        if done.returncode or len(words) < 2:
            raise NoProgramsError(f"{suite}: {place} does not run: {done.stderr.strip() or done.stdout.strip()}")
        shown = f"systemd {words[1]}" if reader == SYSTEMD else f"procps {words[-1]}"
        found.append(Program(reader, (place, *options), shown, suite, (root / "lib").is_symlink()))
    return found
