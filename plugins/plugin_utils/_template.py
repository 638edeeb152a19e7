# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rendering the sysctl.d file with the template that the declaration names, as ansible.builtin.template would."""

from __future__ import annotations

from typing import Any, Dict

from ansible.plugins.action import ActionBase
from ansible.plugins.loader import lookup_loader

from ansible_collections.netfleet.tcp.plugins.plugin_utils._declaration import OWN_TEMPLATE, Render


def renderer(action: ActionBase, template: str | None, task_vars: Dict[str, Any]) -> Render:
    """What renders a host's file; template: as templates are found, None for the role's own."""

    def render(variables: Dict[str, Any]) -> str:
        path = action._find_needle("templates", template) if template else OWN_TEMPLATE
        lookup = lookup_loader.get("ansible.builtin.template", loader=action._loader, templar=action._templar)
        return str(lookup.run([path], variables=task_vars, template_vars=variables)[0])

    return render
