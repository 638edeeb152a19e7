# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The image cache: entries named by the hash of everything they are made of, each complete or absent."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from lab.errors import LabError
from lab.paths import make_directory, remove_tree
from lab.run import Progress

DIGITS = 16
KEPT_SECONDS = 30 * 24 * 3600


def digest(parts: Mapping[str, object]) -> str:
    """A short name for a recipe: equal parts give equal names, whatever their order."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


@contextmanager
def lock(path: Path, progress: Progress, exclusive: bool = True) -> Iterator[int]:
    """Hold a lock file for the body; says so if another process has it, and waits."""
    make_directory(path.parent)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    mode = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
    try:
        try:
            fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.line(f"  waiting for another process that holds {path.name}")
            fcntl.flock(descriptor, mode)
        yield descriptor
    finally:
        os.close(descriptor)


class Cache:
    """A directory of finished entries `<name>-<digest>/`, shared by all clones of this user."""

    def __init__(self, directory: Path, progress: Progress) -> None:
        self.directory = directory
        self._progress = progress

    def entry(self, name: str, recipe: Mapping[str, object], build: Callable[[Path], None]) -> Path:
        """The directory of an entry; `build` fills an empty one if it is not there yet.

        It is built beside its place under a lock and moved there when complete: an interrupted build leaves no half
        entry.
        """
        title = f"{name}-{digest(recipe)}"
        place = self.directory / title
        if place.is_dir():
            os.utime(place)  # still of use
            return place
        with lock(self.directory / "locks" / f"{name}.lock", self._progress):
            if place.is_dir():
                return place
            with self.scratch(name) as directory:
                work = directory / title
                work.mkdir()
                build(work)
                work.rename(place)
            self._forget_old(name)
        return place

    def _forget_old(self, name: str) -> None:
        """Remove entries of this name that nobody asked for in a month: recipes change, and each entry is large."""
        for place in self.directory.glob(f"{name}-{'[0-9a-f]' * DIGITS}"):
            if time.time() - place.stat().st_mtime > KEPT_SECONDS and not _in_use(place):
                remove_tree(place)

    @contextmanager
    def scratch(self, name: str) -> Iterator[Path]:
        """A temporary directory on the cache's filesystem; what a killed build of its name left is removed first."""
        base = make_directory(self.directory / "tmp")
        for left in base.glob(f"{name}.*"):
            remove_tree(left)
        directory = Path(tempfile.mkdtemp(prefix=f"{name}.", dir=base))
        directory.chmod(0o755)
        try:
            yield directory
        finally:
            remove_tree(directory)

    def clean(self) -> None:
        """Remove the cache.

        :raises LabError: a running host uses an image of it (its supervisor holds the entry's `in-use` file locked).
        """
        for place in sorted(path.parent for path in self.directory.glob("*/in-use")):
            if _in_use(place):
                raise LabError(f"{place}: a running host uses this image; stop the lab first (make lab-down)")
        remove_tree(self.directory)


def _in_use(place: Path) -> bool:
    path = place / "in-use"
    if not path.exists():
        return False
    with path.open("rb") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
