# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""kube-proxy's settings in the configuration of k3s and RKE2: read from all of its files, set in one of ours. Pure.

Runs on the controller alone (the files are YAML, see _kube_configuration). Both read config.yaml, then the files of
config.yaml.d by their names. A key replaces what an earlier file said of it; with a + at its end it adds to that. Of
the arguments of kube-proxy that are collected so, the last of a name counts; those of the command itself come after all
of them. So a file of our own that is read last and
adds what is wanted sets it, nobody else's file is touched, and the way back is to remove ours.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, Dict, List, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass
from ansible_collections.netfleet.tcp.plugins.module_utils._desired import MANAGED
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError, Problem, input_error
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_flags import (
    argument,
    config_file,
    pairs,
    read_flags,
    without_flag,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_settings import NETWORKS, SETTINGS, changes, same
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_yaml import documents

ARGUMENTS, DISABLED = "kube-proxy-arg", "disable-kube-proxy"
# Of the configuration of a distribution: /etc/rancher/k3s/config.yaml and /etc/rancher/k3s/config.yaml.d/
BASE = "/etc/rancher/%s/config.yaml"
OWN_NAME = "zz-netfleet-tcp.yaml"
_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True)
class ConfigFile:
    """A file of the configuration, as its host sends it."""

    path: str
    text: str


@dataclass(frozen=True)
class RancherProxy:
    """What the files say of kube-proxy. arguments: (argument with its dashes, path of its file), in their order."""

    arguments: Tuple[Tuple[str, str], ...] = ()
    disabled: bool = False

    @property
    def plain(self) -> List[str]:
        """The arguments alone."""
        return [text for text, _path in self.arguments]

    def place_of(self, field: str) -> str:
        """Where the argument of a setting stands that counts, or empty."""
        flag = SETTINGS[field].flag
        places = [path for text, path in self.arguments if flag in dict(pairs([text]))]
        return places[-1] if places else ""


def own_path(distribution: str) -> str:
    """The path of our file."""
    return "%s.d/%s" % (BASE % distribution, OWN_NAME)


def in_order(files: Sequence[ConfigFile], distribution: str) -> List[ConfigFile]:
    """Those files that are read, in the order in which they are."""
    base = BASE % distribution
    dropins = [
        each for each in files if os.path.dirname(each.path) == base + ".d" and each.path.lower().endswith(_SUFFIXES)
    ]
    # By bytes, as the directory is read.
    dropins.sort(key=lambda each: os.fsencode(os.path.basename(each.path)))
    return [each for each in files if each.path == base] + dropins


def read_files(files: Sequence[ConfigFile], distribution: str) -> RancherProxy:
    """What the files say together. InputError with file and key where one is no YAML, or of another form."""
    arguments: List[Tuple[str, str]] = []
    disabled = False
    for each in in_order(files, distribution):
        for key, value in _mapping(each).items():
            if key == DISABLED:
                disabled = _truth(value, each.path)
            elif key in (ARGUMENTS, ARGUMENTS + "+"):
                own = [("--" + text, each.path) for text in _texts(value, "%s: %s" % (each.path, key))]
                arguments = arguments + own if key != ARGUMENTS else own
    return RancherProxy(tuple(arguments), disabled)


def _mapping(file: ConfigFile) -> Dict[Any, Any]:
    found = documents(file.text, file.path)
    if not found:
        return {}
    if len(found) > 1:
        raise input_error(file.path, "has %d documents, of which the first alone is read" % len(found))
    if not isinstance(found[0], dict):
        raise input_error(file.path, "is not a mapping")
    return found[0]


def _texts(value: Any, where: str) -> List[str]:
    """Arguments without dashes, which may be written with them."""
    values = value if isinstance(value, list) else [] if value is None else [value]
    if not all(isinstance(each, str) for each in values):
        raise input_error(where, "%r is not a list of texts" % (value,), "such as proxy-mode=ipvs")
    return [each.strip().lstrip("-") for each in values if each.strip()]


def _truth(value: Any, path: str) -> bool:
    if value in (True, "true"):
        return True
    if value in (False, "false", None):
        return False
    raise input_error("%s: %s" % (path, DISABLED), "%r is not true or false" % (value,))


def with_command(said: RancherProxy, arguments: Sequence[str], unit: str) -> RancherProxy:
    """What files say, and then the command of the unit: its arguments about kube-proxy, as --name=value.

    InputError where it has the distribution read other files.
    """
    where = "systemctl cat %s" % unit
    given = [(name, value) for name, _equals, value in (each.partition("=") for each in arguments)]
    for name, value in given:
        if name in ("--config", "-c"):
            raise input_error(where, "has it read another configuration: %s" % value, "move that to its usual place")
    own = [("--" + value.lstrip("-"), where) for name, value in given if name == "--" + ARGUMENTS]
    disabled = [value.lower() in ("true", "1", "t") for name, value in given if name == "--" + DISABLED]
    return RancherProxy((*said.arguments, *own), [said.disabled, *disabled][-1])


def own_file(
    files: Sequence[ConfigFile],
    distribution: str,
    want: Mapping[str, Any],
    arguments: Sequence[str] = (),
    unit: str = "",
) -> str:
    """The text of our file that brings these checked settings; empty where the other files bring them all.

    files: all that are there, ours too if it is. arguments, unit: as of with_command. InputError where our file could
    not bring them, with what prevents it.
    """
    own = own_path(distribution)
    others = [each for each in files if each.path != own]
    said = with_command(read_files(others, distribution), arguments, unit)
    where = BASE % distribution
    if config_file(said.plain):
        problem = "kube-proxy takes its settings from %s" % config_file(said.plain)
        raise input_error("%s: %s" % (where, ARGUMENTS), problem, "change that file")
    have = read_flags(said.plain, where)
    to_set = changes(have, want)
    problems = [Problem("%s: %s" % (where, field), "kube-proxy has no flag for it") for field in without_flag(to_set)]
    for field in to_set:
        if SETTINGS[field].kind == NETWORKS and have.get(field):
            cure = "take %s out there" % SETTINGS[field].flag
            problems.append(Problem("%s: %s" % (said.place_of(field), field), "is set, and can only grow", cure))
    if problems:
        raise InputError(problems)
    if not to_set:
        return ""
    text = _own_text(to_set)
    together = read_files([*others, ConfigFile(own, text)], distribution)
    _refuse_later(with_command(together, arguments, unit), want, where)
    return text


def _own_text(to_set: Mapping[str, Any]) -> str:
    # What JSON quotes, YAML reads as it was.
    lines = "".join("  - %s\n" % json.dumps(argument(field, value)) for field, value in to_set.items())
    return '%s\n"%s+":\n%s' % (MANAGED, ARGUMENTS, lines)


def _refuse_later(together: RancherProxy, want: Mapping[str, Any], where: str) -> None:
    """InputError where a file that is read after ours says something else."""
    result = read_flags(together.plain, where)
    problems = [
        Problem(
            "%s: %s" % (together.place_of(field) or where, field), "is read after %s" % OWN_NAME, "take it out there"
        )
        for field, value in want.items()
        if not same(field, result.get(field), value)
    ]
    if problems:
        raise InputError(problems)
