# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a module's documentation says of its options, those of the collection's fragments included."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import yaml

_FRAGMENTS = "ansible_collections.netfleet.tcp.plugins.doc_fragments"
_FIELDS = ("type", "elements", "required", "default", "choices")


def options_of(text: str) -> dict[str, Any]:
    """The options of a DOCUMENTATION, by name."""
    documentation = yaml.safe_load(text)
    found: dict[str, Any] = dict(documentation["options"])
    for named in documentation["extends_documentation_fragment"]:
        name, _dot, part = named.removeprefix("netfleet.tcp.").partition(".")
        fragment = importlib.import_module(f"{_FRAGMENTS}.{name}").ModuleDocFragment
        found.update(yaml.safe_load(getattr(fragment, (part or "documentation").upper())).get("options", {}))
    return found


def not_as_documented(text: str, specification: Mapping[str, Any]) -> list[str]:
    """Names of options that are documented otherwise than an action takes them."""
    options = options_of(text)
    return sorted(
        name
        for name in {*options, *specification}
        if name not in options
        or name not in specification
        or any(options[name].get(field) != specification[name].get(field) for field in _FIELDS)
    )
