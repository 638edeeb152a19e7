# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError
from ansible_collections.netfleet.tcp.plugins.module_utils._secrets import Vault, token, token_before

KEY = "net.ipv4.tcp_fastopen_key"
WANTED = "11111111-22222222-33333333-4444abcd"
BEFORE = "55555555-66666666-77777777-8888abcd"
FOREIGN = "99999999-99999999-99999999-9999abcd"
VAULT = Vault({KEY: WANTED}, {KEY: BEFORE, "net.ipv4.tcp_sack": "1"})


@pytest.mark.parametrize(
    ("name", "value", "masked"),
    [
        (KEY, WANTED, token(KEY)),
        (KEY, WANTED.upper(), token(KEY)),
        (KEY, BEFORE, token_before(KEY)),
        (KEY, FOREIGN, "<another secret %s>" % KEY),
        (KEY, "", ""),
        (KEY, None, None),
        ("net.ipv4.tcp_sack", "1", "1"),
    ],
)
def test_masks(name: str, value: str | None, masked: str | None) -> None:
    assert VAULT.mask(name, value) == masked


def test_where_both_are_the_same_it_is_the_wanted_one() -> None:
    assert Vault({KEY: WANTED}, {KEY: WANTED}).mask(KEY, WANTED) == token(KEY)


@pytest.mark.parametrize(
    "line",
    [
        "net.ipv4.tcp_fastopen_key = %s",
        "net.ipv4.tcp_fastopen_key=%s",
        "net/ipv4/tcp_fastopen_key = %s",
        "-net.ipv4.tcp_fastopen_key = %s",
        "  - net.ipv4.tcp_fastopen_key  =  %s  ",
        "#net.ipv4.tcp_fastopen_key = %s",
        "# net.ipv4.tcp_fastopen_key = %s",
        ";; net/ipv4/tcp_fastopen_key=%s",
        "net.ipv4.tcp_fastopen_key = %s\r",
        "net.ipv6.tcp_fastopen_key = %s",
    ],
)
@pytest.mark.parametrize("secret", [WANTED, BEFORE, FOREIGN, FOREIGN.upper(), WANTED + "," + BEFORE])
def test_no_spelling_of_a_line_shows_it(line: str, secret: str) -> None:
    text = "a = 1\n%s\nb = 2" % (line % secret)
    masked = VAULT.mask_text(text)
    for word in secret.lower().replace(",", "-").split("-"):
        assert word not in masked.lower()
    assert masked.startswith("a = 1\n")
    assert masked.endswith("\nb = 2")
    assert "secret" in masked


def test_a_masked_text_can_be_revealed() -> None:
    text = "# head\n%s = %s\nnet.ipv4.tcp_sack = 1\n" % (KEY, WANTED)
    masked = VAULT.mask_text(text)
    assert masked == "# head\n%s = %s\nnet.ipv4.tcp_sack = 1\n" % (KEY, token(KEY))
    assert VAULT.reveal(masked) == text
    assert VAULT.reveal(token_before(KEY)) == BEFORE


@given(st.text(max_size=60).filter(lambda text: text.count("-") < 3))
@example("2026-11-25")
@example("8080,9000-9010,9100-9110")
@example("disk 9f3a0b1c-2d4e-5f60-7182-93a4b5c6d7e8")
def test_text_without_secrets_stays_as_it_is(text: str) -> None:
    assert VAULT.mask_text(text) == text
    assert VAULT.mask_text("tcp_fastopen_key\n" + text) == "tcp_fastopen_key\n" + text


@pytest.mark.parametrize("text", [token(KEY), token_before(KEY), "x = <secret some.key>"])
def test_a_secret_that_nobody_gave_is_asked_for(text: str) -> None:
    with pytest.raises(HostError, match=r"its value did not come with this run \(give tcp_tuning_fast_open_key\)"):
        Vault().reveal(text)


@pytest.mark.parametrize(
    ("line", "masked"),
    [
        (" neighbor 10.0.0.1 password hunter2", " neighbor 10.0.0.1 password <secret>"),
        ("password 8 WuN0UOEsh./0U", "password 8 <secret>"),
        ("  key-string hunter2", "  key-string <secret>"),
        (" ip ospf message-digest-key 1 md5 hunter2", " ip ospf message-digest-key 1 md5 <secret>"),
        (" neighbor 10.0.0.1 bfd", " neighbor 10.0.0.1 bfd"),
    ],
)
def test_what_frr_keeps_secret_stays_so(line: str, masked: str) -> None:
    assert VAULT.mask_file("/etc/frr/frr.conf", "hostname gw\n%s\nline vty\n" % line) == (
        "hostname gw\n%s\nline vty\n" % masked
    )
