# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a mode of kube-proxy needs of its node, now and after a boot: the files of ours that bring it. Pure."""

from __future__ import annotations

import fnmatch
import re
from typing import Dict, Iterable, List, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._desired import MANAGED
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_model import ProxyChange
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_modes import IPVS
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_table import IPVS_INTERFACE

MODULES_FILE = "/etc/modules-load.d/netfleet-tcp-kube-proxy.conf"
SYSCTL_FILE = "/etc/sysctl.d/91-netfleet-tcp-kube-proxy.conf"
UNMANAGED_FILE = "/etc/NetworkManager/conf.d/netfleet-tcp-kube-proxy.conf"
OWN_FILES = (MODULES_FILE, SYSCTL_FILE, UNMANAGED_FILE)
# Where NetworkManager's configuration stands, in the order in which it is read.
NETWORK_MANAGER_FILES = (
    "/usr/lib/NetworkManager/conf.d/",
    "/run/NetworkManager/conf.d/",
    "/etc/NetworkManager/NetworkManager.conf",
    "/etc/NetworkManager/conf.d/",
)
_UNMANAGED = """\
%s
# kube-proxy gives this interface its addresses, and nobody else may.
[device-netfleet-tcp-kube-proxy]
match-device=interface-name:%s
managed=0
"""
_OFF = ("0", "false", "no", "off")
_SPECS = re.compile(r"[;,]")


def own_files(change: ProxyChange) -> Dict[str, str]:
    """The texts of OWN_FILES by their paths; empty where there is to be none.

    In the mode ipvs, an interface that is left alone already is so by our file, for all that is known: that stays.
    """
    modules = "".join("%s\n" % name for name in change.modules)
    sysctls = "".join("%s = %s\n" % (key, change.sysctls[key]) for key in sorted(change.sysctls))
    found = {
        MODULES_FILE: "%s\n%s" % (MANAGED, modules) if modules else "",
        SYSCTL_FILE: "%s\n%s" % (MANAGED, sysctls) if sysctls else "",
    }
    if change.unmanaged or change.mode != IPVS:
        found[UNMANAGED_FILE] = _UNMANAGED % (MANAGED, IPVS_INTERFACE) if change.unmanaged else ""
    return found


def left_alone(texts: Iterable[str], interface: str = IPVS_INTERFACE, kind: str = "dummy") -> bool:
    """Whether NetworkManager's configuration (its files in their order) has it leave an interface of a kind alone.

    Sources: NetworkManager.conf(5), sections keyfile and device, and its device list format.
    """
    listed: List[str] = []
    sections: Dict[str, Dict[str, str]] = {}
    for text in texts:
        for section, key, value in _assignments(text):
            if section == "keyfile" and key == "unmanaged-devices":
                listed = [value]
            elif section == "keyfile" and key == "unmanaged-devices+":
                listed.append(value)
            elif section.startswith("device"):
                sections.setdefault(section, {})[key] = value
    if _matches(";".join(listed), interface, kind):
        return True
    # A section without match-device is for all.
    said = [each for each in sections.values() if _matches(each.get("match-device", "*"), interface, kind)]
    return any(each.get("managed", "").lower() in _OFF for each in said)


def _assignments(text: str) -> Iterable[Tuple[str, str, str]]:
    section = ""
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("[") and stripped.endswith("]"):
            section = stripped[1:-1]
        elif "=" in stripped and not stripped.startswith("#"):
            key, _equals, value = stripped.partition("=")
            yield section, key.strip(), value.strip()


def _matches(specs: str, interface: str, kind: str) -> bool:
    found = False
    for each in _SPECS.split(specs):
        spec = each.strip()
        if spec.startswith("except:"):
            if _matches_one(spec[len("except:") :], interface, kind):
                return False
        else:
            found = found or _matches_one(spec, interface, kind)
    return found


def _matches_one(spec: str, interface: str, kind: str) -> bool:
    name, colon, value = spec.partition(":")
    if not colon:
        return spec in ("*", interface)
    if name == "interface-name":
        return value == "=" + interface or fnmatch.fnmatchcase(interface, value)
    return name in ("type", "driver") and value == kind
