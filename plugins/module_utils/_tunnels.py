# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The WireGuard interfaces of a host: read with their secrets, changed, and made known without them.

Pure but for the System that is handed in.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Dict, Iterable, Mapping, Optional, Sequence

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import host_error
from ansible_collections.netfleet.tcp.plugins.module_utils._secrets import key_token
from ansible_collections.netfleet.tcp.plugins.module_utils._system import System
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_model import Tunnel
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_plan import tunnel_commands
from ansible_collections.netfleet.tcp.plugins.module_utils._wireguard import (
    ADDRESSES,
    DUMP,
    ROUTES,
    parse_dump,
    shown,
    with_links,
)

# Private keys, one file for each interface, whatever brings it up at boot. The directory may be entered by all: the
# files may not be read by all.
KEY_DIRECTORY = "/etc/netfleet-tcp"
_INSTALL = "install wireguard-tools"


def key_path(name: str) -> str:
    """Where the private key of an interface stands."""
    return "%s/%s.key" % (KEY_DIRECTORY, name)


def read_tunnels(system: System) -> Dict[str, Tunnel]:
    """All interfaces by name, with their secrets. HostError where they cannot be read."""
    tunnels = parse_dump(_output(system, DUMP), system.now())
    if not tunnels:
        return {}
    ipv4, ipv6 = (_output(system, command) for command in ROUTES)
    return with_links(tunnels, _output(system, ADDRESSES), (ipv4, ipv6))


def _output(system: System, argv: Sequence[str]) -> str:
    status, output, error = system.run(list(argv))
    if status != 0:
        # What it has printed by then may hold keys.
        raise host_error(" ".join(argv), error.strip() or "exit status %d" % status, _INSTALL)
    return output


def without_secrets(tunnel: Tunnel) -> Tunnel:
    """The interface as it may leave the host."""
    return shown(tunnel, key_token)


def kept_keys(system: System, names: Iterable[str]) -> Dict[str, str]:
    """The public key of the key file of each interface that has one. HostError where a file holds no key."""
    found = {}
    for name in names:
        private = system.read(key_path(name))
        if private is not None:
            found[name] = public_key(system, private, key_path(name))
    return found


def public_key(system: System, private: str, path: str) -> str:
    """The public key of a private one. path: where that stands, for errors."""
    status, output, _error = system.run(["wg", "pubkey"], private.strip() + "\n")
    if status != 0:
        raise host_error(path, "holds no private key of WireGuard", "restore it, or remove it to have another one made")
    return output.strip()


def make_key(system: System, name: str) -> str:
    """Make a private key where there is none; returns its public one. HostError where it cannot be written."""
    if system.read(key_path(name)) is None:
        private = _output(system, ("wg", "genkey"))
        try:
            system.write_file(key_path(name), private, 0o600)
        except OSError as error:
            text = "cannot be written: %s" % (error.strerror or error)
            raise host_error(key_path(name), text, "mend that, then run again") from error
    return kept_keys(system, [name])[name]


def with_secrets(system: System, tunnel: Tunnel, secrets: Mapping[str, str]) -> Tunnel:
    """The wanted interface with its secrets: the private key from its file, preshared keys by their tokens.

    HostError where one of them is not there, or the private key is another one than was planned with.
    """
    private = system.read(key_path(tunnel.name))
    if private is None:
        raise host_error(key_path(tunnel.name), "is not there", "run again: the key is made first")
    if public_key(system, private, key_path(tunnel.name)) != tunnel.public_key:
        raise host_error(key_path(tunnel.name), "holds another key than was planned with", "run again")
    peers = []
    for peer in tunnel.peers:
        token = peer.preshared_key
        if token and token not in secrets:
            raise host_error("%s peer %s" % (tunnel.name, peer.name), "its preshared key did not come with this run")
        peers.append(replace(peer, preshared_key=secrets.get(token, "")))
    return replace(tunnel, private_key=private.strip(), peers=tuple(peers))


def change_tunnel(system: System, name: str, want: Optional[Tunnel], settled: bool = False) -> None:
    """Make an interface what is wanted, by what it is now. HostError, naming the command, where the host refuses."""
    have = read_tunnels(system).get(name)
    for command in tunnel_commands(want, have, settled):
        status, _out, error = system.run(list(command.argv), command.stdin)
        if status != 0:
            raise host_error(" ".join(command.argv), error.strip() or "exit status %d" % status)
