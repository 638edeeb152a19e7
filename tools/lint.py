# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that reads the sources without running them: `python -m tools.lint`. All checks run, whichever fail."""

from __future__ import annotations

import time
from collections.abc import Callable

from tools import source_checks
from tools.shared import COLLECTIONS, ROOT, ToolError, clean_environment, finish, program, run

OURS = str(COLLECTIONS / "ansible_collections" / "netfleet" / "tcp")


def by_program(name: str, *arguments: str) -> Callable[[], None]:
    """A check that a program of .venv makes."""

    def check() -> None:
        # ansible-lint finds our modules where collection-link put them, and asks no server for anything.
        env = clean_environment(ANSIBLE_COLLECTIONS_PATH=str(COLLECTIONS), ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"))
        run([program(name), *arguments], name, env=env, tail=200)

    return check


CHECKS: dict[str, Callable[[], None]] = {
    "sources": source_checks.check,
    "format": by_program("ruff", "format", "--check", "."),
    "ruff": by_program("ruff", "check", "--output-format=concise", "."),
    "yamllint": by_program("yamllint", "--strict", "."),
    "changelog": by_program("antsibull-changelog", "lint"),
    "changelog.yaml": by_program("antsibull-changelog", "lint-changelog-yaml", "changelogs/changelog.yaml"),
    # The documentation of modules, plugins and roles: whether it renders, and names options that exist.
    "antsibull-docs": by_program("antsibull-docs", "lint-collection-docs", "--plugin-docs", "--skip-rstcheck", OURS),
    "ansible-lint": by_program("ansible-lint", "--offline", "--profile", "production", "--nocolor"),
}


def main() -> int:
    """Run the checks one after the other; 1 if one failed."""
    failed = []
    for name, check in CHECKS.items():
        started = time.monotonic()
        try:
            check()
        except ToolError as error:
            failed.append(name)
            print(f"{error}")
        outcome = "FAILED" if name in failed else "ok"
        print(f"lint: {name:<14} {outcome:<6} {time.monotonic() - started:5.1f} s", flush=True)
    if failed:
        raise ToolError(f"lint: {', '.join(failed)} failed (see above)")
    return 0


if __name__ == "__main__":
    finish(main)
