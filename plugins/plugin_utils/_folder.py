# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of a rendering on the controller: compared with what it should hold, and brought there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from typing import Dict, List, Tuple
from urllib.parse import quote

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import input_error
from ansible_collections.netfleet.tcp.plugins.plugin_utils._render import SUMMARY, Rendered

_MARK = "# Managed by netfleet.tcp"


def host_folder(directory: str, host: str) -> str:
    """Where a host's files go. A name that could lead elsewhere is quoted."""
    name = quote(host, safe=" @:,[]+=~")
    return os.path.join(directory, "%2E" + name[1:] if name.startswith(".") else name)


def present_files(folder: str) -> Dict[str, str]:
    """What stands in a host's folder: path -> text, or '-> target' of a link. InputError where it is no rendering."""
    if not os.path.lexists(folder):
        return {}
    if not _is_rendering(folder):
        raise input_error("directory", "%s was not rendered by netfleet.tcp" % folder, "name an empty folder")
    found: Dict[str, str] = {}
    for parent, directories, names in os.walk(folder):
        for name in [*names, *(entry for entry in directories if os.path.islink(os.path.join(parent, entry)))]:
            path = os.path.join(parent, name)
            found[os.path.relpath(path, folder)] = _text(path)
    return found


def _is_rendering(folder: str) -> bool:
    if not os.path.isdir(folder) or os.path.islink(folder):
        return False
    return not os.listdir(folder) or _MARK in _text(os.path.join(folder, SUMMARY))


def _text(path: str) -> str:
    if os.path.islink(path):
        return "-> %s\n" % os.readlink(path)
    try:
        with open(path, encoding="utf-8", errors="backslashreplace") as stream:
            return stream.read()
    except OSError:
        return ""


def wanted_files(files: Iterable[Rendered]) -> Dict[str, str]:
    """The same of a rendering."""
    return {entry.path: "-> %s\n" % entry.target if entry.target else entry.text for entry in files}


def differences(before: Mapping[str, str], after: Mapping[str, str], folder: str) -> List[Dict[str, str]]:
    """What ansible --diff shows of a change from one to the other."""
    paths = sorted(path for path in {*before, *after} if before.get(path) != after.get(path))
    return [
        {
            "before_header": os.path.join(folder, path) if path in before else "/dev/null",
            "after_header": os.path.join(folder, path) if path in after else "/dev/null",
            "before": before.get(path, ""),
            "after": after.get(path, ""),
        }
        for path in paths
    ]


def bring_up_to_date(folder: str, files: Iterable[Rendered]) -> None:
    """Let a host's folder hold these files and nothing else. InputError where it cannot be written."""
    try:
        shutil.rmtree(folder, ignore_errors=False) if os.path.isdir(folder) else None
        for entry in files:
            path = os.path.join(folder, entry.path)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if entry.target:
                os.symlink(entry.target, path)
                continue
            with open(path, "w", encoding="utf-8", errors="surrogateescape", newline="\n") as stream:
                stream.write(entry.text)
    except OSError as error:
        raise input_error("directory", "%s: %s" % (error.filename, error.strerror), "name another one") from error


def stale_folders(directory: str, hosts: Iterable[str]) -> Tuple[str, ...]:
    """Renderings in the directory of hosts that are not among these."""
    wanted = {host_folder(directory, host) for host in hosts}
    try:
        names = sorted(os.listdir(directory))
    except FileNotFoundError:
        return ()
    folders = [os.path.join(directory, name) for name in names]
    return tuple(
        folder
        for folder in folders
        if folder not in wanted and os.path.isfile(os.path.join(folder, SUMMARY)) and _is_rendering(folder)
    )


def remove_folders(folders: Iterable[str]) -> None:
    """Remove renderings. InputError where one cannot be removed."""
    for folder in folders:
        try:
            shutil.rmtree(folder)
        except OSError as error:
            raise input_error("directory", "%s: %s" % (folder, error.strerror), "remove it by hand") from error
