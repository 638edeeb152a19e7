# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The flags of node_exporter, as Debian's package takes them from ARGS in /etc/default: read, and two of them set.

All other flags stay as they are, word by word, and so does the rest of the file. Pure. Sources: systemd.exec(5) on
EnvironmentFile=, which reads a file as a shell would but expands nothing; the init script of the package sources it.
"""

from __future__ import annotations

import re
from typing import Dict, Iterator, List, Optional, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import host_error

DEFAULTS = "/etc/default/prometheus-node-exporter"
UNIT = "prometheus-node-exporter.service"
# What Debian has built in; upstream has none.
DIRECTORY = "/var/lib/prometheus/node-exporter"
DIRECTORY_FLAG, FIELDS_FLAG = "--collector.textfile.directory", "--collector.netstat.fields"
# Collectors that are on unless they are switched off.
COLLECTORS = ("netstat", "textfile")
_DISABLE_DEFAULTS = "--collector.disable-defaults"
# What node_exporter takes where nothing is said; of version 1.8, which has a few more than earlier ones.
_USUAL = (
    r"^(.*_(InErrors|InErrs)|Ip_Forwarding|Ip(6|Ext)_(InOctets|OutOctets)|Icmp6?_(InMsgs|OutMsgs)"
    r"|TcpExt_(Listen.*|Syncookies.*|TCPSynRetrans|TCPTimeouts|TCPOFOQueue|TCPRcvQDrop)"
    r"|Tcp_(ActiveOpens|InSegs|OutSegs|OutRsts|PassiveOpens|RetransSegs|CurrEstab)"
    r"|Udp6?_(InDatagrams|OutDatagrams|NoPorts|RcvbufErrors|SndbufErrors))$"
)
# What the four indicators and the alerts are made of, whether it is among the usual ones or not.
COUNTERS: Dict[str, Tuple[str, ...]] = {
    "Tcp": ("ActiveOpens", "AttemptFails", "EstabResets", "OutSegs", "PassiveOpens", "RetransSegs"),
    "TcpExt": (
        "EmbryonicRsts",
        "ListenDrops",
        "ListenOverflows",
        "SyncookiesRecv",
        "TCPDSACKRecv",
        "TCPFastOpenActive",
        "TCPFastOpenActiveFail",
        "TCPFastOpenBlackhole",
        "TCPFastOpenCookieReqd",
        "TCPFastOpenListenOverflow",
        "TCPFastOpenPassive",
        "TCPFastOpenPassiveFail",
        "TCPOrigDataSent",
        "TCPReqQFullDoCookies",
        "TCPReqQFullDrop",
        "TCPSynRetrans",
        "TCPTimeWaitOverflow",
        "TCPTimeouts",
        "TW",
    ),
}
OURS = "|".join("^%s_(%s)$" % (protocol, "|".join(names)) for protocol, names in COUNTERS.items())
# A value of ARGS: quoted in one way, or in the other, or not at all; what continues on the next line, too.
_ASSIGNMENT = re.compile(
    r"""^[ \t]*(?:export[ \t]+)?ARGS=((?:"(?:\\.|[^"\\])*"|'[^']*'|\\.|[^\s"'\\])*)[ \t]*$""", re.MULTILINE | re.DOTALL
)
_BEGINS = re.compile(r"^[ \t]*(?:export[ \t]+)?ARGS=", re.MULTILINE)
_CURE = 'write it as ARGS="--flag ..." on one line'
_ESCAPED = re.compile(r'([\\"$`])')


def words_of(text: str) -> List[str]:
    """The flags in the text of DEFAULTS. HostError where it cannot be understood."""
    found = _assignment(text)
    words = [] if found is None else _decoded(found.group(1)).split()
    if any(word.endswith("\\") for word in words):
        raise host_error(DEFAULTS, "ARGS cannot be understood", _CURE)
    return words


def directories_of(words: List[str]) -> List[str]:
    """The directories for text files that are named: newer versions take several. HostError for one without value.

    Without a slash at the end, which is none of a directory's name.
    """
    return [value.rstrip("/") or value for name, value in _pairs(words) if name == DIRECTORY_FLAG]


def wanted_words(words: List[str], directory: str) -> List[str]:
    """The words with what is needed, for the words from before us. HostError where that is switched off there."""
    off = [name for name in COLLECTORS if "--no-collector." + name in words]
    if off:
        flag = "--no-collector." + off[0]
        raise host_error(DEFAULTS, "%s takes the collector away that is needed" % flag, "take that flag out")
    named = directories_of(words)
    if named and directory not in named:
        problem = "%s is %s, not %s, and what is in there would be missing" % (DIRECTORY_FLAG, named[0], directory)
        raise host_error(DEFAULTS, problem, "leave tcp_monitoring_directory empty, or change that flag")
    changed = _with(words, FIELDS_FLAG, with_ours(_fields_of(words)))
    if not named:
        changed = _with(changed, DIRECTORY_FLAG, directory)
    missing = ["--collector." + name for name in COLLECTORS if "--collector." + name not in words]
    return changed + (missing if _DISABLE_DEFAULTS in words else [])


