# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the next boot will set: parsing of sysctl.d files and the order in which they win.

Pure: callers hand in directory listings and lines. Sources: sysctl.d(5), systemd's sysctl.c, procps' sysctl.c.
"""

from __future__ import annotations

import fnmatch
from typing import Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._model import Assignment
from ansible_collections.netfleet.tcp.plugins.module_utils._values import key_name

# Highest precedence first: a file hides those of the same name in the directories after its own.
SYSCTL_DIRECTORIES = ("/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d", "/lib/sysctl.d")
SYSCTL_CONF = "/etc/sysctl.conf"
SYSTEMD = "systemd-sysctl"
PROCPS = "procps"
NOBODY = "nobody"
_GLOB_CHARACTERS = frozenset("*?[")


def rank_of(path: str) -> str:
    """Where a file stands in the order of application, as a string that sorts: later wins.

    By basename whatever the directory; /etc/sysctl.conf, where it is read by its own name (procps), comes last.
    """
    return "1" if path == SYSCTL_CONF else "0" + path.rsplit("/", 1)[-1]


def files_in_order(listing: Mapping[str, Iterable[str]], reader: str, has_sysctl_conf: bool) -> List[str]:
    """The paths that the reader goes through at boot, in the order in which it applies them.

    listing: names in each of SYSCTL_DIRECTORIES. A name that stands in several is read from the first of them only;
    masks (a link to /dev/null, an empty file) are ordinary entries here, which hide the others and assign nothing.
    """
    if reader == NOBODY:
        return []
    chosen: Dict[str, str] = {}
    for directory in SYSCTL_DIRECTORIES:
        for name in listing.get(directory, ()):
            # systemd passes hidden files over, procps does not.
            if name.endswith(".conf") and not (reader == SYSTEMD and name.startswith(".")):
                chosen.setdefault(name, "%s/%s" % (directory, name))
    ordered = [chosen[name] for name in sorted(chosen)]
    if reader == PROCPS and has_sysctl_conf:
        ordered.append(SYSCTL_CONF)
    return ordered


def parse(path: str, lines: Iterable[str]) -> Iterator[Tuple[str, Assignment]]:
    """(key or glob, Assignment) of each line of one file that assigns or excludes a key.

    An exclusion (``-key`` without a value) is an Assignment whose value is None. Lines that neither reader accepts
    are passed over, as the readers do.
    """
    rank = rank_of(path)
    for number, raw in enumerate(lines, start=1):
        line = raw.strip()
        if not line or line[0] in "#;":
            continue
        name, equals, value = line.partition("=")
        name = name.strip()
        tolerant = name.startswith("-")
        name = name[1:].strip() if tolerant else name
        if not name or not (equals or tolerant):
            continue
        name = key_name(name)
        glob = bool(_GLOB_CHARACTERS.intersection(name))
        yield name, Assignment(path, number, value.strip() if equals else None, rank, glob)


def assignments(names: Sequence[str], parsed: Iterable[Tuple[str, Assignment]]) -> Dict[str, Tuple[Assignment, ...]]:
    """For each of the names, every assignment that could give it a value at boot, in the order of application."""
    found: Dict[str, List[Assignment]] = {name: [] for name in names}
    for pattern, assignment in parsed:
        if not assignment.glob:
            if pattern in found:
                found[pattern].append(assignment)
            continue
        for name in names:
            if _glob_matches(pattern, name):
                found[name].append(assignment)
    return {name: tuple(entries) for name, entries in found.items()}


def _glob_matches(pattern: str, name: str) -> bool:
    # glob(3) does not let * cross a separator; fnmatch does, hence component by component.
    left, right = pattern.split("."), name.split(".")
    return len(left) == len(right) and all(fnmatch.fnmatchcase(b, a) for a, b in zip(left, right))


def winner(entries: Iterable[Assignment], reader: str = SYSTEMD) -> Optional[Assignment]:
    """The assignment that decides: the last explicit one, and a glob only where no line names the key itself.

    An exclusion that decides means that no file sets the key: None.
    """
    ordered = sorted(entries, key=lambda entry: (entry.rank, entry.line))
    explicit = [entry for entry in ordered if not entry.glob]
    if explicit:
        return explicit[-1] if explicit[-1].value is not None else None
    globs = [entry for entry in ordered if entry.value is not None]
    return globs[-1] if globs else None
