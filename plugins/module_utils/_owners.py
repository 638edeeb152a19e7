# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who else sets keys on a host: services that do it while they run, and authors of files of sysctl.d.

Pure but for the System that is handed in. Sources: tuned's plugin_sysctl.py and profiles/loader.py (2.20), the README
of bpftune, kube-proxy's server options (conntrack).
"""

from __future__ import annotations

import fnmatch
import re
from typing import Dict, Iterator, List, Mapping, Optional, Sequence, Set, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._model import (
    ANOTHER_DECLARATION,
    TUNED,
    Assignment,
    Owner,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._system import System
from ansible_collections.netfleet.tcp.plugins.module_utils._values import key_name

# A link of this name stands here while systemd runs the unit.
_ACTIVE_UNIT = "/run/systemd/units/invocation:%s.service"
_TUNED_ENABLED = "/etc/systemd/system/multi-user.target.wants/tuned.service"
_TUNED_DIRECTORIES = ("/etc/tuned/profiles", "/etc/tuned", "/usr/lib/tuned/profiles", "/usr/lib/tuned")
# Options of a section that make it depend on the host, or switch it off.
_CONDITIONS = ("enabled", "uname_regex", "cpuinfo_regex")
_TRUE = ("1", "y", "yes", "t", "true")
_PROFILE_NAME = re.compile(r"[\w.-]+\Z")
# What a service sets beyond any file: service -> (units, name of its process, keys).
_SERVICES: Tuple[Tuple[str, Tuple[str, ...], Tuple[str, ...]], ...] = (
    (
        "bpftune",
        ("bpftune",),
        (
            "net.ipv4.tcp_rmem",
            "net.ipv4.tcp_wmem",
            "net.ipv4.tcp_max_orphans",
            "net.core.netdev_max_backlog",
            "net.ipv4.neigh.default.gc_thresh*",
        ),
    ),
    (
        "kube-proxy",
        ("kube-proxy", "k3s", "k3s-agent", "rke2-server", "rke2-agent", "snap.microk8s.daemon-kubelite"),
        (
            "net.netfilter.nf_conntrack_max",
            "net.netfilter.nf_conntrack_tcp_timeout_established",
            "net.netfilter.nf_conntrack_tcp_timeout_close_wait",
        ),
    ),
)
# In the first lines of a file.
_SIGNATURES: Tuple[Tuple[str, str], ...] = (
    ("managed by netfleet.tcp", ANOTHER_DECLARATION),
    ("ansible managed", "another Ansible role"),
    ("managed by ansible", "another Ansible role"),
    ("puppet", "Puppet"),
    ("managed by chef", "Chef"),
    ("managed by salt", "Salt"),
    ("cloud-init", "cloud-init"),
    ("kubespray", "Kubespray"),
    ("dev-sec", "dev-sec hardening"),
)
_NAMES: Tuple[Tuple[str, str], ...] = (
    ("*cloudimg*", "the cloud image"),
    ("*cloud-init*", "cloud-init"),
    ("*-gce-*", "Google's guest environment"),
    ("*kube*", "Kubernetes"),
    ("k8s.conf", "Kubernetes"),
    ("*tuned*", TUNED),
    ("*hardening*", "a hardening role"),
)
_HEAD = 2000
_PACKAGE_LISTS = "/var/lib/dpkg/info"


def owners(system: System, keys: Sequence[str]) -> Tuple[Owner, ...]:
    """The active services that set some of the keys."""
    found: List[Owner] = []
    tuned = _tuned(system, keys)
    if tuned:
        found.append(tuned)
    processes: Optional[Tuple[str, ...]] = None
    for name, units, patterns in _SERVICES:
        own = [key for key in keys if any(fnmatch.fnmatchcase(key, pattern) for pattern in patterns)]
        if not own:
            continue
        active = any(_is_active(system, unit) for unit in units)
        if not active:
            # In a pod it is no unit of the host's.
            processes = tuple(_processes(system)) if processes is None else processes
            active = name in processes
        if active:
            found.append(Owner(name, {key: Assignment("", 0, None, "") for key in own}))
    return tuple(found)


def _is_active(system: System, unit: str) -> bool:
    return system.file_state(_ACTIVE_UNIT % unit).kind != "absent"


def _processes(system: System) -> Iterator[str]:
    for entry in system.names("/proc"):
        if entry.isdigit():
            yield (system.read("/proc/%s/comm" % entry) or "").strip()


def _tuned(system: System, keys: Sequence[str]) -> Optional[Owner]:
    enabled = system.file_state(_TUNED_ENABLED).kind != "absent"
    if not enabled and not _is_active(system, TUNED):
        return None
    profiles = (system.read("/etc/tuned/active_profile") or "").split()
    sets: Dict[str, Assignment] = {}
    read: Set[str] = set()
    for profile in profiles:
        sets.update(_profile_sets(system, profile, read))
    lines = [_without_comment(line) for line in (system.read("/etc/tuned/tuned-main.conf") or "").splitlines()]
    settings = {name.strip(): value.strip() for name, _equals, value in (line.partition("=") for line in lines)}
    reapplies = settings.get("reapply_sysctl", "1").lower() in _TRUE
    if not sets:
        # Without a [sysctl] section it touches no key, and applies no file again.
        return None
    wanted = {key: sets[key] for key in keys if key in sets}
    return Owner("%s (profile %s)" % (TUNED, " ".join(profiles)), wanted, reapplies)


def _profile_sets(system: System, profile: str, read: Set[str]) -> Dict[str, Assignment]:
    """What a profile and those that it includes set; a profile wins over what it includes.

    read: the files that have been read. None is read twice, so that a profile of /etc may include the one of its own
    name in /usr, and circles end.
    """
    if not _PROFILE_NAME.match(profile):
        return {}
    for path in ["%s/%s/tuned.conf" % (directory, profile) for directory in _TUNED_DIRECTORIES]:
        text = system.read(path) if path not in read else None
        if text is not None:
            read.add(path)
            included, own = parse_profile(path, text)
            sets: Dict[str, Assignment] = {}
            for name in included:
                sets.update(_profile_sets(system, name, read))
            sets.update(own)
            return sets
    return {}


def parse_profile(path: str, text: str) -> Tuple[Tuple[str, ...], Dict[str, Assignment]]:
    """From a tuned profile: the profiles that it includes, and what it gives keys.

    A value that depends on the host (a bound such as >2048, a variable) is None. A section with conditions of its own
    is passed over.
    """
    included: Tuple[str, ...] = ()
    sets: Dict[str, Assignment] = {}
    section, conditional = "", False
    for number, raw in enumerate(text.splitlines(), start=1):
        line = _without_comment(raw).strip()
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1].strip()
        elif line and line[0] not in "#;":
            name, equals, value = line.partition("=")
            name, value = name.strip(), value.strip().strip("\"'")
            if section == "main" and name == "include":
                included = tuple(re.split(r"[\s,;]+", value))
            elif section == "sysctl" and name in _CONDITIONS:
                conditional = conditional or (name, value) not in (("enabled", "true"), ("enabled", "1"))
            elif section == "sysctl" and equals and ("." in name or "/" in name):
                depends = value[:1] in "<>" or "${" in value
                sets[key_name(name)] = Assignment(path, number, None if depends else value, "")
    return included, {} if conditional else sets


def _without_comment(line: str) -> str:
    return re.split(r"(?:^|\s)#", line, maxsplit=1)[0]


def authors(system: System, texts: Mapping[str, str], targets: Mapping[str, str]) -> Dict[str, str]:
    """Who wrote each file, as far as its first lines, its name or the package manager tell.

    texts: by path. targets: what the links among them stand for.
    """
    found: Dict[str, str] = {}
    for path, text in texts.items():
        head = text[:_HEAD].lower()
        name = (targets.get(path) or path).rsplit("/", 1)[-1]
        said = [author for mark, author in _SIGNATURES if re.search(r"\b%s\b" % re.escape(mark), head)]
        named = [author for pattern, author in _NAMES if fnmatch.fnmatchcase(name, pattern)]
        if said or named:
            found[path] = (said + named)[0]
    # What stands in /etc is the administrator's by now, whichever package brought it once.
    unknown = [path for path in texts if path not in found and not path.startswith("/etc/")]
    found.update(_packages(system, unknown) if unknown else {})
    return found


def _packages(system: System, paths: Sequence[str]) -> Dict[str, str]:
    """The packages that brought files. Debian's are looked up in their lists; elsewhere rpm is asked."""
    found: Dict[str, str] = {}
    lists = [name for name in system.names(_PACKAGE_LISTS) if name.endswith(".list")]
    for name in lists:
        text = system.read("%s/%s" % (_PACKAGE_LISTS, name)) or ""
        for path in paths:
            # Before /usr was merged, packages listed /lib.
            spellings = (path, path[len("/usr") :] if path.startswith("/usr/lib/") else path)
            if any("\n%s\n" % spelling in text for spelling in spellings):
                found[path] = "package %s" % name[: -len(".list")].partition(":")[0]
    if not lists and system.file_state("/usr/bin/rpm").kind != "absent":
        for path in paths:
            status, output, _error = system.run(["rpm", "-qf", "--queryformat", "%{NAME}\\n", path])
            if status == 0 and output.strip():
                found[path] = "package %s" % output.split()[0]
    return found