def with_ours(fields: Optional[str]) -> str:
    """A pattern of counters, and ours too, once. None: the one that node_exporter has by itself."""
    if fields is not None and "|%s|" % OURS in "|%s|" % fields:
        return fields
    return "%s|%s" % (_USUAL if fields is None else fields, OURS)


def missing_flags(words: List[str], directory: str) -> List[str]:
    """Which flags that are needed are not among these words, as those of a process are."""
    fields = _fields_of(words)
    missing = [] if fields is not None and with_ours(fields) == fields else [FIELDS_FLAG]
    return missing + ([] if directory in directories_of(words) else [DIRECTORY_FLAG])


def words_before(words: List[str], before: List[str], wrote: List[str]) -> List[str]:
    """The words without what we added. before, wrote: those from before us, and those that we left.

    What somebody has changed since is theirs, and stays as it is.
    """
    if _fields_of(words) == _fields_of(wrote):
        words = _with(words, FIELDS_FLAG, _fields_of(before))
    if not directories_of(before) and directories_of(words) == directories_of(wrote):
        words = _with(words, DIRECTORY_FLAG, None)
    switched_on = ["--collector." + name for name in COLLECTORS if "--collector." + name not in before]
    return [word for word in words if not (word in switched_on and word in wrote)]


def without_ours(words: List[str]) -> List[str]:
    """The words without our counters, where nobody remembers what stood there before."""
    fields = _fields_of(words)
    if fields is None or not fields.endswith("|" + OURS):
        return words
    base = fields[: -len("|" + OURS)]
    return _with(words, FIELDS_FLAG, None if base == _USUAL else base)


def _fields_of(words: List[str]) -> Optional[str]:
    return dict(_pairs(words)).get(FIELDS_FLAG)


def with_words(text: str, words: List[str]) -> str:
    """The text of DEFAULTS with these flags; the same text where it has them, in whichever order."""
    if sorted(words) == sorted(words_of(text)):
        return text
    line = 'ARGS="%s"' % _ESCAPED.sub(r"\\\1", " ".join(words))
    found = _assignment(text)
    if found is None:
        return "%s%s%s\n" % (text, "" if not text or text.endswith("\n") else "\n", line)
    return text[: found.start()] + line + text[found.end() :]


def _assignment(text: str) -> "Optional[re.Match[str]]":
    """The last one decides."""
    begins = [match.start() for match in _BEGINS.finditer(text)]
    found = list(_ASSIGNMENT.finditer(text))
    last = found[-1] if found else None
    if begins and (last is None or last.start() != begins[-1]):
        raise host_error(DEFAULTS, "ARGS cannot be understood", _CURE)
    return last


def _decoded(value: str) -> str:
    parts = []
    for part in re.findall(r"""\\.|"(?:\\.|[^"\\])*"|'[^']*'|[^"'\\]+""", value, re.DOTALL):
        if part[0] == "'":
            parts.append(part[1:-1])
        elif part[0] == '"':
            # Elsewhere in double quotes a backslash stands for itself.
            parts.append(re.sub(r'\\([\\"$`\n])', lambda match: match[1].strip("\n"), part[1:-1]))
        else:
            parts.append(part[1:].strip("\n") if part[0] == "\\" else part)
    return "".join(parts)


def _pairs(words: List[str]) -> Iterator[Tuple[str, str]]:
    rest = list(words)
    while rest:
        name, equals, value = rest.pop(0).partition("=")
        if name in (DIRECTORY_FLAG, FIELDS_FLAG):
            if not equals and not rest:
                raise host_error(DEFAULTS, "%s has no value" % name, "give it one, or take it out")
            yield name, value if equals else rest.pop(0)


def _with(words: List[str], flag: str, value: Optional[str]) -> List[str]:
    """The words with one such flag, in the place of the first; without it for None."""
    rest, found = list(words), []
    wanted = [] if value is None else ["%s=%s" % (flag, value)]
    while rest:
        word = rest.pop(0)
        name, equals, _value = word.partition("=")
        if name != flag:
            found.append(word)
            continue
        if not equals and rest:
            rest.pop(0)
        found += wanted
        wanted = []
    return found + wanted
