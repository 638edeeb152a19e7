# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""kube-proxy's systemd unit. What systemd makes of the drop-in is to be seen on a VM."""

from __future__ import annotations

from typing import Any, Dict

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_flags import config_file, read_flags
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_unit import DROP_IN, command_of, drop_in

UNIT = "kube-proxy.service"
HEAD = """\
# /etc/systemd/system/kube-proxy.service
[Unit]
Description=Kubernetes Kube Proxy
ExecStart=/not/in/this/section

[Service]
"""
BY_FLAGS = (
    HEAD
    + """\
ExecStart=/usr/local/bin/kube-proxy \\
  --kubeconfig=/etc/kubernetes/proxy.conf \\
  # a comment in between
  --proxy-mode iptables \\
  --hostname-override="%H" \\
  --v=2
Restart=on-failure
"""
)


def _with(text: str, own: str) -> str:
    return "%s\n# %s\n%s" % (text, DROP_IN % UNIT, own)


def test_the_command_is_read_over_its_lines() -> None:
    assert command_of(BY_FLAGS, UNIT) == [
        "/usr/local/bin/kube-proxy",
        "--kubeconfig=/etc/kubernetes/proxy.conf",
        "--proxy-mode",
        "iptables",
        "--hostname-override=%H",
        "--v=2",
    ]


def test_a_drop_in_that_begins_anew_counts() -> None:
    theirs = "[Service]\nExecStart=\nExecStart=-/bin/kube-proxy --config /etc/kp.yaml\n"
    text = "%s# /etc/systemd/system/kube-proxy.service.d/a.conf\n%s" % (BY_FLAGS, theirs)
    assert config_file(command_of(text, UNIT)) == "/etc/kp.yaml"


def test_our_drop_in_changes_what_is_wanted_and_keeps_the_rest() -> None:
    want: Dict[str, Any] = {"mode": "ipvs", "ipvs.strictARP": True}
    own = drop_in(BY_FLAGS, UNIT, want)
    assert own.startswith("# Managed by netfleet.tcp")
    words = command_of(_with(BY_FLAGS, own), UNIT)
    assert words == [
        "/usr/local/bin/kube-proxy",
        "--kubeconfig=/etc/kubernetes/proxy.conf",
        "--hostname-override=%H",
        "--v=2",
        "--proxy-mode=ipvs",
        "--ipvs-strict-arp=true",
    ]
    assert read_flags(words, "x") == want
    assert drop_in(_with(BY_FLAGS, own), UNIT, want) == own


def test_where_the_unit_has_it_all_there_is_no_drop_in() -> None:
    assert drop_in(BY_FLAGS, UNIT, {"mode": "iptables"}) == ""
    own = drop_in(BY_FLAGS, UNIT, {"mode": "ipvs"})
    assert drop_in(_with(BY_FLAGS, own), UNIT, {"mode": "iptables"}) == ""


def test_words_with_spaces_keep_their_form() -> None:
    text = HEAD + "ExecStart=kube-proxy '--cluster-cidr=a b\"c' --proxy-mode=iptables\n"
    words = command_of(_with(text, drop_in(text, UNIT, {"mode": "nftables"})), UNIT)
    assert words == ["kube-proxy", '--cluster-cidr=a b"c', "--proxy-mode=nftables"]


@pytest.mark.parametrize(
    ("text", "want", "expected"),
    [
        ("", {}, "systemctl cat kube-proxy.service: has 0 commands in ExecStart"),
        (HEAD + "ExecStart=/bin/a\nExecStart=/bin/b\n", {}, "has 2 commands in ExecStart"),
        (HEAD + "ExecStart=kube-proxy 'x\n", {}, "ExecStart: has quotes without an end"),
        (HEAD + "ExecStart=/bin/sh -c kube-proxy\n", {}, "starts /bin/sh, not kube-proxy"),
        (HEAD + "ExecStart=kube-proxy $ARGS\n", {}, "has arguments that stand elsewhere: $ARGS"),
        (HEAD + "ExecStart=kube-proxy --config=/k\n", {}, "kube-proxy takes its settings from /k (change that file)"),
        (HEAD + "ExecStart=kube-proxy\n", {"nftables.syncPeriod": "30s"}, "kube-proxy has no flag for it"),
        (HEAD + "ExecStart=kube-proxy --proxy-mode=best\n", {}, "mode: 'best' is not one of"),
    ],
)
def test_what_prevents_it_is_said(text: str, want: Dict[str, Any], expected: str) -> None:
    with pytest.raises(InputError) as caught:
        drop_in(text, UNIT, want)
    assert expected in str(caught.value)
