# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The container image of a suite: the Debian tree that the VMs use too, less its kernel, with a few units masked."""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from lab.cache import Cache, digest, lock
from lab.container_podman import Podman
from lab.run import Progress
from lab.tree import debian_tree

RECIPE = 1  # raise it when the image must be made anew although nothing below changed
NAME = "netfleet-lab"
LABEL = "netfleet.lab.image"

LEFT_OUT = re.compile(r"(boot|(usr/)?lib/modules|var/cache/apt|var/lib/apt/lists)/.+")
SSHD = "UseDNS no\nPermitRootLogin prohibit-password\nPasswordAuthentication no\nMaxStartups 100\nMaxSessions 100\n"
FILES = {
    "etc/ssh/sshd_config.d/netfleet-lab.conf": SSHD,
    "etc/systemd/journald.conf.d/netfleet-lab.conf": "[Journal]\nStorage=volatile\nRuntimeMaxUse=16M\n",
    "etc/systemd/system.conf.d/netfleet-lab.conf": "[Manager]\nDefaultTimeoutStopSec=5s\n",
    "etc/fstab": "",
}
# Units that cannot work in a user namespace (the host would be `degraded`), or that each take an inotify instance, of
# which the containers of one machine together have 128, or that only cost time.
MASKED = (
    "proc-sys-fs-binfmt_misc.automount",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "sys-kernel-config.mount",
    "sys-fs-fuse-connections.mount",
    "dev-hugepages.mount",
    "getty@tty1.service",
    "console-getty.service",
    "systemd-logind.service",
    "systemd-logind-varlink.socket",
    "systemd-ask-password-console.path",
    "systemd-ask-password-wall.path",
    "systemd-journald-audit.socket",
    "systemd-udevd.service",
    "systemd-udevd-control.socket",
    "systemd-udevd-kernel.socket",
    "systemd-udevd-varlink.socket",
    "systemd-udev-trigger.service",
    "systemd-timesyncd.service",
    "systemd-networkd.service",
    "systemd-networkd.socket",
    "systemd-resolved.service",
    "ipvsadm.service",
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "systemd-tmpfiles-clean.timer",
)


def tag(suite: str, tree: Path) -> str:
    """The name of the image that is made of this tree by this recipe."""
    recipe = {"recipe": RECIPE, "tree": tree.parent.name, "left": LEFT_OUT.pattern, "files": FILES, "masked": MASKED}
    return f"localhost/{NAME}:{suite}-{digest(recipe)}"


def ensure_image(suite: str, podman: Podman, cache: Cache, progress: Progress) -> str:
    """The tag of a suite's image, importing it first unless podman has it."""
    archive = debian_tree(suite, cache, progress)
    name = tag(suite, archive)
    if podman.has_image(name):
        return name
    with lock(cache.directory / "locks" / f"container-{suite}.lock", progress):
        if not podman.has_image(name):
            with progress.step(suite, "container image"):
                podman.import_image(name, LABEL, image_archive(archive))
    return name


def image_archive(tree: Path) -> Iterator[bytes]:
    """The image as the bytes of a tar archive, made from the archive of the tree."""
    buffer = io.BytesIO()
    with tarfile.open(tree, "r:") as source, tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as image:
        for member in source:
            if _kept(member.name):
                content = source.extractfile(member) if member.isreg() else None
                with closing(content or io.BytesIO()):
                    image.addfile(member, content)
                yield _taken(buffer)
        for member, data in _own_members():
            image.addfile(member, io.BytesIO(data))
    yield _taken(buffer)


def _taken(buffer: io.BytesIO) -> bytes:
    data = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return data


def _kept(name: str) -> bool:
    path = name.removeprefix("./")
    return path not in FILES and LEFT_OUT.fullmatch(path) is None


def _own_members() -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    for path, text in FILES.items():
        member = tarfile.TarInfo(f"./{path}")
        member.mode, member.size = 0o644, len(text.encode())
        yield member, text.encode()
    for unit in MASKED:
        member = tarfile.TarInfo(f"./etc/systemd/system/{unit}")
        member.type, member.linkname = tarfile.SYMTYPE, "/dev/null"
        yield member, b""
