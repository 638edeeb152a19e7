# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the next boot will set: which files are read, what their lines say, and which line decides a key.

Pure: callers hand in directory listings and texts. Exact for the programs of Debian 12 and 13, systemd 252 and 257
(src/sysctl/sysctl.c, src/basic/conf-files.c, fileio.c, sysctl-util.c) and procps 4.0 (src/sysctl.c);
`make precedence` compares it with them. docs/precedence.md tells it in words.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import replace
from typing import Callable, Container, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass
from ansible_collections.netfleet.tcp.plugins.module_utils._glob import Glob, is_glob, octets
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Assignment

# Highest precedence first: a file hides those of the same name in the directories after its own.
SYSCTL_DIRECTORIES = ("/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d", "/lib/sysctl.d")
SYSCTL_CONF = "/etc/sysctl.conf"
SYSTEMD = "systemd-sysctl"
PROCPS = "procps"
NOBODY = "nobody"

# Why an assignment does not decide, as clauses for people.
LATER_FILE = "a file that is read later decides"
LATER_LINE = "a later line of the same file decides"
EXPLICIT = "a line names the key itself, which beats every glob"
EXCLUDED = "a line excludes the key"
REPEATED = "a later line says the same"
KEPT_PLACE = "it repeats an earlier line, and with it stands before the glob that decides"
REFUSED = "the kernel refuses the value"
MASKED = "its file is hidden by one of the same name in a directory of higher precedence"
NO_EFFECT = "an exclusion, to which the line that decides is not subject"

# systemd reads no line of this many bytes, and nothing after it.
_LONGEST_LINE = 1024 * 1024
_LONGEST_NAME = 255
_LONGEST_PATH = 4096
_PROC_SYS = "/proc/sys/"
_SYSTEMD_SPACE = " \t\n\r"
_PROCPS_SPACE = " \t\n\v\f\r"
_SYSTEMD_LINE_END = re.compile("(?:\n\r?|\r\n?)\0?|\0")
_SWAP = str.maketrans("./", "/.")
# The key as written but for a leading "-", and its value: None where the line excludes it.
_Line = Optional[Tuple[str, Optional[str]]]


@dataclass(frozen=True)
class Boot:
    """What decides a key at boot.

    winner: the line whose value is written last; None where the boot leaves the key alone. exclusion: the line that
    keeps globs (and, for systemd, earlier lines) from the key. shadowed: every other line and why it does not decide
    (one of this file's constants), in reading order, those of hidden files last.
    """

    winner: Optional[Assignment]
    shadowed: Tuple[Tuple[Assignment, str], ...] = ()
    exclusion: Optional[Assignment] = None


def rank_of(path: str) -> str:
    """Where a file stands in the order of application, as a string that sorts: later wins.

    By basename whatever the directory, byte by byte; /etc/sysctl.conf, where it is read by its own name (procps),
    comes last.
    """
    return "1" if path == SYSCTL_CONF else "0" + octets(path.rsplit("/", 1)[-1])


def files_in_order(listing: Mapping[str, Iterable[str]], reader: str, has_sysctl_conf: bool) -> List[str]:
    """The paths that the reader goes through at boot, in the order in which it applies them.

    listing: names in each of SYSCTL_DIRECTORIES. A name that stands in several is read from the first of them only,
    whatever it is: a link to /dev/null or to nothing, an empty file and a directory hide the others and assign nothing.
    """
    if reader == NOBODY:
        return []
    chosen = _chosen(listing, reader)
    ordered = [chosen[name] + "/" + name for name in sorted(chosen, key=octets)]
    if reader == PROCPS:
        ordered = [found for path in ordered for found in _opened_by_procps(path, listing)]
        ordered += [SYSCTL_CONF] if has_sysctl_conf else []
    return ordered


