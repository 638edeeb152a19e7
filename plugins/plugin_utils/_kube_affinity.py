# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which nodes a DaemonSet leaves to another one: by a label, in whatever affinity its pods have. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Dict, List, Optional

LABEL = "netfleet.tcp/kube-proxy"
_EXPRESSION = {"key": LABEL, "operator": "DoesNotExist"}

Object = Dict[str, Any]


def divided(daemon_set: Mapping[str, Any]) -> bool:
    """Whether the cluster's own DaemonSet leaves labelled nodes to ours."""
    terms = _terms(daemon_set["spec"]["template"]["spec"].get("affinity"))
    return any(_EXPRESSION in (term.get("matchExpressions") or ()) for term in terms)


def with_expression(affinity: Optional[Mapping[str, Any]]) -> Object:
    """An affinity that holds in addition only for nodes without the label."""
    # Terms are alternatives, so each of them gets it; an empty one matches nothing, and has to stay empty.
    terms = [
        {**term, "matchExpressions": [*(term.get("matchExpressions") or ()), dict(_EXPRESSION)]} if term else term
        for term in _terms(affinity)
    ] or [{"matchExpressions": [dict(_EXPRESSION)]}]
    node = {
        **((affinity or {}).get("nodeAffinity") or {}),
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms},
    }
    return {**(affinity or {}), "nodeAffinity": node}


def without_expression(affinity: Mapping[str, Any]) -> Optional[Object]:
    """The affinity without that; None where nothing is left of it."""
    terms = []
    for term in _terms(affinity):
        left = [each for each in term.get("matchExpressions") or () if each != _EXPRESSION]
        rest = {name: value for name, value in term.items() if name != "matchExpressions"}
        kept = {**rest, **({"matchExpressions": left} if left else {})}
        terms += [kept] if kept or not term else []
    node = dict(affinity.get("nodeAffinity") or {})
    if terms:
        node["requiredDuringSchedulingIgnoredDuringExecution"] = {"nodeSelectorTerms": terms}
    else:
        node.pop("requiredDuringSchedulingIgnoredDuringExecution", None)
    whole = {**affinity, "nodeAffinity": node} if node else {n: v for n, v in affinity.items() if n != "nodeAffinity"}
    return whole or None


def _terms(affinity: Optional[Mapping[str, Any]]) -> List[Any]:
    required = ((affinity or {}).get("nodeAffinity") or {}).get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    return list(required.get("nodeSelectorTerms") or ())
