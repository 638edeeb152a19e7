# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of a rendering on the controller: compared with what it should hold, and brought there."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Dict, List, Tuple

import yaml

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import input_error
from ansible_collections.netfleet.tcp.plugins.plugin_utils._put import host_path
from ansible_collections.netfleet.tcp.plugins.plugin_utils._render import FILES, SUMMARY, Rendered

_MARK = "# Managed by netfleet.tcp"


def present_files(folder: str) -> Dict[str, str]:
    """What was rendered into a host's folder and still stands there: path -> text, or '-> target' of a link.

    Files that its summary does not name are somebody else's, and left alone. InputError where it is no rendering.
    """
    if not os.path.lexists(folder):
        return {}
    if not _is_rendering(folder):
        raise input_error("directory", "%s was not rendered by netfleet.tcp" % folder, "name an empty folder")
    paths = [path for path in _own_paths(folder) if os.path.lexists(os.path.join(folder, path))]
    return {path: _text(os.path.join(folder, path)) for path in paths}


def _is_rendering(folder: str) -> bool:
    if not os.path.isdir(folder) or os.path.islink(folder):
        return False
    return not os.listdir(folder) or _MARK in _text(os.path.join(folder, SUMMARY))


def _own_paths(folder: str) -> List[str]:
    """The files of a rendering, sorted: its summary, and those that this names."""
    try:
        said = yaml.safe_load(_text(os.path.join(folder, SUMMARY)))
    except yaml.YAMLError:
        said = None
    named = said.get(FILES) if isinstance(said, dict) else None
    names = [str(name) for name in named] if isinstance(named, list) else []
    # Whatever was written into a summary, no file outside is meant.
    inside = [name for name in names if not os.path.isabs(name) and ".." not in name.split("/")]
    return sorted({SUMMARY, *inside})


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


def refuse_foreign(folder: str, present: Iterable[str], wanted: Iterable[str]) -> None:
    """InputError where a file that we did not render stands where one of ours would."""
    for path in sorted(set(wanted) - set(present)):
        if os.path.lexists(os.path.join(folder, path)):
            text = "%s was not rendered by netfleet.tcp" % os.path.join(folder, path)
            raise input_error("directory", text, "move it away, or name another folder")


def bring_up_to_date(folder: str, files: Iterable[Rendered]) -> None:
    """Let these files be what is rendered in a host's folder. InputError where one cannot be written."""
    wanted = {entry.path: entry for entry in files}
    present = present_files(folder)
    refuse_foreign(folder, present, wanted)
    try:
        _remove(folder, [path for path in present if path not in wanted])
        for entry in wanted.values():
            path = os.path.join(folder, entry.path)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            # Neither follow a link that stands there, nor fail at one.
            if os.path.lexists(path):
                os.unlink(path)
            if entry.target:
                os.symlink(entry.target, path)
                continue
            with open(path, "w", encoding="utf-8", errors="surrogateescape", newline="\n") as stream:
                stream.write(entry.text)
    except OSError as error:
        raise input_error("directory", "%s: %s" % (error.filename, error.strerror), "name another one") from error


def _remove(folder: str, paths: Iterable[str]) -> None:
    """Remove files, and the folders that are empty then."""
    for path in paths:
        os.unlink(os.path.join(folder, path))
        parent = os.path.dirname(path)
        while parent and not os.listdir(os.path.join(folder, parent)):
            os.rmdir(os.path.join(folder, parent))
            parent = os.path.dirname(parent)


def stale_folders(directory: str, hosts: Iterable[str]) -> Tuple[str, ...]:
    """Renderings in the directory of hosts that are not among these."""
    wanted = {host_path(directory, host) for host in hosts}
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


def remove_renderings(folders: Iterable[str]) -> None:
    """Remove what was rendered; a folder stays where there is more in it. InputError where that cannot be done."""
    for folder in folders:
        try:
            _remove(folder, present_files(folder))
            if not os.listdir(folder):
                os.rmdir(folder)
        except OSError as error:
            raise input_error("directory", "%s: %s" % (folder, error.strerror), "remove it by hand") from error
