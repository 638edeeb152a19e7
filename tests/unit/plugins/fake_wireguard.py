# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Does to a Tunnel what wg and ip would do to an interface, as their manuals and the kernel's sources say."""

from __future__ import annotations

import base64
import errno
import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import replace

from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_model import Tunnel, TunnelPeer, TunnelRoute
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_plan import Command

# Of an interface that is new.
SETTINGS = ("disable_policy=0", "disable_xfrm=0", "rp_filter=0")


def public_of(private: str) -> str:
    """Stands for the mathematics."""
    return base64.b64encode(hashlib.sha256(private.encode()).digest()).decode()


def run(tunnel: Tunnel | None, commands: Iterable[Command]) -> Tunnel | None:
    """The interface after the commands."""
    for command in commands:
        argv = list(command.argv)
        if argv[0] == "nft":
            if tunnel is not None:
                tunnel = replace(tunnel, clamp=clamped_for(command.stdin))
        elif argv[1:3] == ["-4", "rule"]:
            assert tunnel is not None
            tunnel = replace(tunnel, rules=changed_rules(tunnel.rules, argv))
        elif argv[0] != "udevadm":
            tunnel = _one(tunnel, argv, command.stdin)
    return tunnel


def change(tunnels: dict[str, Tunnel], argv: list[str], stdin: str) -> None:
    """What one command does to the interfaces of a host."""
    if argv[0] == "sysctl":
        name = argv[3].split("/")[3]
    else:
        name = argv[2] if argv[0] == "wg" else argv[argv.index("dev") + 1]
    if argv[3:4] == ["listen-port"] and any(tunnel.port == int(argv[4]) != 0 for tunnel in tunnels.values()):
        raise OSError(errno.EADDRINUSE, "Unable to modify interface: Address already in use")
    after = _one(tunnels.get(name), argv, stdin)
    if after is None:
        del tunnels[name]
    else:
        tunnels[name] = after


def dump(tunnels: Iterable[Tunnel], now: float) -> str:
    """What ``wg show all dump`` prints."""
    lines = []
    for tunnel in tunnels:
        private, public = tunnel.private_key or "(none)", tunnel.public_key or "(none)"
        lines.append([tunnel.name, private, public, str(tunnel.port), "off"])
        for peer in tunnel.peers:
            handshake = "0" if peer.handshake < 0 else "%d" % (now - peer.handshake)
            lines.append(
                [
                    tunnel.name,
                    peer.public_key,
                    peer.preshared_key or "(none)",
                    peer.endpoint or "(none)",
                    ",".join(peer.allowed) or "(none)",
                    handshake,
                    str(peer.received),
                    str(peer.sent),
                    str(peer.keepalive or "off"),
                ]
            )
    return "".join("\t".join(line) + "\n" for line in lines)


def addresses(tunnels: Iterable[Tunnel]) -> str:
    """What ``ip -j address show`` prints."""
    return json.dumps(
        [
            {
                "ifname": tunnel.name,
                "flags": ["POINTOPOINT", "NOARP", *(["UP", "LOWER_UP"] if tunnel.up else [])],
                "mtu": tunnel.mtu,
                "addr_info": [
                    {"local": address.split("/")[0], "prefixlen": int(address.split("/")[1]), "scope": "global"}
                    for address in tunnel.addresses
                ],
            }
            for tunnel in tunnels
        ]
    )


def routes(tunnels: Iterable[Tunnel], ipv6: bool) -> str:
    """What ``ip -j -4 route show``, or the same with -6, prints."""
    found = []
    for tunnel in tunnels:
        for route in tunnel.routes:
            if (":" in route.prefix) != ipv6:
                continue
            entry: dict[str, object] = {
                "dst": route.prefix,
                "dev": tunnel.name,
                "protocol": "201",
                "scope": "link",
                "flags": [],
            }
            metric = route.metric or (1024 if ipv6 else 0)
            if metric:
                entry["metric"] = metric
            metrics = {
                "congestion": route.congestion_control,
                "initcwnd": route.initcwnd,
                "initrwnd": route.initrwnd,
            }
            shown = {name: value for name, value in metrics.items() if value}
            found.append({**entry, "metrics": [shown]} if shown else entry)
    return json.dumps(found)


