# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""YAML that somebody else wrote, read so that nothing in it is taken silently for something else. Pure.

Runs on the controller alone.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Dict, List

import yaml

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import input_error

# A ConfigMap holds a megabyte at most.
LONGEST = 2**20


class _Loader(yaml.SafeLoader):
    """Refuses a key that is given twice, of which YAML would silently take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Dict[Hashable, Any]:
        seen = set()
        for key_node, _value in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable):
                if key in seen:
                    raise yaml.constructor.ConstructorError(None, None, "%s is given twice" % key, key_node.start_mark)
                seen.add(key)
        return super().construct_mapping(node, deep)


def documents(text: str, where: str) -> List[Any]:
    """The documents of a text that are not empty. InputError with where, line and column if it is no YAML."""
    if len(text) > LONGEST:
        raise input_error(where, "is longer than a megabyte")
    try:
        return [each for each in yaml.load_all(text, Loader=_Loader) if each is not None]
    except yaml.YAMLError as error:
        raise input_error(where, "is not YAML: %s" % _fault(error)) from None
    except (RecursionError, ValueError, OverflowError) as error:
        problem = str(error) if not isinstance(error, RecursionError) else "it is nested too deeply"
        raise input_error(where, "is not YAML that can be read: %s" % problem) from None


def _fault(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    said = getattr(error, "problem", None) or str(error).split("\n", maxsplit=1)[0]
    return "line %d, column %d: %s" % (mark.line + 1, mark.column + 1, said) if mark else str(said)
