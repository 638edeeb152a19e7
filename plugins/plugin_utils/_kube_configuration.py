# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A KubeProxyConfiguration in YAML: read, and changed without the loss of what is not ours. Pure.

Runs on the controller alone, where PyYAML comes with Ansible; hosts need not have it. So wherever such a text stands
(in a ConfigMap, or in the file of --config on a host), its host sends it as it is, and takes the changed one back.

A text that says all that is wanted comes back as it was. A changed one is written anew: fields, their order and values
are kept, known here or not; comments are not. Line ends are those of Unix then, which kube-proxy takes on every system.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Dict, List, Tuple

import yaml

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError, Problem, input_error
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_settings import (
    GATES,
    MODE,
    NETWORKS,
    NODE_PORTS,
    SCHEDULER,
    SETTINGS,
    changes,
    checked,
)
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_yaml import LONGEST, documents

KIND, GROUP = "KubeProxyConfiguration", "kubeproxy.config.k8s.io"
VERSION = GROUP + "/v1alpha1"
# Those that kube-proxy's own defaults are written as, where kubeadm writes all fields.
_EMPTY_IS_UNSET = (MODE, SCHEDULER)


class _Dumper(yaml.SafeDumper):
    """Quotes as the tools of Kubernetes do, so that a difference shows what was changed and no more."""

    def choose_scalar_style(self) -> str:
        style = str(super().choose_scalar_style())
        return '"' if style == "'" else style


# Ansible's values are of classes of its own, which remember where they were written.
_Dumper.add_multi_representer(str, _Dumper.represent_str)
_Dumper.add_multi_representer(int, _Dumper.represent_int)


def read_configuration(text: str, where: str) -> Dict[str, Any]:
    """The settings in a text, by their fields, checked; what is not set, null or empty is left out. With NODE_PORTS.

    where: its place, for people. InputError, with where and field, where the text is no YAML, has not exactly one
    KubeProxyConfiguration, or where a field has a wrong type.
    """
    document, _others = _document(text, where)
    found, networks = _settings(document, where), document.get(NODE_PORTS)
    if isinstance(networks, list) and networks:
        found[NODE_PORTS] = tuple(map(str, networks))
    return found


def with_settings(text: str, want: Mapping[str, Any], where: str) -> str:
    """The text with these checked settings. InputError as of read_configuration."""
    document, others = _document(text, where)
    to_set = changes(_settings(document, where), want)
    if not to_set:
        return text
    for field, value in to_set.items():
        *sections, name = field.split(".")
        inner = document
        for section in sections:
            # What is null, or not there, becomes a section.
            inner[section] = inner = inner.get(section) or {}
        inner[name] = list(value) if SETTINGS[field].kind == NETWORKS else value
    all_of_them = [document if other is None else other for other in others]
    written: str = yaml.dump_all(all_of_them, Dumper=_Dumper, sort_keys=False, width=LONGEST, allow_unicode=True)
    return written


def _document(text: str, where: str) -> Tuple[Dict[Any, Any], List[Any]]:
    """The configuration, and all documents of the text, with None in its place."""
    found = documents(text, where)
    ours = [place for place, each in enumerate(found) if isinstance(each, dict) and each.get("kind") == KIND]
    if len(ours) != 1:
        many = "none" if not ours else "%d" % len(ours)
        raise input_error(where, "has %s of the kind %s in its %d documents" % (many, KIND, len(found)))
    document = found[ours[0]]
    version = document.get("apiVersion")
    if version != VERSION:
        raise input_error("%s: apiVersion" % where, "%r is not known" % (version,), "it is %s" % VERSION)
    return document, [None if place == ours[0] else each for place, each in enumerate(found)]


def _settings(document: Mapping[Any, Any], where: str) -> Dict[str, Any]:
    problems: List[Problem] = []
    raw: Dict[str, Any] = {}
    for field in SETTINGS:
        *sections, name = field.split(".")
        inner: Any = document
        for section in sections:
            inner = inner.get(section)
            if inner is None:
                inner = {}
            if not isinstance(inner, Mapping):
                problem = Problem("%s: %s" % (where, section), "%r is not a mapping" % (inner,))
                problems.extend([] if problem in problems else [problem])
                inner = {}
        value = inner.get(name)
        if value is not None and not (value == "" and field in _EMPTY_IS_UNSET):
            raw[field] = value
    try:
        found = checked(raw, where)
    except InputError as error:
        raise InputError([*problems, *error.problems]) from None
    if problems:
        raise InputError(problems)
    return {field: value for field, value in found.items() if value or SETTINGS[field].kind not in (NETWORKS, GATES)}
