# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings that a node's kube-proxy has by its files, and the file that brings others, wherever they stand. Pure.

Runs on the controller alone, where there is YAML. Of nodes whose configuration the API holds, see _kube_daemon_set.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Dict, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import host_error
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_find import (
    CONFIG_FILE,
    CONFIG_MAP,
    FLAGS_FILE,
    RANCHER_FILES,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_flags import file_arguments, read_flags
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_flags import with_settings as flags_with
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_model import NodeSeen, fingerprint
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_unit import DROP_IN, command_of, drop_in
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_configuration import (
    read_configuration,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_configuration import (
    with_settings as configuration_with,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_rancher import (
    ConfigFile,
    RancherProxy,
    own_file,
    own_path,
    read_files,
    with_command,
)


def settings_of(seen: NodeSeen) -> Dict[str, Any]:
    """The settings of a node's files, by field. InputError or HostError, with the place, where they cannot be read."""
    place = seen.place
    if place.kind == RANCHER_FILES:
        return read_flags(_of_rancher(seen).plain, place.path)
    if place.kind == FLAGS_FILE:
        return read_flags(file_arguments(_text(seen)), place.path)
    if place.kind == CONFIG_FILE:
        return read_configuration(_text(seen), place.path)
    if place.kind == CONFIG_MAP:
        return {}
    return read_flags(command_of(seen.unit_text, place.unit)[1:], "systemctl cat %s" % place.unit)


def disabled(seen: NodeSeen) -> str:
    """Why a node has no kube-proxy by its own files, or empty."""
    if seen.place.kind == RANCHER_FILES and _of_rancher(seen).disabled:
        return "%s leaves it out here (disable-kube-proxy)" % seen.place.distribution
    return ""


def changed_file(seen: NodeSeen, want: Mapping[str, Any]) -> Tuple[str, str]:
    """(path, text) of the file that brings checked settings; a text that is empty: there is to be no such file.

    An empty path: the API holds them. InputError, with what prevents it, where they cannot be brought.
    """
    place = seen.place
    if place.kind == CONFIG_MAP:
        return "", ""
    if place.kind == RANCHER_FILES:
        return own_path(place.distribution), own_file(
            _files(seen), place.distribution, want, seen.arguments, place.unit
        )
    if place.kind == FLAGS_FILE:
        return place.path, flags_with(_text(seen), want, place.path)
    if place.kind == CONFIG_FILE:
        return place.path, configuration_with(_text(seen), want, place.path)
    return DROP_IN % place.unit, drop_in(seen.unit_text, place.unit, want)


def changed_from(seen: NodeSeen) -> str:
    """Of changed_file, the fingerprint of what stands in the file; empty where others have no business in it."""
    return fingerprint(_text(seen)) if seen.place.kind in (FLAGS_FILE, CONFIG_FILE) else ""


def _of_rancher(seen: NodeSeen) -> RancherProxy:
    said = read_files(_files(seen), seen.place.distribution)
    return with_command(said, seen.arguments, seen.place.unit)


def _files(seen: NodeSeen) -> Tuple[ConfigFile, ...]:
    return tuple(ConfigFile(each.path, each.text) for each in seen.files)


def _text(seen: NodeSeen) -> str:
    found = [each.text for each in seen.files if each.path == seen.place.path]
    if not found:
        raise host_error(seen.place.path, "is not there, or cannot be read", "kube-proxy takes its settings from it")
    return found[0]
