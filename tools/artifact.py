# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection as a user gets it: built by ansible-galaxy, and unpacked where Ansible finds it."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

from tools.shared import CACHE, ToolError, clean_environment, empty_folder, program, run

NAMESPACE, NAME = "netfleet", "tcp"
FULL_NAME = f"{NAMESPACE}.{NAME}"

# What a user needs; anything else in the built file is a mistake in galaxy.yml's build_ignore.
SHIPPED = {
    "CHANGELOG.md",
    "FILES.json",
    "LICENSE",
    "MANIFEST.json",
    "README.md",
    "changelogs",
    "docs",
    "meta",
    "playbooks",
    "plugins",
    "roles",
}


def home() -> Path:
    """A home directory of our own, so that neither the user's ~/.ansible is touched nor what it holds is found."""
    path = CACHE / "home"
    path.mkdir(parents=True, exist_ok=True)
    return path


def environment(collections: Path, **changes: str) -> dict[str, str]:
    """Environment in which Ansible finds the collections below `collections` and nothing of this repository."""
    return clean_environment(HOME=str(home()), ANSIBLE_COLLECTIONS_PATH=str(collections), **changes)


def build(folder: Path) -> Path:
    """Build the collection into `folder` (emptied first) and return the built file."""
    empty_folder(folder)
    env = environment(folder)
    run(
        [program("ansible-galaxy"), "collection", "build", "--output-path", str(folder)],
        "building the collection",
        env=env,
    )
    built = list(folder.glob(f"{NAMESPACE}-{NAME}-*.tar.gz"))
    if len(built) != 1:
        raise ToolError(
            f"{folder}: ansible-galaxy should have left one {NAMESPACE}-{NAME}-*.tar.gz, found {len(built)}"
        )
    return built[0]


def contents(built: Path) -> list[str]:
    """Names of the files in the built collection; raise ToolError where it ships too much, or lacks a part."""
    with tarfile.open(built) as archive:
        names = [member.name for member in archive.getmembers() if member.isfile()]
    top = {name.split("/", 1)[0] for name in names}
    foreign = sorted(name for name in names if name.split("/", 1)[0] not in SHIPPED)
    if foreign:
        raise ToolError(f"{built.name} ships what no user needs (see build_ignore in galaxy.yml): {', '.join(foreign)}")
    lacking = sorted(SHIPPED - top)
    if lacking:
        raise ToolError(f"{built.name} lacks {', '.join(lacking)}")
    return names


def unpack(built: Path, collections: Path) -> Path:
    """Unpack the built collection as a source tree below `collections` (emptied first) and return its folder."""
    target = empty_folder(collections) / "ansible_collections" / NAMESPACE / NAME
    target.mkdir(parents=True)
    # Debian 12's Python 3.11.2 has no filters yet.
    options: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
    with tarfile.open(built) as archive:
        archive.extractall(target, **options)  # noqa: S202 - we have just built it ourselves
    return target
