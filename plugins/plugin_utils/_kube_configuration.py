# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A KubeProxyConfiguration in YAML: read, and changed without the loss of what is not ours. Pure.

Runs on the controller alone, where PyYAML comes with Ansible; hosts need not have it. So wherever such a text stands
(in a ConfigMap, or in the file of --config on a host), its host sends it as it is, and takes the changed one back.

A text that says all that is wanted comes back as it was. A changed one is written anew: fields, their order and values
are kept, known here or not; comments are not. Line ends are those of Unix then, which kube-proxy takes on every system.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, Dict, List, Tuple

import yaml

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError, Problem, input_error
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_settings import (
    GATES,
    MODE,
    NETWORKS,
    SCHEDULER,
    SETTINGS,
    changes,
    checked,
)

KIND, GROUP = "KubeProxyConfiguration", "kubeproxy.config.k8s.io"
VERSION = GROUP + "/v1alpha1"
# A ConfigMap holds a megabyte at most.
_LONGEST = 2**20
# Those that kube-proxy's own defaults are written as, where kubeadm writes all fields.
_EMPTY_IS_UNSET = (MODE, SCHEDULER)


class _Loader(yaml.SafeLoader):
    """Refuses a key that is given twice, of which YAML would silently take the last and kube-proxy none."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Dict[Hashable, Any]:
        seen = set()
        for key_node, _value in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable):
                if key in seen:
                    raise yaml.constructor.ConstructorError(None, None, "%s is given twice" % key, key_node.start_mark)
                seen.add(key)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Quotes as the tools of Kubernetes do, so that a difference shows what was changed and no more."""

    def choose_scalar_style(self) -> str:
        style = str(super().choose_scalar_style())
        return '"' if style == "'" else style


def read_configuration(text: str, where: str) -> Dict[str, Any]:
    """The settings in a text, by their fields, checked; what is not set, null or empty is left out.

    where: its place, for people. InputError, with where and field, where the text is no YAML, has not exactly one
    KubeProxyConfiguration, or where a field has a wrong type.
    """
    document, _others = _document(text, where)
    return _settings(document, where)


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
    documents = [document if other is None else other for other in others]
    written: str = yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, width=_LONGEST, allow_unicode=True)
    return written


def _document(text: str, where: str) -> Tuple[Dict[Any, Any], List[Any]]:
    """The configuration, and all documents of the text, with None in its place."""
    if len(text) > _LONGEST:
        raise input_error(where, "is longer than a megabyte")
    try:
        documents = [each for each in yaml.load_all(text, Loader=_Loader) if each is not None]
    except yaml.YAMLError as error:
        raise input_error(where, "is not YAML: %s" % _fault(error)) from None
    except (RecursionError, ValueError, OverflowError) as error:
        raise input_error(
            where, "is not YAML that can be read: %s" % (str(error) or "it is nested too deeply")
        ) from None
    ours = [place for place, each in enumerate(documents) if isinstance(each, dict) and each.get("kind") == KIND]
    if len(ours) != 1:
        found = "none" if not ours else "%d" % len(ours)
        raise input_error(where, "has %s of the kind %s in its %d documents" % (found, KIND, len(documents)))
    document = documents[ours[0]]
    version = document.get("apiVersion")
    if version != VERSION:
        raise input_error("%s: apiVersion" % where, "%r is not known" % (version,), "it is %s" % VERSION)
    return document, [None if place == ours[0] else each for place, each in enumerate(documents)]


def _fault(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    said = getattr(error, "problem", None) or str(error).split("\n", maxsplit=1)[0]
    return "line %d, column %d: %s" % (mark.line + 1, mark.column + 1, said) if mark else str(said)


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