def changed_rules(rules: tuple[str, ...], argv: list[str]) -> tuple[str, ...]:
    """The prefixes that have a rule, after `ip -4 rule add` or `del`."""
    assert argv[4:7] == ["pref", "201", "to"]
    protocol = ["protocol", "static"] if argv[3] == "add" else []
    assert argv[8:] == ["lookup", "main", "suppress_prefixlength", "0", *protocol]
    prefix = argv[7]
    if (argv[3] == "add") == (prefix in rules):
        raise FileExistsError(errno.EEXIST, "RTNETLINK answers: File exists" if argv[3] == "add" else "No such file")
    return tuple(sorted({*rules, prefix} if argv[3] == "add" else {*rules} - {prefix}))


def rules_shown(rules: Iterable[str]) -> str:
    """What ``ip -j -4 rule show`` prints."""
    own = []
    for prefix in rules:
        address, _slash, length = prefix.partition("/")
        entry: dict[str, object] = {"priority": 201, "src": "all", "dst": address, "dstlen": int(length)}
        if length == "32":
            del entry["dstlen"]
        own.append({**entry, "table": "main", "suppress_prefixlen": 0})
    ends = [{"priority": number, "src": "all", "table": table} for number, table in ((0, "local"), (32766, "main"))]
    return json.dumps([ends[0], *own, ends[1]])


def clamped_for(script: str) -> int:
    """The MTU that a script of nft clamps for; 0 where it only takes the table away."""
    found = re.search(r"nfproto ipv4 .* set (\d+)$", script, re.MULTILINE)
    return int(found.group(1)) + 40 if found else 0


def ruleset(scripts: Iterable[str]) -> str:
    """What ``nft -j -t list ruleset inet`` prints, as version 1.0.6 does, where such scripts were read."""
    shown: list[dict[str, object]] = [{"metainfo": {"version": "1.0.6", "json_schema_version": 1}}]
    for script in scripts:
        table = script.split()[2]
        place = {"family": "inet", "table": table}
        shown.append({"table": {"family": "inet", "name": table, "handle": 1}})
        for line in script.splitlines():
            words = line.split()
            if words[:1] == ["chain"]:
                chain = words[1]
                hook = {"type": "filter", "hook": chain, "prio": -150, "policy": "accept"}
                shown.append({"chain": {**place, "name": chain, "handle": 2, **hook}})
            elif "maxseg" in words:
                expressions = _expressions(words[0], words[1].strip('"'), words[4], int(words[-1]))
                shown.append({"rule": {**place, "chain": chain, "handle": 3, "expr": expressions}})
    return json.dumps({"nftables": shown})


def _expressions(direction: str, interface: str, family: str, size: int) -> list[dict[str, object]]:
    flags = {"op": "in", "left": {"payload": {"protocol": "tcp", "field": "flags"}}, "right": "syn"}
    return [
        {"match": {"op": "==", "left": {"meta": {"key": direction}}, "right": interface}},
        {"match": {"op": "==", "left": {"meta": {"key": "nfproto"}}, "right": family}},
        {"match": flags},
        {"mangle": {"key": {"tcp option": {"name": "maxseg", "field": "size"}}, "value": size}},
    ]


def _one(tunnel: Tunnel | None, argv: list[str], stdin: str) -> Tunnel | None:
    if argv[:3] == ["ip", "link", "add"]:
        assert tunnel is None
        assert argv[5:] == ["type", "wireguard"]
        return Tunnel(argv[4], mtu=1420, up=False, settings=SETTINGS)
    assert tunnel is not None, "there is no such interface"
    if argv[0] == "sysctl":
        return _sysctl(tunnel, argv[3])
    assert tunnel.name in argv
    if argv[:3] == ["ip", "link", "del"]:
        return None
    if argv[0] == "wg":
        return _wg(tunnel, argv[3], argv[4:], stdin.rstrip("\n"))
    if argv[1] == "link":
        return _link(tunnel, argv[5:])
    if argv[1] == "address":
        return _address(tunnel, argv[2], argv[3])
    assert argv[:2] == ["ip", "route"], argv
    return _route(tunnel, argv[2], argv[3], _pairs(argv[6:]))