def hidden_files(listing: Mapping[str, Iterable[str]], reader: str) -> List[Tuple[str, str]]:
    """(path, path of the file of the same name that hides it), for each file that the reader therefore never reads.

    /lib/sysctl.d is passed over where it has the names of /usr/lib/sysctl.d: the two are one directory then.
    """
    chosen = _chosen(listing, reader)
    names = {directory: [n for n in listing.get(directory, ()) if n in chosen] for directory in SYSCTL_DIRECTORIES}
    if set(names["/lib/sysctl.d"]) == set(names["/usr/lib/sysctl.d"]):
        names["/lib/sysctl.d"] = []
    return [
        (directory + "/" + name, chosen[name] + "/" + name)
        for directory in SYSCTL_DIRECTORIES
        for name in names[directory]
        if chosen[name] != directory
    ]


def _chosen(listing: Mapping[str, Iterable[str]], reader: str) -> Dict[str, str]:
    """The directory from which each name is read."""
    chosen: Dict[str, str] = {}
    for directory in SYSCTL_DIRECTORIES:
        for name in listing.get(directory, ()):
            # systemd passes hidden files over, procps does not. None of the names that systemd takes for backups
            # ends in .conf.
            if name.endswith(".conf") and not (reader == SYSTEMD and name.startswith(".")):
                chosen.setdefault(name, directory)
    return chosen


def _opened_by_procps(path: str, listing: Mapping[str, Iterable[str]]) -> List[str]:
    """What procps opens: it takes a file's own name for a pattern, and for a name where nothing matches."""
    directory, _slash, name = path.rpartition("/")
    if not is_glob(name) and "{" not in name and "\\" not in name:
        return [path]
    found = Glob(name, braces=True).select(sorted(listing.get(directory, ()), key=octets))
    return [directory + "/" + other for other in found] or [path]


def parse(
    path: str, text: str, reader: str = SYSTEMD, names: Optional[Container[str]] = None
) -> Iterator[Tuple[str, Assignment]]:
    """(dotted key or glob, Assignment) of each line of one file that assigns or excludes a key.

    text may hold surrogate escapes. names: leave out lines that name any other key (globs stay), which is faster.
    An exclusion (``-key`` without a value) is an Assignment whose value is None. Lines that the reader passes over are
    passed over, and so are those whose key can be none. Line numbers are the reader's own: for systemd a lone CR and a
    NUL end a line too.
    """
    procps = reader == PROCPS
    rank = rank_of(path)
    read_line = _procps_line if procps else _systemd_line
    for number, line in enumerate(text.split("\n") if procps else _systemd_lines(text), start=1):
        found = read_line(line) if line else None
        if found is None:
            continue
        key, value = found
        swapped = _slashed(key)
        pattern = swapped if procps else _simplified(swapped)
        glob = is_glob(pattern)
        named = pattern if glob else _key_path(pattern, reader)
        name = _swapped(named) if named else ""
        if name and (glob or names is None or name in names):
            yield name, Assignment(path, number, value, rank, glob, pattern)


def _systemd_lines(text: str) -> List[str]:
    if "\r" in text or "\0" in text:
        text = _SYSTEMD_LINE_END.sub("\n", text)
    lines = text.split("\n")
    if len(text) * 4 < _LONGEST_LINE:
        return lines
    for number, line in enumerate(lines):
        if len(line) * 4 >= _LONGEST_LINE and len(octets(line)) >= _LONGEST_LINE:
            return lines[:number]
    return lines


def _systemd_line(line: str) -> _Line:
    line = line.strip(_SYSTEMD_SPACE)
    if not line or line[0] in "#;":
        return None
    key, equals, value = line.partition("=")
    if not equals and line[0] != "-":
        return None
    key = key[1:] if line[0] == "-" else key
    return key.strip(_SYSTEMD_SPACE), value.strip(_SYSTEMD_SPACE) if equals else None


def _procps_line(line: str) -> _Line:
    line = line.partition("\0")[0].lstrip(_PROCPS_SPACE)
    if not line or line[0] in "#;":
        return None
    key, equals, value = line.partition("=")
    if not equals and line[0] != "-":
        return None
    # A second "-" is dropped as well; what follows the first is not stripped on its left.
    key = key[2:] if key.startswith("--") else key[1:] if line[0] == "-" else key
    return key.rstrip(_PROCPS_SPACE), value.strip(_PROCPS_SPACE) if equals else None


