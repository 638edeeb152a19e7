# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rendering the sysctl.d file with the template that the declaration names, as ansible.builtin.template would."""

from __future__ import annotations

import os
from typing import Any, Dict

from ansible.plugins.action import ActionBase
from ansible.template import generate_ansible_template_vars, trust_as_template

from ansible_collections.netfleet.tcp.plugins.plugin_utils._declaration import OWN_TEMPLATE, Render


def renderer(action: ActionBase, template: str | None, task_vars: Dict[str, Any]) -> Render:
    """What renders a host's file; template: as templates are found, None for the role's own."""

    def render(variables: Dict[str, Any]) -> str:
        path = action._find_needle("templates", template) if template else OWN_TEMPLATE
        text = trust_as_template(action._loader.get_text_file_contents(path))
        folders = [os.path.dirname(path), *task_vars.get("ansible_search_path", ())]
        # Not the template lookup: it copies every variable of the host, those of the whole fleet among them.
        templar = action._templar.copy_with_new_env(
            searchpath=[entry for folder in folders for entry in (os.path.join(folder, "templates"), folder)],
            available_variables={**generate_ansible_template_vars(path, path), **task_vars, **variables},
        )
        return str(templar.template(text, escape_backslashes=False))

    return render
