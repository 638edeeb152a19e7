# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._desired import (
    MANAGED,
    ROLE_DECLARATION,
    build,
    declaration_name,
    hidden_paths,
    is_ours,
    managed_paths,
    render_sysctl_file,
    watched_paths,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._model import (
    Desired,
    DesiredKey,
    DesiredQdisc,
    FileState,
    Interface,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._plan import desired_state
from ansible_collections.netfleet.tcp.plugins.module_utils._secrets import token
from ansible_collections.netfleet.tcp.plugins.module_utils._sysctl_d import parse

FILE = "90-x.conf"
PATH, SECRETS, MODULES, UNIT, LINK = managed_paths(FILE)
KEY = "net.ipv4.tcp_fastopen_key"
KEYS = (DesiredKey("net.ipv4.tcp_sack", "1", "why"), DesiredKey("net.core.somaxconn", "8192"))
NICS = (
    Interface("eth0", True, True, 1500, 2, "mq", "8001:", ("fq", "fq")),
    Interface("eth1", True, True, 1500, 1, "fq", "8002:"),
)
QDISCS = (DesiredQdisc("eth0", "fq"), DesiredQdisc("eth1", "fq"))


def test_where_the_files_of_a_declaration_stand() -> None:
    assert managed_paths(FILE) == (
        "/etc/sysctl.d/90-x.conf",
        "/etc/sysctl.d/90-x-secret.conf",
        "/etc/modules-load.d/90-x.conf",
        "/etc/systemd/system/90-x-qdisc.service",
        "/etc/systemd/system/multi-user.target.wants/90-x-qdisc.service",
    )
    assert declaration_name("90.a.conf") == "90.a"


def test_a_file_says_who_manages_it_and_why() -> None:
    assert render_sysctl_file(KEYS) == (MANAGED + "\n\n# why\nnet.ipv4.tcp_sack = 1\n\nnet.core.somaxconn = 8192\n")


def test_what_is_rendered_is_what_will_boot() -> None:
    found = {name: entry.value for name, entry in parse(PATH, render_sysctl_file(KEYS))}
    assert found == {key.name: key.value for key in KEYS}


def test_everything_that_outlasts_a_boot() -> None:
    keys = (*KEYS, DesiredKey(KEY, token(KEY)))
    text = render_sysctl_file(KEYS)
    desired = build(FILE, text, keys, ("sch_fq", "tcp_bbr"), QDISCS, NICS, "bbr", "warn")
    files = {entry.path: entry for entry in desired.files}
    assert set(files) == set(managed_paths(FILE))
    assert (files[PATH].text, files[PATH].mode) == (text, 0o644)
    assert (files[SECRETS].text, files[SECRETS].mode) == (MANAGED + "\n%s = %s\n" % (KEY, token(KEY)), 0o600)
    assert files[MODULES].text == MANAGED + "\nsch_fq\ntcp_bbr\n"
    lines = [line for line in files[UNIT].text.splitlines() if line.startswith("Exec")]
    assert lines == [
        "ExecStart=-/sbin/tc qdisc replace dev eth0 root handle 1: mq",
        "ExecStart=-/sbin/tc qdisc replace dev eth0 parent 1:1 fq",
        "ExecStart=-/sbin/tc qdisc replace dev eth0 parent 1:2 fq",
        "ExecStart=-/sbin/tc qdisc replace dev eth1 root fq",
    ]
    assert files[LINK].target == "../90-x-qdisc.service"
    assert all(entry.reason for entry in desired.files)
    assert (desired.name, desired.congestion_control, desired.boot_conflict) == ("90-x", "bbr", "warn")


@pytest.mark.parametrize(
    ("more", "paths"),
    [
        ({"keys": KEYS}, {PATH}),
        ({"keys": (DesiredKey(KEY, token(KEY)),)}, {SECRETS}),
        ({"keys": KEYS, "modules": ("tcp_bbr",)}, {PATH, MODULES}),
        ({"keys": KEYS, "qdiscs": QDISCS, "interfaces": NICS}, {PATH, UNIT, LINK}),
        # Without systemd there is no unit to write.
        ({"keys": KEYS, "qdiscs": QDISCS, "interfaces": NICS, "systemd": False}, {PATH}),
        ({"keys": ()}, set()),
    ],
)
def test_only_the_files_that_are_needed(more: dict[str, object], paths: set[str]) -> None:
    desired = build(FILE, "text", **more)  # type: ignore[arg-type]
    assert {entry.path for entry in desired.files} == paths


def test_nothing_is_desired_of_a_declaration_that_is_taken_back() -> None:
    assert build(FILE, render_sysctl_file(()), ()) == Desired("90-x", watched=watched_paths(FILE))


def test_a_declaration_may_have_another_name_than_its_file() -> None:
    assert build(FILE, "", (), name=ROLE_DECLARATION).name == ROLE_DECLARATION
    assert build("other.conf", "", (), name=ROLE_DECLARATION).name == ROLE_DECLARATION


def test_files_that_ours_would_hide_are_watched() -> None:
    assert "/usr/lib/sysctl.d/90-x.conf" in watched_paths(FILE)
    assert "/run/sysctl.d/90-x.conf" in watched_paths(FILE)
    assert not set(hidden_paths(FILE)) & set(managed_paths(FILE))


def test_what_is_ours_is_known_again() -> None:
    desired = build(FILE, render_sysctl_file(KEYS), (*KEYS, DesiredKey(KEY, "1-2-3-4")), ("m",), QDISCS, NICS)
    assert all(is_ours(desired_state(entry)) for entry in desired.files)


@pytest.mark.parametrize(
    "state",
    [
        FileState(PATH),
        FileState(PATH, "file", 0o644, "net.ipv4.tcp_sack = 1\n"),
        FileState(PATH, "file", 0o644, "# x\n" + MANAGED),
        FileState(PATH, "symlink", target="/dev/null"),
        FileState(LINK, "symlink", target="/lib/systemd/system/90-x-qdisc.service"),
        FileState(PATH, "other"),
    ],
)
def test_what_is_not_ours(state: FileState) -> None:
    assert not is_ours(state)