def _slashed(key: str) -> str:
    """The key as a path: if its first separator is a dot, dots and slashes change places."""
    dot = key.find(".")
    return _swapped(key) if dot >= 0 and "/" not in key[:dot] else key


def _swapped(text: str) -> str:
    # What translate does, at a tenth of its cost where only one of the two is there.
    if "/" not in text:
        return text.replace(".", "/")
    return text.translate(_SWAP) if "." in text else text.replace("/", ".")


def _simplified(path: str) -> str:
    """As systemd simplifies a path: neither empty nor "." components, nor ".." at the root, nor a leading slash."""
    if "//" not in path and "." not in path and path[:1] != "/" and path[-1:] != "/" and len(path) <= _LONGEST_NAME:
        return path
    parts = path.split("/")
    kept: List[str] = []
    for number, part in enumerate(parts):
        if len(part) * 4 > _LONGEST_NAME and len(octets(part)) > _LONGEST_NAME:
            # From a name on that no file can have, the rest stays as it is.
            return "/".join(kept + parts[number:])
        if part not in ("", ".") and not (part == ".." and not kept and path[0] == "/"):
            kept.append(part)
    return "/".join(kept)


def _key_path(pattern: str, reader: str) -> Optional[str]:
    """The path below /proc/sys to which a reader writes for this text, or None where it writes nowhere."""
    if reader == PROCPS:
        # Anything that resolves to a path below /proc/sys. What stands before a ".." is taken for a directory.
        path = posixpath.normpath(_PROC_SYS + pattern)
        directory = pattern.endswith(("/", "/.", "/..")) or pattern in ("", ".", "..")
        return path[len(_PROC_SYS) :] if path.startswith(_PROC_SYS) and not directory else None
    if ".." in pattern and ".." in pattern.split("/"):
        return None
    if len(pattern) > _LONGEST_NAME and not _valid_path(pattern):
        return None
    return pattern or None


def _valid_path(pattern: str) -> bool:
    too_long = len(octets(pattern)) + len(_PROC_SYS) >= _LONGEST_PATH
    return not too_long and all(len(octets(part)) <= _LONGEST_NAME for part in pattern.split("/"))


def assignments(
    names: Sequence[str], parsed: Iterable[Tuple[str, Assignment]], reader: str = SYSTEMD
) -> Dict[str, Tuple[Assignment, ...]]:
    """For each of the (dotted) names, every assignment that could give it a value at boot, in reading order."""
    found: Dict[str, List[Assignment]] = {name: [] for name in names}
    paths = {name: _swapped(name) for name in names}
    matched: Dict[str, List[str]] = {}
    for named, assignment in parsed:
        if not assignment.glob:
            if named in found:
                found[named].append(assignment)
            continue
        pattern = assignment.pattern or _swapped(named)
        if pattern not in matched:
            glob = _glob(pattern, reader)
            matched[pattern] = [name for name, path in paths.items() if glob.matches(path)]
        for name in matched[pattern]:
            found[name].append(assignment)
        if named in found and named not in matched[pattern]:
            # The text of a glob is the name of an interface: it counts as naming the key, and gives it nothing.
            found[named].append(replace(assignment, value=None, glob=False))
    return {name: tuple(entries) for name, entries in found.items()}


def _glob(pattern: str, reader: str) -> Glob:
    return Glob(pattern, False, _PROC_SYS.strip("/")) if reader == PROCPS else Glob(pattern, True)


def winner(
    entries: Iterable[Assignment], reader: str = SYSTEMD, accepts: Optional[Callable[[str], bool]] = None
) -> Optional[Assignment]:
    """The assignment that decides a key; None where the boot leaves it alone. See explain_boot."""
    return explain_boot(entries, reader, accepts).winner


