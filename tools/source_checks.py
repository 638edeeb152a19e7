# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of our own on the sources: each has its licence header, and none names where packages or images come from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from tools.shared import ROOT, ToolError, run

COPYRIGHT = "SPDX-FileCopyrightText: netfleet.tcp contributors"
LICENCE = "SPDX-License-Identifier: GPL-3.0-or-later"
HEADER_LINES = 8  # a template may begin with the header that it renders, a script with its interpreter

WITH_HEADER = {".cfg", ".conf", ".in", ".ini", ".j2", ".py", ".service", ".sh", ".toml", ".yaml", ".yml"}
NAMES_WITH_HEADER = {"Makefile", ".ansible-lint", ".editorconfig", ".yamllint", "run"}
# Data as a tool or a host wrote it, and what users copy and make their own.
WITHOUT_HEADER = (
    "tests/unit/**/fixtures/**",
    "tests/unit/fixtures/**",
    "changelogs/changelog.yaml",
    "inventories/**",
    "tests/golden/**",
)

# Where packages and images come from is a matter of the machine's own configuration. The hosts stand here as patterns
# that do not match themselves.
REGISTRIES = re.compile(
    r"\b(?:"
    r"(?:test\.)?pypi[.]org|files[.]pythonhosted[.]org|bootstrap[.]pypa[.]io"
    r"|(?:deb|ftp[.\w]*|security|snapshot|archive|cdn-fastly|httpredir)[.]debian[.]org|(?:archive|security)[.]ubuntu[.]com"
    r"|registry[.]npmjs[.]org|(?:proxy|sum)[.]golang[.]org"
    r"|quay[.]io|docker[.]io|ghcr[.]io|gcr[.]io|registry[.]k8s[.]io|mcr[.]microsoft[.]com|galaxy[.]ansible[.]com"
    r")\b",
    re.IGNORECASE,
)
# The same by way of an option.
INDEX_OPTIONS = re.compile(r"^\s*(?:--(?:extra-)?index-url|--find-links|--trusted-host)\b")


def source_files() -> list[Path]:
    """Every file that git knows of or would take, without those that are deleted."""
    listed = run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], "listing the sources with git"
    )
    return sorted(path for path in (ROOT / name for name in listed.split("\0") if name) if path.is_file())


def needs_header(name: str) -> bool:
    """Whether the file of this name (relative to the repository) must carry the licence header."""
    path = PurePosixPath(name)
    if any(path.match(pattern) or is_below(name, pattern) for pattern in WITHOUT_HEADER):
        return False
    return path.suffix in WITH_HEADER or path.name in NAMES_WITH_HEADER


def is_below(name: str, pattern: str) -> bool:
    """Whether `name` matches a pattern in which ** stands for any folders (PurePath.match knows no ** before 3.13)."""
    expression = re.escape(pattern).replace(r"\*\*", ".*").replace(r"\*", "[^/]*")
    return re.fullmatch(expression, name) is not None


def header_problem(text: str) -> str | None:
    """What is wrong with the licence header of a source, if anything."""
    head = "\n".join(text.splitlines()[:HEADER_LINES])
    missing = [line for line in (COPYRIGHT, LICENCE) if line not in head]
    return f"the first {HEADER_LINES} lines lack: {'; '.join(missing)}" if missing and text.strip() else None


def registry_problems(text: str) -> Iterator[tuple[int, str]]:
    """Lines of a source that name a registry or a mirror, with their number."""
    for number, line in enumerate(text.splitlines(), start=1):
        found = REGISTRIES.search(line) or INDEX_OPTIONS.search(line)
        if found:
            yield number, found.group(0).strip()


def problems(files: Iterable[Path]) -> Iterator[str]:
    """Every fault found, as "file:line: what is wrong, what to do"."""
    for path in files:
        name = path.relative_to(ROOT).as_posix()
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture or an archive
        fault = header_problem(text) if needs_header(name) else None
        if fault:
            yield f"{name}:1: {fault}"
        for number, host in registry_problems(text):
            yield f"{name}:{number}: names {host}; leave that to the machine's own configuration of apt, pip, podman"


def check() -> None:
    """Raise ToolError that lists every fault."""
    files = source_files()
    if not files:
        raise ToolError(f"git lists no file below {ROOT}: nothing was checked")
    found = list(problems(files))
    if found:
        raise ToolError(f"{len(found)} faults in the sources\n" + "\n".join(found))
    print(f"{len(files)} sources: headers in place, no registry named")
