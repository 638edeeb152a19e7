# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the lab keeps things: the state of one instance, and the image cache that all clones share."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError

REPOSITORY = Path(__file__).resolve().parent.parent
BACKENDS = ("vm", "container")
MAX_OFFSET = 9


@dataclass(frozen=True)
class Settings:
    """One instance of the lab on this machine, as chosen by the environment and the command line."""

    backend: str
    offset: int
    state_dir: Path
    cache_dir: Path
    suite: str | None  # stands in for every host's own suite

    @classmethod
    def from_environment(cls, env: Mapping[str, str], backend: str | None = None) -> Settings:
        """Read the NETFLEET_LAB_* variables; `backend` (from the command line) wins over the variable.

        :raises LabError: a variable has a value that the lab does not know.
        """
        chosen = backend or env.get("NETFLEET_LAB_BACKEND") or "vm"
        if chosen not in BACKENDS:
            raise LabError(f"NETFLEET_LAB_BACKEND={chosen!r}: choose one of {', '.join(BACKENDS)}")
        return cls(
            backend=chosen,
            offset=_offset(env.get("NETFLEET_LAB_OFFSET") or "0"),
            state_dir=Path(env.get("NETFLEET_LAB_DIR") or REPOSITORY / ".lab" / "demo").absolute(),
            cache_dir=_cache_dir(env),
            suite=env.get("NETFLEET_LAB_SUITE") or None,
        )

    def environment(self) -> dict[str, str]:
        """The variables that make another process see these settings (sudo may change HOME)."""
        result = {
            "NETFLEET_LAB_BACKEND": self.backend,
            "NETFLEET_LAB_OFFSET": str(self.offset),
            "NETFLEET_LAB_DIR": str(self.state_dir),
            "NETFLEET_LAB_CACHE": str(self.cache_dir),
        }
        if self.suite:
            result["NETFLEET_LAB_SUITE"] = self.suite
        return result

    @property
    def key(self) -> Path:
        """The private ssh key of this instance; both backends accept it for root."""
        return self.state_dir / "id_ed25519"

    @property
    def backend_dir(self) -> Path:
        """What belongs to the backend in use; `lab down` removes it."""
        return self.state_dir / self.backend


def _offset(text: str) -> int:
    if not re.fullmatch(r"\d", text):
        raise LabError(f"NETFLEET_LAB_OFFSET={text!r}: must be a number from 0 to {MAX_OFFSET}")
    return int(text)


def _cache_dir(env: Mapping[str, str]) -> Path:
    if env.get("NETFLEET_LAB_CACHE"):
        return Path(env["NETFLEET_LAB_CACHE"]).absolute()
    base = Path(env.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "netfleet-tcp-lab"


def give_to_user(path: Path) -> None:
    """Hand a path to the user who called sudo, if any, so that ansible (not run as root) can use it."""
    uid, gid = os.environ.get("SUDO_UID"), os.environ.get("SUDO_GID")
    if uid and gid and os.geteuid() == 0:
        os.chown(path, int(uid), int(gid), follow_symlinks=False)


def make_directory(path: Path) -> Path:
    """Create a directory and its missing parents, each owned by the user who called sudo, if any."""
    missing = [p for p in (path, *path.parents) if not p.exists()]
    for directory in reversed(missing):
        directory.mkdir(exist_ok=True)
        give_to_user(directory)
    return path


def mounts_below(path: Path, mountinfo: str) -> list[str]:
    """The mount points at or below a path, by the text of /proc/self/mountinfo (which writes a space in octal)."""
    points = [line.split()[4].encode().decode("unicode_escape") for line in mountinfo.splitlines()]
    return [point for point in points if f"{point}/".startswith(f"{path}/")]


def remove_tree(path: Path) -> None:
    """Remove a directory and all below it; nothing happens if it is not there.

    :raises LabError: something is mounted below it. An interrupted build can leave a bind mount of the machine's own
        /dev behind, which must not be emptied.
    """
    mounted = mounts_below(path.resolve(), Path("/proc/self/mountinfo").read_text(encoding="utf-8"))
    if mounted:
        raise LabError(f"{path}: not removed, because {', '.join(mounted)} is mounted there; unmount it and try again")
    if path.exists():
        shutil.rmtree(path)
