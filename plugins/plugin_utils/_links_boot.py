# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the next boot would bring up of a WireGuard interface, by the files of the host. Pure; on the controller alone.

Reads what _tunnel_files writes, and what an editor may have made of it. What it does not know it leaves out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Dict, List, Optional, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._clamp import script_mtu
from ansible_collections.netfleet.tcp.plugins.module_utils._model import FileState, Observed
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_files import (
    KEY_PATH,
    NETWORKD,
    clamp_paths,
    networkd_paths,
    settings_path,
    wg_quick_paths,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_model import Tunnel, TunnelPeer, TunnelRoute
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnels import SETTINGS

_ADDED_RULE = re.compile(r"^ExecStartPost=.* rule add .*\bto (\S+)", re.MULTILINE)
# Stands for a key that nobody here knows.
_UNKNOWN = "another key"
# (title, entries): of an entry, a comment has the name #.
_Section = Tuple[str, List[Tuple[str, str]]]


def at_boot(name: str, backend: str, observed: Observed) -> Optional[Tunnel]:
    """The interface that the files of a backend bring up; None where they bring up none."""
    reader = _Reader(name, observed)
    return reader.networkd() if backend == NETWORKD else reader.wg_quick()


class _Reader:
    def __init__(self, name: str, observed: Observed) -> None:
        self._name = name
        self._files = observed.files
        self._key = observed.tunnel_key
        self._netdev, self._network = networkd_paths(name)
        self._conf, self._drop_in, self._link = wg_quick_paths(name)

    def _state(self, path: str) -> FileState:
        return self._files.get(path, FileState(path))

    def networkd(self) -> Optional[Tunnel]:
        netdev = self._state(self._netdev)
        if netdev.kind != "file" or not netdev.text.strip():
            return None
        found = list(_sections(netdev.text))
        own = _values(found, "NetDev", "WireGuard")
        network = list(_sections(self._state(self._network).text))
        mtu = _values(network, "Link").get("MTUBytes") or own.get("MTUBytes", "")
        return Tunnel(
            name=self._name,
            public_key=self._own_key(own.get("PrivateKeyFile", "")),
            port=_number(own.get("ListenPort", "")),
            mtu=_number(mtu),
            addresses=tuple(sorted(value for _title, key, value in _entries(network, "Network") if key == "Address")),
            peers=tuple(
                self._peer(entries, dict(entries).get("PresharedKeyFile", ""))
                for title, entries in found
                if title == "WireGuardPeer"
            ),
            routes=tuple(_networkd_route(dict(entries)) for title, entries in network if title == "Route"),
            clamp=self._clamp(),
            settings=self._settings(),
            rules=tuple(dict(entries).get("To", "") for title, entries in network if title == "RoutingPolicyRule"),
        )

    def wg_quick(self) -> Optional[Tunnel]:
        conf = self._state(self._conf)
        if conf.kind != "file" or not conf.text.strip() or self._state(self._link).kind != "symlink":
            return None
        found = list(_sections(conf.text))
        own = _values(found, "Interface")
        commands = [value.split() for _title, key, value in _entries(found, "Interface") if key == "PostUp"]
        private = [words[4] for words in commands if words[:2] == ["wg", "set"] and words[3:4] == ["private-key"]]
        shared = {
            words[4]: words[6] for words in commands if words[3:4] == ["peer"] and words[5:6] == ["preshared-key"]
        }
        addresses = [value for _title, key, value in _entries(found, "Interface") if key == "Address"]
        return Tunnel(
            name=self._name,
            public_key=self._own_key(private[-1] if private else ""),
            port=_number(own.get("ListenPort", "")),
            mtu=_number(own.get("MTU", "")),
            addresses=tuple(sorted(_words(",".join(addresses)))),
            peers=tuple(
                self._peer(entries, shared.get(dict(entries).get("PublicKey", ""), ""))
                for title, entries in found
                if title == "Peer"
            ),
            routes=tuple(_route(words[3:]) for words in commands if words[:3] == ["ip", "route", "replace"]),
            clamp=self._clamp(),
            settings=self._settings(),
            rules=tuple(_ADDED_RULE.findall(self._state(self._drop_in).text)),
        )

    def _clamp(self) -> int:
        rules, unit, link, _again = clamp_paths(self._name)
        text = self._state(rules).text
        if self._state(unit).kind != "file" or self._state(link).kind != "symlink" or not text:
            return 0
        return script_mtu(self._name, text)

    def _settings(self) -> Tuple[str, ...]:
        """What no file says is zero."""
        found = dict.fromkeys(SETTINGS, "0")
        for line in self._state(settings_path(self._name)).text.splitlines():
            key, _equals, value = line.partition("=")
            found[key.strip().rpartition("/")[2]] = value.strip()
        return tuple("%s=%s" % (name, found[name]) for name in SETTINGS)

    def _own_key(self, path: str) -> str:
        return self._key if path == KEY_PATH else _UNKNOWN

    def _peer(self, entries: List[Tuple[str, str]], shared: str) -> TunnelPeer:
        known = dict(entries)
        allowed = [value for key, value in entries if key == "AllowedIPs"]
        return TunnelPeer(
            public_key=known.get("PublicKey", ""),
            name=known.get("#", ""),
            endpoint=known.get("Endpoint", ""),
            allowed=tuple(sorted(_words(",".join(allowed)))),
            keepalive=_number(known.get("PersistentKeepalive", "")),
            preshared_key=(self._state(shared).text.strip() or _UNKNOWN) if shared else "",
        )


def _sections(text: str) -> Iterator[_Section]:
    current: Optional[_Section] = None
    for line in text.splitlines():
        entry = line.strip()
        if entry.startswith("[") and entry.endswith("]"):
            if current:
                yield current
            current = (entry[1:-1], [])
        elif current and entry.startswith("#"):
            current[1].append(("#", entry[1:].strip()))
        elif current and "=" in entry:
            key, _equals, value = entry.partition("=")
            current[1].append((key.strip(), value.strip()))
    if current:
        yield current


def _entries(sections: List[_Section], *titles: str) -> Iterator[Tuple[str, str, str]]:
    for title, entries in sections:
        if title in titles:
            for key, value in entries:
                yield title, key, value


def _values(sections: List[_Section], *titles: str) -> Dict[str, str]:
    """The last value of each name in these sections."""
    return {key: value for _title, key, value in _entries(sections, *titles)}


def _words(text: str) -> List[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0


def _networkd_route(entries: Mapping[str, str]) -> TunnelRoute:
    return TunnelRoute(
        prefix=entries.get("Destination", ""),
        metric=_number(entries.get("Metric", "")),
        congestion_control=entries.get("TCPCongestionControlAlgorithm", ""),
        initcwnd=_number(entries.get("InitialCongestionWindow", "")),
        initrwnd=_number(entries.get("InitialAdvertisedReceiveWindow", "")),
    )


def _route(words: List[str]) -> TunnelRoute:
    """The route of what follows `ip route replace`: a prefix, then names and values."""
    options = dict(zip(words[1::2], words[2::2], strict=False))
    return TunnelRoute(
        prefix=words[0] if words else "",
        metric=_number(options.get("metric", "")),
        congestion_control=options.get("congctl", ""),
        initcwnd=_number(options.get("initcwnd", "")),
        initrwnd=_number(options.get("initrwnd", "")),
    )
