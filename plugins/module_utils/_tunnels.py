# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The WireGuard interfaces of a host: read with their secrets, changed, and made known without them.

Pure but for the System that is handed in.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Collection, Dict, Iterable, Mapping, Optional, Sequence, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._clamp import LIST, NFT_PATHS, parse_clamps
from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError, host_error
from ansible_collections.netfleet.tcp.plugins.module_utils._model import FileState
from ansible_collections.netfleet.tcp.plugins.module_utils._programs import must_run
from ansible_collections.netfleet.tcp.plugins.module_utils._secrets import key_token
from ansible_collections.netfleet.tcp.plugins.module_utils._system import System
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_files import (
    KEY_DIRECTORY,
    KEY_PATH,
    NETWORKD_GROUP,
    NEXT_KEY_PATH,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_model import Tunnel
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_plan import Command, tunnel_commands
from ansible_collections.netfleet.tcp.plugins.module_utils._wireguard import (
    ADDRESSES,
    DUMP,
    ROUTES,
    RULES,
    parse_dump,
    routed_elsewhere,
    with_links,
    with_rules,
)

# Where there is such a file, systemd-networkd runs.
NETWORKD_RUNS = "/run/systemd/netif/state"
# Below net/ipv4/conf/<interface>: what is looked at of each.
SETTINGS = ("disable_policy", "disable_xfrm", "rp_filter")
_LOCK_SECONDS = 30.0
_GENERATE = ("wg", "genkey")
_INSTALL = "install wireguard-tools"
_NO_NFT = "nft is not installed"


def read_peers(system: System) -> Dict[str, Tunnel]:
    """All interfaces as WireGuard itself knows them, which is all that changes by itself. HostError as read_tunnels."""
    return parse_dump(_output(system, DUMP), system.now())


def read_tunnels(system: System) -> Dict[str, Tunnel]:
    """All interfaces by name, with their secrets. HostError where they cannot be read."""
    tunnels = read_peers(system)
    return _whole(system, tunnels, _routes(system))[0] if tunnels else {}


@dataclass(frozen=True)
class Links:
    """All interfaces of a host, and what is in the way of more: routes of others (see routed_elsewhere).

    clamp_limit: why nothing can be clamped here; empty where it can.
    """

    tunnels: Dict[str, Tunnel]
    elsewhere: Dict[str, str]
    clamp_limit: str


def read_links(system: System) -> Links:
    """The same, and what a plan has to know beside them."""
    tunnels, routes = read_peers(system), _routes(system)
    whole, limit = _whole(system, tunnels, routes)
    return Links(whole, routed_elsewhere(tunnels, routes), limit)


def _whole(system: System, tunnels: Dict[str, Tunnel], routes: Tuple[str, str]) -> Tuple[Dict[str, Tunnel], str]:
    """The interfaces with all that is theirs, and why they could not be clamped."""
    installed = any(system.file_state(path).kind != "absent" for path in NFT_PATHS)
    if not tunnels:
        return {}, "" if installed else _NO_NFT
    clamps, limit = _clamps(system) if installed else ({}, _NO_NFT)
    found = with_links(tunnels, _output(system, ADDRESSES), routes)
    found = {
        name: replace(tunnel, clamp=clamps.get(name, 0), settings=_settings(system, name))
        for name, tunnel in found.items()
    }
    return with_rules(found, _output(system, RULES)), limit


def _clamps(system: System) -> Tuple[Dict[str, int], str]:
    """As parse_clamps, and why nft cannot say: that is no fault of a host on which nothing is to be clamped."""
    status, output, error = system.run(LIST)
    if status != 0:
        return {}, error.strip() or "nft: exit status %d" % status
    try:
        return parse_clamps(output), ""
    except HostError as wrong:
        return {}, str(wrong)


def _settings(system: System, interface: str) -> Tuple[str, ...]:
    values = ((name, system.read("/proc/sys/net/ipv4/conf/%s/%s" % (interface, name))) for name in SETTINGS)
    return tuple("%s=%s" % (name, value.strip()) for name, value in values if value is not None)


def _routes(system: System) -> Tuple[str, str]:
    ipv4, ipv6 = (_output(system, command) for command in ROUTES)
    return ipv4, ipv6


def _output(system: System, argv: Sequence[str]) -> str:
    return must_run(system, argv, cure=_INSTALL)


def own_key(system: System) -> str:
    """The public key of the host's key file; empty where it has none. HostError where the file holds no key."""
    private = system.read(KEY_PATH)
    return "" if private is None else public_key(system, private)


def public_key(system: System, private: str, path: str = KEY_PATH) -> str:
    """The public key of the private one in the host's key file."""
    status, output, _error = system.run(["wg", "pubkey"], private.strip() + "\n")
    if status != 0:
        cure = "restore it, or remove it to have another one made"
        raise host_error(path, "holds no private key of WireGuard", cure)
    return output.strip()


def key_is_right(system: System) -> bool:
    """Whether the host has a private key of its own, closed to all but those who have to read it."""
    mode, group = _closed_to(system)
    state = system.file_state(KEY_PATH)
    return (state.kind, state.mode, state.uid, state.gid) == ("file", mode, 0, group)


def _closed_to(system: System) -> Tuple[int, int]:
    """The mode and the group of the key: systemd-networkd drops its rights before it reads one."""
    group = group_id(system, NETWORKD_GROUP) if system.file_state(NETWORKD_RUNS).kind != "absent" else 0
    return (0o640, group) if group else (0o600, 0)


def keep_key(system: System) -> str:
    """The public key of the host, whose private one is made where there is none. HostError where it cannot be."""
    _must_be_root(system)
    if not key_is_right(system):
        with system.lock(_LOCK_SECONDS):
            _write_key(system, KEY_PATH, system.read(KEY_PATH) or _output(system, _GENERATE))
    return own_key(system)


def make_next_key(system: System) -> str:
    """The public key of a new private one, which is to follow the host's. HostError where it cannot be made."""
    _must_be_root(system)
    private = _output(system, _GENERATE)
    with system.lock(_LOCK_SECONDS):
        _write_key(system, NEXT_KEY_PATH, private)
    return public_key(system, private, NEXT_KEY_PATH)


def _must_be_root(system: System) -> None:
    if not system.facts()["root"]:
        raise host_error("", "the key of a host is root's", "use become")


def _write_key(system: System, path: str, private: str) -> None:
    mode, group = _closed_to(system)
    try:
        system.make_open_directory(KEY_DIRECTORY)
        system.write_file(path, private, mode, (0, group))
    except OSError as error:
        text = "cannot be written: %s" % (error.strerror or error)
        raise host_error(path, text, "mend that, then run again") from error


def group_id(system: System, name: str) -> int:
    """The number of a group; 0, which is root's, where the host has no such group."""
    for line in (system.read("/etc/group") or "").splitlines():
        fields = line.split(":")
        if fields[0] == name and len(fields) > 2 and fields[2].isdigit():
            return int(fields[2])
    return 0


def private_key(system: System, planned: Collection[str]) -> Tuple[str, str]:
    """The host's private key, and where it stands. planned: the public ones that its interfaces were planned with.

    HostError where there is none, or it is another one than was planned with.
    """
    if system.read(KEY_PATH) is None:
        raise host_error(KEY_PATH, "is not there", "run again: the key is made first")
    for path in (KEY_PATH, NEXT_KEY_PATH):
        private = system.read(path)
        if private is not None and set(planned) == {public_key(system, private, path)}:
            return private.strip(), path
    raise host_error(KEY_PATH, "holds another key than was planned with", "run again")


def next_key_files(system: System) -> Dict[str, FileState]:
    """The host's key files as they are to be once the next key is the one: as before, but for the key."""
    following = system.file_state(NEXT_KEY_PATH)
    return {KEY_PATH: replace(following, path=KEY_PATH), NEXT_KEY_PATH: FileState(NEXT_KEY_PATH)}


def with_secrets(tunnel: Tunnel, private: str, secrets: Mapping[str, str], have: Optional[Tunnel]) -> Tunnel:
    """The wanted interface with its secrets: the host's private key, and preshared keys by their tokens.

    have: the running one, whose peers may stay as they are. HostError where a preshared key is not there.
    """
    peers = []
    known = {key_token(peer.preshared_key): peer.preshared_key for peer in (have.peers if have else ())}
    known.update(secrets)
    for peer in tunnel.peers:
        token = peer.preshared_key
        if token and token not in known:
            raise host_error("%s peer %s" % (tunnel.name, peer.name), "its preshared key did not come with this run")
        peers.append(replace(peer, preshared_key=known[token] if token else ""))
    return replace(tunnel, private_key=private, peers=tuple(peers))


def change_tunnel(system: System, name: str, want: Optional[Tunnel], settled: bool = False) -> None:
    """Make an interface what is wanted, by what it is now. HostError, naming the command, where the host refuses."""
    tunnels = read_tunnels(system)
    have = tunnels.pop(name, None)
    if want is None and have is not None:
        # What another one carries too is its rule as well.
        others = {prefix for tunnel in tunnels.values() for prefix in tunnel.carried}
        have = replace(have, rules=tuple(prefix for prefix in have.rules if prefix not in others))
    run_commands(system, tunnel_commands(want, have, settled))


def free_ports(system: System, targets: Mapping[str, Optional[Tunnel]]) -> None:
    """Let interfaces go of ports that another one of these is to have: two may swap theirs. HostError as above."""
    there = read_peers(system) if len(targets) > 1 else {}
    wanted = {tunnel.port: name for name, tunnel in targets.items() if tunnel}
    for name, tunnel in targets.items():
        port = there[name].port if name in there else 0
        if tunnel and port != tunnel.port and wanted.get(port, name) != name:
            run_commands(system, [Command(("wg", "set", name, "listen-port", "0"))])


def run_commands(system: System, commands: Iterable[Command]) -> None:
    """Run them in order, up to the first that the host refuses: HostError, which names it."""
    for command in commands:
        status, _out, error = system.run(list(command.argv), command.stdin)
        if status != 0 and (command.tolerated is None or command.tolerated not in error):
            told = command.refused(error.strip()) or "exit status %d" % status
            raise host_error(" ".join(command.argv), told)