def _sysctl(tunnel: Tunnel, assignment: str) -> Tunnel:
    assert assignment.startswith("net/ipv4/conf/%s/" % tunnel.name)
    name, value = assignment.rsplit("/", 1)[1].split("=")
    if name == "promote_secondaries":
        # Beside the interface: see _link_commands.
        return tunnel
    settings = dict(setting.split("=") for setting in tunnel.settings)
    settings[name] = value
    return replace(tunnel, settings=tuple(sorted("%s=%s" % pair for pair in settings.items())))


def _pairs(words: list[str]) -> dict[str, str]:
    assert len(words) % 2 == 0, words
    return dict(zip(words[::2], words[1::2]))


def _wg(tunnel: Tunnel, what: str, words: list[str], secret: str) -> Tunnel:
    if what == "listen-port":
        return replace(tunnel, port=int(words[0]))
    if what == "private-key":
        assert words == ["/dev/stdin" if secret else "/dev/null"]
        if not secret:
            return replace(tunnel, private_key="", public_key="")
        return replace(tunnel, private_key=secret, public_key=public_of(secret))
    assert what == "peer", what
    if "peer" in words:
        # Several in one command.
        second = words.index("peer")
        return _wg(_wg(tunnel, what, words[:second], secret), what, words[second + 1 :], secret)
    if words[1:] == ["remove"]:
        return replace(tunnel, peers=tuple(peer for peer in tunnel.peers if peer.public_key != words[0]))
    return _peer(tunnel, words[0], words[1:], secret)


def _address(tunnel: Tunnel, verb: str, address: str) -> Tunnel:
    if verb == "replace":
        return replace(tunnel, addresses=tuple(sorted({*tunnel.addresses, address})))
    assert verb == "del"
    assert address in tunnel.addresses
    return replace(tunnel, addresses=tuple(each for each in tunnel.addresses if each != address))


def _peer(tunnel: Tunnel, key: str, options: list[str], secret: str) -> Tunnel:
    given = _pairs(options)
    peer = tunnel.by_key.get(key, TunnelPeer(key))
    if "preshared-key" in given:
        peer = replace(peer, preshared_key=secret if given.pop("preshared-key") == "/dev/stdin" else "")
    if "endpoint" in given:
        peer = replace(peer, endpoint=given.pop("endpoint"))
    if "persistent-keepalive" in given:
        seconds = given.pop("persistent-keepalive")
        peer = replace(peer, keepalive=0 if seconds == "off" else int(seconds))
    others = dict(tunnel.by_key)
    if "allowed-ips" in given:
        allowed = tuple(sorted(prefix for prefix in given.pop("allowed-ips").split(",") if prefix))
        peer = replace(peer, allowed=allowed)
        # The kernel takes a prefix from whoever had it.
        others = {
            name: replace(other, allowed=tuple(prefix for prefix in other.allowed if prefix not in allowed))
            for name, other in others.items()
        }
    assert not given
    return replace(tunnel, peers=tuple({**others, key: peer}.values()))


def _link(tunnel: Tunnel, options: list[str]) -> Tunnel:
    if "mtu" in options:
        tunnel = replace(tunnel, mtu=int(options[options.index("mtu") + 1]))
    if "down" in options:
        return replace(tunnel, up=False, routes=())
    return replace(tunnel, up=True) if "up" in options else tunnel


def _route(tunnel: Tunnel, verb: str, prefix: str, options: dict[str, str]) -> Tunnel:
    assert tunnel.up, "the kernel takes no route into a link that is down"
    assert options.pop("proto") == "201"
    metric = int(options.pop("metric", 0))
    others = [route for route in tunnel.routes if (route.prefix, route.metric) != (prefix, metric)]
    if verb == "del":
        assert len(others) < len(tunnel.routes)
        assert not options
        return replace(tunnel, routes=tuple(others))
    route = TunnelRoute(
        prefix,
        metric,
        options.pop("congctl", ""),
        int(options.pop("initcwnd", 0)),
        int(options.pop("initrwnd", 0)),
    )
    assert not options
    return replace(tunnel, routes=(*others, route))
