# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build the collection, install it elsewhere, and use it there as a stranger would: `python -m tools.collection`."""

from __future__ import annotations

from pathlib import Path

from tools import artifact
from tools.shared import CACHE, ROOT, ToolError, empty_folder, finish, program, run

WORK = CACHE / "collection"
DOCUMENTED = ("module", "callback", "filter", "lookup")  # the kinds of plugin that ansible-doc describes


def plugin_names(installed: Path, kind: str) -> list[str]:
    """Full names of the collection's plugins of one kind; files that begin with _ are helpers."""
    folder = installed / "plugins" / ("modules" if kind == "module" else kind)
    stems = (path.stem for path in sorted(folder.glob("*.py")) if not path.stem.startswith("_"))
    return [f"{artifact.FULL_NAME}.{stem}" for stem in stems]


def install(built: Path) -> tuple[Path, dict[str, str]]:
    """Install the built file below WORK; return the installed folder and the environment in which Ansible finds it."""
    collections = empty_folder(WORK / "installed")
    env = artifact.environment(collections)
    command = [program("ansible-galaxy"), "collection", "install", str(built), "--collections-path", str(collections)]
    run([*command, "--offline"], "installing the built collection", env=env, cwd=WORK)
    return collections / "ansible_collections" / artifact.NAMESPACE / artifact.NAME, env


def check_playbooks(installed: Path, elsewhere: Path, env: dict[str, str]) -> int:
    """Let Ansible read each playbook by its full name, outside the repository; return their number."""
    names = [path.stem for path in sorted((installed / "playbooks").glob("*.yml"))]
    if "tune" not in names:
        raise ToolError(f"{installed}/playbooks: no tune.yml, the collection's main playbook")
    for name in names:
        command = [program("ansible-playbook"), f"{artifact.FULL_NAME}.{name}", "--syntax-check"]
        run([*command, "--inventory", str(ROOT / "inventories/lab")], f"playbook {name}", cwd=elsewhere, env=env)
    return len(names)


def check_documentation(installed: Path, elsewhere: Path, env: dict[str, str]) -> int:
    """Let ansible-doc describe each plugin and role; return how many were described."""
    roles = [f"{artifact.FULL_NAME}.{path.name}" for path in sorted((installed / "roles").iterdir()) if path.is_dir()]
    subjects = {kind: plugin_names(installed, kind) for kind in DOCUMENTED} | {"role": roles}
    if f"{artifact.FULL_NAME}.sysctl_file" not in subjects["module"]:
        raise ToolError(f"{installed}/plugins/modules: no sysctl_file.py, the collection's main module")
    for kind, names in subjects.items():
        if not names:
            continue
        shown = run(
            [program("ansible-doc"), "--type", kind, *names], f"documentation of each {kind}", cwd=elsewhere, env=env
        )
        # ansible-doc only warns of a name that it does not find.
        unknown = [name for name in names if name.upper() not in shown.upper()]
        if unknown or "was not found" in shown:
            raise ToolError(
                f"ansible-doc --type {kind} does not describe {', '.join(unknown) or 'one of'} {names}:\n{shown}"
            )
    return sum(len(names) for names in subjects.values())


def main() -> int:
    """Build, look at what is shipped, install, use."""
    built = artifact.build(WORK / "built")
    files = artifact.contents(built)
    installed, env = install(built)
    elsewhere = empty_folder(WORK / "elsewhere")
    playbooks = check_playbooks(installed, elsewhere, env)
    described = check_documentation(installed, elsewhere, env)
    print(f"{built.name}: {len(files)} files; {playbooks} playbooks read, {described} plugins and roles described")
    return 0


if __name__ == "__main__":
    finish(main)
