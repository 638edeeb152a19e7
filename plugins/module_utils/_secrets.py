# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps secret values (the fast open keys) out of everything that is compared, returned, logged or shown.

On a host, a secret is replaced by a token as soon as it is read, and a token by its secret at the moment of writing.
Between the two, the model, the plan and the results see tokens alone, which still compare as the secrets would.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from typing import Mapping, Optional

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import host_error
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_model import Tunnel
from ansible_collections.netfleet.tcp.plugins.module_utils._values import SECRET_KEYS, key_name, same_value

# Four words or more; a UUID, whose last word is longer, is none.
_LIKE_A_KEY = re.compile(r"(?<![0-9a-fA-F])[0-9a-fA-F]{1,8}(?:-[0-9a-fA-F]{1,8}){3,}(?!-?[0-9a-fA-F])")
_TOKEN = re.compile(r"<secret (?P<key>[a-z0-9_.]+)(?P<which>| from before)>")
_KEY_TOKEN = re.compile(r"<key [0-9a-f]{8}>")
# Names in these may look like a secret of fast open: ip-10-0-1-23.
_OF_WIREGUARD = ("/etc/wireguard/", "/etc/systemd/network/", "/etc/netfleet-tcp/", "/etc/systemd/system/wg-quick@")
# A key of WireGuard: 32 bytes in base64. Public ones look the same, so what stands before it decides.
_WIREGUARD_KEY = re.compile(r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{43}=(?![A-Za-z0-9+/=])")
# Of FRR's neighbors, areas and key chains.
_OF_FRR = re.compile(
    r"(?m)^(.*\b(?:password|secret|key-string|message-digest-key \d+ md5|authentication-key)(?: \d+)?) .+$"
)
_PUBLIC = re.compile(r"(?i)(public-?key\s*=|\bpeer)\s*\Z")


def token(name: str) -> str:
    """Stands for the value that the declaration gives to a secret key."""
    return "<secret %s>" % name


def token_before(name: str) -> str:
    """Stands for the value that a secret key had before the declaration."""
    return "<secret %s from before>" % name


def key_token(key: str) -> str:
    """Stands for a key of WireGuard. It is the same for the same key, on whichever host, and says no more of it."""
    return "<key %s>" % hashlib.sha256(key.strip().encode()).hexdigest()[:8]


def mask_keys(text: str) -> str:
    """A text with the keys of WireGuard in it masked, but for those that are said to be public."""

    def masked(match: "re.Match[str]") -> str:
        before = text[max(0, match.start() - 30) : match.start()]
        return match.group() if _PUBLIC.search(before) else key_token(match.group())

    return _WIREGUARD_KEY.sub(masked, text) if "=" in text else text


def without_secrets(tunnel: Optional[Tunnel]) -> Optional[Tunnel]:
    """A WireGuard interface as it may leave the host: without its private key, and tokens for preshared keys."""
    if tunnel is None:
        return None
    peers = (
        replace(peer, preshared_key=key_token(peer.preshared_key) if peer.preshared_key else "")
        for peer in tunnel.peers
    )
    return replace(tunnel, private_key="", peers=tuple(peers))


class Vault:
    """The secrets of one visit: wanted comes with the declaration, before from the baseline on the host."""

    def __init__(self, wanted: Optional[Mapping[str, str]] = None, before: Optional[Mapping[str, str]] = None) -> None:
        self._wanted = dict(wanted or {})
        self._before = {name: value for name, value in (before or {}).items() if name in SECRET_KEYS}

    def mask(self, name: str, value: Optional[str]) -> Optional[str]:
        """The value itself, or for a secret key the token that stands for it."""
        if not value:
            return value
        if name not in SECRET_KEYS:
            # A glob may give another key what was meant for a secret one.
            return _LIKE_A_KEY.sub("<another secret>", value) if "-" in value else value
        if same_value(name, value, self._wanted.get(name)):
            return token(name)
        if same_value(name, value, self._before.get(name)):
            return token_before(name)
        return "<another secret %s>" % name

    def mask_file(self, path: str, text: str) -> str:
        """A file's text without secrets: in one about WireGuard its keys, in others those of fast open too."""
        text = _OF_FRR.sub(r"\1 <secret>", text) if path.startswith("/etc/frr/") else mask_keys(text)
        return text if path.startswith(_OF_WIREGUARD) else self.mask_text(text)

    def mask_text(self, text: str) -> str:
        """A sysctl.d file's text with the value of each secret key masked."""
        if not any(name.rsplit(".", 1)[-1] in text for name in SECRET_KEYS) and not _LIKE_A_KEY.search(text):
            return text
        return "".join(self._mask_line(line) for line in text.splitlines(keepends=True))

    def _mask_line(self, line: str) -> str:
        left, equals, value = line.partition("=")
        # Commented out, it is the secret all the same.
        name = key_name(left.strip().lstrip("#;- \t"))
        if not equals or name not in SECRET_KEYS:
            # In a comment, or below a mistyped name, it is the secret all the same.
            return _LIKE_A_KEY.sub("<another secret>", line)
        ending = "\n" if line.endswith("\n") else ""
        return "%s= %s%s" % (left, self.mask(name, value.strip()), ending)

    def reveal(self, text: str) -> str:
        """The text with each token replaced by its secret. Only for the moment of writing."""
        return _KEY_TOKEN.sub(self._key, _TOKEN.sub(self._secret, text))

    def _key(self, match: "re.Match[str]") -> str:
        if match.group() not in self._wanted:
            raise host_error(match.group(), "did not come with this run", "give wireguard_links_secret")
        return self._wanted[match.group()]

    def _secret(self, match: "re.Match[str]") -> str:
        name = match.group("key")
        store = self._before if match.group("which") else self._wanted
        if name not in store:
            raise host_error(name, "its value did not come with this run", "give tcp_tuning_fast_open_key")
        return store[name]