def explain_boot(
    entries: Iterable[Assignment],
    reader: str = SYSTEMD,
    accepts: Optional[Callable[[str], bool]] = None,
    masked: Iterable[Assignment] = (),
) -> Boot:
    """What decides one key, of all the assignments that could give it a value (as from `assignments`, in that order).

    accepts: whether the kernel takes a value for this key (every one, where not given): a write that it refuses leaves
    what an earlier one set. masked: assignments in files that are not read, see hidden_files.
    """
    lines = list(entries)
    reasons: Dict[int, str] = {}
    order = list(range(len(lines))) if reader == PROCPS else _held_by_systemd(lines, reasons)
    last = _last_written(lines, order, reader, accepts, reasons)
    exclusion = _exclusion(lines, order, reader, last)
    for number, line in enumerate(lines):
        if number not in reasons and number not in (last, exclusion):
            reasons[number] = NO_EFFECT if line.value is None or last is None else _lost_to(lines, number, last)
    shadowed = [(lines[number], reasons[number]) for number in sorted(reasons)]
    return Boot(
        None if last is None else lines[last],
        (*shadowed, *((line, MASKED) for line in masked)),
        None if exclusion is None else lines[exclusion],
    )


def _last_written(
    lines: Sequence[Assignment],
    order: Sequence[int],
    reader: str,
    accepts: Optional[Callable[[str], bool]],
    reasons: Dict[int, str],
) -> Optional[int]:
    last = None
    blocks = _Blocks([lines[number] for number in order], reader)
    for number in order:
        line = lines[number]
        if line.value is None:
            continue
        blocked = blocks.reason(line) if line.glob else ""
        if blocked:
            reasons[number] = blocked
        elif accepts is not None and not accepts(line.value):
            reasons[number] = REFUSED
        else:
            last = number
    return last


def _exclusion(lines: Sequence[Assignment], order: Sequence[int], reader: str, last: Optional[int]) -> Optional[int]:
    """The exclusion to name as the cause where no line decides, or only a glob that no exclusion holds off."""
    excluding = [number for number in order if lines[number].value is None]
    explicit = [number for number in excluding if not lines[number].glob]
    if last is not None:
        return explicit[-1] if explicit and lines[last].glob else None
    if explicit or reader == PROCPS:
        return explicit[-1] if explicit else None
    return excluding[-1] if excluding else None


def _held_by_systemd(lines: Sequence[Assignment], reasons: Dict[int, str]) -> List[int]:
    """The lines that systemd holds once all files are read, in the order in which it applies them.

    It keeps one entry for each text of a key or glob. The same value again changes nothing, not even the entry's place;
    another value (or an exclusion) takes the entry away and appends a new one.
    """
    held: Dict[object, List[int]] = {}
    for number, line in enumerate(lines):
        text = line.pattern or (line.place if line.glob else "")
        same = held.get(text)
        if same is not None and lines[same[-1]].value == line.value:
            reasons[same[-1]] = REPEATED
            same.append(number)
            continue
        for earlier in held.pop(text, ()):
            reasons[earlier] = EXCLUDED if line.value is None else _lost_to(lines, earlier, number)
        held[text] = [number]
    return [same[-1] for same in held.values()]


def _lost_to(lines: Sequence[Assignment], number: int, other: int) -> str:
    if number > other:
        return KEPT_PLACE
    return LATER_LINE if lines[number].file == lines[other].file else LATER_FILE


class _Blocks:
    """Which globs give way to lines that name the key itself."""

    def __init__(self, lines: Sequence[Assignment], reader: str) -> None:
        self._reader = reader
        explicit = [line for line in lines if not line.glob]
        self._excluding = {octets(line.pattern): line.value is None for line in explicit if line.value is None}
        self._excluding.update({octets(line.pattern): False for line in explicit if line.value is not None})
        self._path = next((_key_path(line.pattern, reader) for line in explicit), None)

    def reason(self, glob: Assignment) -> str:
        """Why the glob passes the key over; empty where it does not.

        What counts is the text: a glob that arrives at the key in another spelling than any line's is not held off.
        """
        if not self._excluding:
            return ""
        known = [self._excluding[text] for text in self._spellings(glob) if text in self._excluding]
        if len(known) < len(self._spellings(glob)):
            return ""
        return EXCLUDED if known and all(known) else EXPLICIT

    def _spellings(self, glob: Assignment) -> List[str]:
        return _glob(glob.pattern, self._reader).spellings(self._path) if glob.pattern and self._path else []
