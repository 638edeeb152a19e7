# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys that the trees set, and the ways in which a file can write them. Text is bytes as latin-1."""

from __future__ import annotations

from functools import cache

from tests.precedence.agent import INTERFACES

# Each holds any number from 1 to 127, for its network namespace alone, whatever is written to the others.
_PER_INTERFACE = [f"net/ipv4/conf/{name}/tag" for name in ("all", "lo", *INTERFACES)]
KEYS = tuple(
    key.encode().decode("latin-1")
    for key in (
        "net/ipv4/ip_default_ttl",
        "net/ipv4/tcp_fin_timeout",
        "net/ipv4/tcp_retries2",
        *_PER_INTERFACE,
        "net/ipv4/neigh/v.1/app_solicit",
        "net/unix/max_dgram_qlen",
    )
)
_SWAP = str.maketrans("./", "/.")


@cache
def spellings(key: str) -> tuple[str, ...]:
    """Ways to write a key: some that one of the programs does not take, too."""
    dotted = key.translate(_SWAP)
    first, rest = key.split("/", 1)
    return (
        dotted,
        key,
        "/" + key,
        "//" + key,
        "." + dotted,
        key.replace("/", "//"),
        dotted.replace(".", ".."),
        f"{first}//{rest}",
        f"{first}/./{rest}",
        f"./{key}",
        f"{first}./.{rest.translate(_SWAP)}",
        key + "/",
        dotted + ".",
        key + "/.",
        f"{first}/core/../{rest}",
        f"{first}/../{key}",
        f"/../{key}",
        f"{first}/../../sys/{key}",
        key.replace("/", "."),
        dotted.replace("/", "."),
        f"-{dotted}",
    )


@cache
def globs(key: str) -> tuple[str, ...]:
    """Patterns, most of which match the key."""
    parts = key.split("/")
    last = parts[-1]
    made = [_with(parts, at, pattern) for at in range(len(parts) - 1, 0, -1) for pattern in _patterns(parts[at])]
    some = [glob for glob in made if glob.count("/") == len(parts) - 1]
    more = [f"{parts[0]}/*/" + "/".join([*parts[2:-1], last[:2] + "*"])]
    more += [glob.replace("/", "//", 1) for glob in some[:3]] + ["/" + some[0], some[0] + "/", some[0] + "/."]
    more += ["/".join([*parts[:-1], "..", parts[-2], last[:-1] + "?"]), "*/" * (len(parts) - 1) + "*"]
    return (*(glob.translate(_SWAP) for glob in some[:6]), *made, *more, *(glob.translate(_SWAP) for glob in more))


def _with(parts: list[str], at: int, pattern: str) -> str:
    return "/".join([*parts[:at], pattern, *parts[at + 1 :]])


def _patterns(name: str) -> list[str]:
    """Patterns of one component, of which those with a brace count for systemd alone."""
    head, tail = name[0], name[1:]
    return [
        "*",
        head + "*",
        name[:-1] + "?",
        "?" + tail,
        f"[{head}]{tail}",
        f"[!{head}]{tail}",
        f"[^x]{tail}",
        f"[a-z]{tail}",
        f"[[:alpha:]]{tail}",
        f"[[:nosuch:]]{tail}",
        f"[]{head}]{tail}",
        f"\\{name}*",
        f"[\\{head}]{tail}",
        f"{{{name},x}}*",
        f"{{x,{head}}}{tail[:-1]}?",
        f"{{{name}}}[",
        f"[{name}",
        "**",
        "*" + name[-1],
        "".join("?" for _ in name),
    ]
