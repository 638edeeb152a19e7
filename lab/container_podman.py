# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The few podman commands that the lab needs, with errors that say what failed."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from lab.errors import LabError
from lab.run import run, tail

HINT = "Look at the lines above; `podman info` shows whether podman itself works on this machine."

ATTEMPTS = 4


@dataclass(frozen=True)
class Container:
    """A container of the lab as podman sees it."""

    identifier: str
    state: str  # created, running, exited ...
    labels: Mapping[str, str]
    pid: int = 0  # of its process 1

    @property
    def running(self) -> bool:
        """Whether its process 1 lives. Podman may not know that the machine was switched off since."""
        return self.state == "running" and Path(f"/proc/{self.pid}").exists()


class Podman:
    """Podman with the settings that this machine needs, and with the lab's hook for containers that it starts."""

    def __init__(self, environment: Mapping[str, str], hooks: Path | None = None) -> None:
        self._environment = dict(environment)
        self._global = ["podman", f"--hooks-dir={hooks}"] if hooks else ["podman"]

    def run(self, arguments: Sequence[str], *, what: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run one podman command."""
        return run([*self._global, *arguments], what=what, hint=HINT, env=self._environment, check=check)

    def containers(self, label: str, value: str) -> list[Container]:
        """All containers, running or not, that have this label with this value."""
        arguments = ["ps", "--all", f"--filter=label={label}={value}", "--format=json"]
        rows = json.loads(self.run(arguments, what="listing the lab's containers").stdout or "[]")
        return [Container(row["Id"], row["State"], row.get("Labels") or {}, row.get("Pid") or 0) for row in rows]

    def remove(self, identifiers: Iterable[str]) -> None:
        """Stop containers at once and remove them with their volumes; unknown ones are no error."""
        wanted = list(identifiers)
        command = ["rm", "--force", "--time=0", "--ignore", "--volumes", *wanted]
        # Each killed container has a cleanup process of podman's own, which may be at work on the same mounts.
        for _ in range(ATTEMPTS if wanted else 0):
            if self.run(command, what="removing containers", check=False).returncode == 0:
                return
            time.sleep(0.5)
        if wanted:
            self.run(command, what="removing containers")

    def has_image(self, name: str) -> bool:
        """Whether podman stores this image."""
        return self.run(["image", "exists", name], what=f"looking for image {name}", check=False).returncode == 0

    def import_image(self, name: str, label: str, archive: Iterable[bytes]) -> None:
        """Make an image with a label from the bytes of a tar archive."""
        argv = [*self._global, "import", "--quiet", f"--change=LABEL {label}=1", "-", name]
        environment = {**os.environ, **self._environment}
        with tempfile.TemporaryFile() as said:
            with (
                subprocess.Popen(argv, env=environment, stdin=subprocess.PIPE, stdout=said, stderr=said) as process,
                contextlib.suppress(BrokenPipeError),  # if podman ends early its own words say why
                cast(IO[bytes], process.stdin) as pipe,
            ):
                for data in archive:
                    pipe.write(data)
            said.seek(0)
            words = tail(said.read().decode(errors="replace"))
        if process.returncode != 0:
            raise LabError(f"importing image {name} failed: exit status {process.returncode}\n{words}\n  {HINT}")

    def remove_images(self, label: str) -> int:
        """Remove all images that have a label; returns how many.

        :raises LabError: a container still uses one.
        """
        listed = self.run(["images", f"--filter=label={label}", "--quiet"], what="listing the lab's images").stdout
        images = sorted(set(listed.split()))
        if images:
            self.run(["rmi", *images], what="removing the lab's images (is one still in use? make lab-down)")
        return len(images)
