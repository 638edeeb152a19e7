# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._desired import MANAGED, managed_paths, render_sysctl_file
from ansible_collections.netfleet.tcp.plugins.module_utils._model import (
    Assignment,
    Baseline,
    Change,
    Desired,
    DesiredFile,
    DesiredKey,
    DesiredQdisc,
    FileState,
    Finding,
    Interface,
    KeyState,
    ModuleState,
    Observed,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._plan import (
    BEFORE,
    describe_file,
    file_targets,
    make_plan,
    same_file,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._sysctl_d import parse

FIN = "net.ipv4.tcp_fin_timeout"
RMEM = "net.ipv4.tcp_rmem"
PATH, SECRETS_PATH, MODULES_PATH, UNIT_PATH, LINK_PATH = managed_paths("90-netfleet-tcp.conf")
TEXT = MANAGED + "\n"
NIC = Interface("eth0", True, True, 1500, 1, "fq_codel")
MQ = Interface("eth1", True, True, 1500, 2, "mq", "0:", ("fq_codel", "fq_codel"))


def wanted(values: dict[str, str], **more: Any) -> Desired:
    """A declaration of these keys whose file is in place (see host) unless more says otherwise."""
    keys = tuple(DesiredKey(name, value, "because", "new sockets") for name, value in values.items())
    files = (DesiredFile(PATH, 0o644, render_sysctl_file(keys), reason="sets the keys at boot"),) if keys else ()
    return replace(Desired("90-netfleet-tcp", keys, files), **more)


def lines_of(files: dict[str, str], name: str) -> tuple[Assignment, ...]:
    """What the files, in the order given, assign to a key."""
    parsed = [entry for path, text in files.items() for entry in parse(path, text)]
    return tuple(entry for found, entry in parsed if found in (name, "net.ipv4.*"))


def host(desired: Desired, running: dict[str, Any], boot: dict[str, str] | None = None, **more: Any) -> Observed:
    """A host with the desired files in place, these running values, and these other files that count at boot."""
    texts = {**{entry.path: entry.text for entry in desired.files if entry.path == PATH}, **(boot or {})}
    keys = {name: KeyState(name, value, boot=lines_of(texts, name)) for name, value in running.items()}
    files = {entry.path: FileState(entry.path, "file", entry.mode, entry.text) for entry in desired.files}
    values = {"keys": keys, "files": files, "modules": {}, **more}
    return Observed("6.1", 1, True, True, "systemd-sysctl", False, **values)


def changes(desired: Desired, observed: Observed) -> list[tuple[str, str, str, str | None]]:
    plan = make_plan(desired, observed)
    return [(change.subject, change.key, change.want, change.running) for change in plan.changes]


def findings(desired: Desired, observed: Observed) -> list[Finding]:
    return list(make_plan(desired, observed).findings)


# Keys


@pytest.mark.parametrize(
    ("name", "value", "running"),
    [
        (FIN, "30", "30"),
        (RMEM, "4096 131072 6291456", "4096\t131072\t6291456"),
        ("net.ipv4.tcp_fastopen", "0x403", "1027"),
        ("net.ipv4.ip_local_reserved_ports", "9000-9010,8080", "8080,9000-9010"),
    ],
)
def test_what_is_as_desired_is_no_change(name: str, value: str, running: str) -> None:
    desired = wanted({name: value})
    plan = make_plan(desired, host(desired, {name: running}))
    assert (plan.changes, plan.findings) == ((), ())


def test_a_key_that_differs() -> None:
    desired = wanted({FIN: "30"})
    observed = host(desired, {FIN: "60"}, {"/etc/sysctl.d/95-x.conf": "\n%s = 30\n" % FIN})
    assert make_plan(desired, observed).changes == (
        Change("sysctl", FIN, "30", "60", "30", "/etc/sysctl.d/95-x.conf:2", "because", "new sockets"),
    )


def test_keys_change_in_the_order_of_the_declaration() -> None:
    desired = wanted({RMEM: "4096 4096 4096", FIN: "30"})
    found = changes(desired, host(desired, {FIN: "60", RMEM: "1 2 3"}))
    assert [key for _subject, key, _want, _running in found] == [RMEM, FIN]


def test_what_is_no_longer_declared_is_given_back() -> None:
    desired = wanted({FIN: "30"})
    baseline = Baseline(keys={FIN: "60", RMEM: "1 2 3"})
    observed = host(desired, {FIN: "30", RMEM: "4 5 6"}, baseline=baseline)
    assert make_plan(desired, observed).changes == (Change("sysctl", RMEM, "1 2 3", "4 5 6", reason=BEFORE),)


def test_what_has_its_value_from_before_already_is_left() -> None:
    baseline = Baseline(keys={RMEM: "1 2 3"})
    assert changes(wanted({}), host(wanted({}), {RMEM: "1\t2\t3"}, baseline=baseline)) == []


def test_a_key_that_is_gone_with_its_module_is_not_given_back() -> None:
    baseline = Baseline(keys={"net.netfilter.nf_conntrack_max": "65536"})
    observed = host(wanted({}), {"net.netfilter.nf_conntrack_max": None}, baseline=baseline)
    assert changes(wanted({}), observed) == []


def test_a_limit_is_an_error_only_where_something_would_have_to_change() -> None:
    desired = wanted({FIN: "30"})
    same, other = (host(desired, {FIN: running}) for running in ("30", "60"))
    limited = {FIN: replace(other.keys[FIN], limit="the key is read-only here")}
    assert [(found.key, found.severity, found.reason) for found in findings(desired, replace(other, keys=limited))] == [
        (FIN, "error", "the key is read-only here")
    ]
    limited = {FIN: replace(same.keys[FIN], limit="the key is read-only here")}
    assert findings(desired, replace(same, keys=limited)) == []


# The next boot


@pytest.mark.parametrize(
    ("files", "place"),
    [
        ({"/etc/sysctl.d/99-x.conf": FIN + " = 15"}, "/etc/sysctl.d/99-x.conf:1"),
        ({"/usr/lib/sysctl.d/99-x.conf": "# c\n\nnet/ipv4/tcp_fin_timeout=15"}, "/usr/lib/sysctl.d/99-x.conf:3"),
        (
            {"/usr/lib/sysctl.d/91-a.conf": FIN + "=15", "/lib/sysctl.d/99-b.conf": FIN + "=16"},
            "/lib/sysctl.d/99-b.conf:1",
        ),
        ({"/etc/sysctl.d/99-x.conf": FIN + "=15\n" + FIN + "=16"}, "/etc/sysctl.d/99-x.conf:2"),
        ({"/etc/sysctl.conf": FIN + " = 15"}, "/etc/sysctl.conf:1"),
        # An exclusion takes our line back.
        ({"/etc/sysctl.d/99-x.conf": "-" + FIN}, "/etc/sysctl.d/99-x.conf:1"),
        ({"/etc/sysctl.d/99-x.conf": FIN + " = 30\n-" + FIN}, "/etc/sysctl.d/99-x.conf:2"),
        # These would not win.
        ({"/etc/sysctl.d/10-x.conf": FIN + " = 15"}, None),
        ({"/etc/sysctl.d/10-x.conf": "-" + FIN}, None),
        ({"/usr/lib/sysctl.d/90-netfleet-tcp.conf": FIN + " = 15"}, None),
        ({"/etc/sysctl.d/99-x.conf": "net.ipv4.* = 15"}, None),
        ({"/etc/sysctl.d/99-x.conf": "-net.ipv4.*"}, None),
        # The same value is no conflict, however it is written.
        ({"/etc/sysctl.d/99-x.conf": FIN + " = 0x1e"}, None),
        ({"/etc/sysctl.d/98-x.conf": FIN + " = 15", "/etc/sysctl.d/99-x.conf": FIN + " = 30"}, None),
        ({"/etc/sysctl.d/98-x.conf": "-" + FIN, "/etc/sysctl.d/99-x.conf": FIN + " = 30"}, None),
    ],
)
@pytest.mark.parametrize(("boot_conflict", "severity"), [("fail", "error"), ("warn", "warning")])
def test_files_of_others(files: dict[str, str], place: str | None, boot_conflict: str, severity: str) -> None:
    desired = wanted({FIN: "30"}, boot_conflict=boot_conflict)
    observed = host(desired, {FIN: "30"}, files)
    plan = make_plan(desired, observed)
    assert plan.changes == (), "a file of others is never changed"
    assert [(found.key, found.severity, found.source) for found in plan.findings] == (
        [(FIN, severity, place)] if place else []
    )
    if place:
        (found,) = plan.findings
        assert place in found.reason
        assert "at the next boot" in found.reason
        assert (found.intended, found.running, found.takes_effect) == ("30", "30", "reboot")
        assert found.cure


def test_a_file_that_does_not_exist_yet_counts_as_if_it_did() -> None:
    desired = wanted({FIN: "30"})
    observed = host(desired, {FIN: "60"}, {"/etc/sysctl.d/50-x.conf": FIN + " = 15"}, files={})
    assert [change[:2] for change in changes(desired, observed)] == [("sysctl", FIN), ("file", PATH)]
    assert findings(desired, observed) == []


def test_secrets_are_decided_by_their_own_file() -> None:
    """A file that sorts between our two (- comes before .) wins over the one with the secrets."""
    key, token = "net.ipv4.tcp_fastopen_key", "<secret net.ipv4.tcp_fastopen_key>"
    public = DesiredFile(PATH, text=FIN + " = 30\n")
    secret = DesiredFile(SECRETS_PATH, 0o600, "%s = %s\n" % (key, token))
    desired = Desired("90-netfleet-tcp", (DesiredKey(FIN, "30"), DesiredKey(key, token)), (public, secret))
    between = {"/etc/sysctl.d/90-netfleet-tcp-z.conf": "%s = <another>\n%s = 15\n" % (key, FIN)}
    observed = host(desired, {FIN: "30", key: token}, between)
    assert [(found.key, found.source) for found in findings(desired, observed)] == [
        (key, "/etc/sysctl.d/90-netfleet-tcp-z.conf:1")
    ]


def test_a_template_that_leaves_a_key_out_is_an_error() -> None:
    desired = wanted({FIN: "30", RMEM: "1 2 3"}, files=(DesiredFile(PATH, text=FIN + " = 31\n"),))
    found = findings(desired, host(desired, {FIN: "30", RMEM: "1 2 3"}))
    assert [(each.key, each.severity, each.cure) for each in found] == [
        (FIN, "error", "mend the template"),
        (RMEM, "error", "mend the template"),
    ]


# Modules


@pytest.mark.parametrize(
    ("state", "change"),
    [
        (ModuleState("tcp_bbr", loadable=True), [("module", "tcp_bbr", "loaded", "unloaded")]),
        (ModuleState("tcp_bbr", loaded=True), []),
        (ModuleState("tcp_bbr", builtin=True), []),
    ],
)
def test_modules_to_load(state: ModuleState, change: list[tuple[str, str, str, str]]) -> None:
    desired = wanted({}, modules=("tcp_bbr",))
    assert changes(desired, host(desired, {}, modules={"tcp_bbr": state})) == change


@pytest.mark.parametrize(
    ("modules", "recorded", "loaded", "change"),
    [
        ((), ("tcp_bbr",), True, [("module", "tcp_bbr", "unloaded", "loaded")]),
        ((), ("tcp_bbr",), False, []),
        (("tcp_bbr",), ("tcp_bbr",), True, []),
        # Loaded, but not by us.
        ((), (), True, []),
    ],
)
def test_modules_to_unload(
    modules: tuple[str, ...], recorded: tuple[str, ...], loaded: bool, change: list[tuple[str, str, str, str]]
) -> None:
    desired = wanted({}, modules=modules)
    state = {"tcp_bbr": ModuleState("tcp_bbr", loaded=loaded)}
    assert changes(desired, host(desired, {}, modules=state, baseline=Baseline(modules=recorded))) == change


@pytest.mark.parametrize(("boot_conflict", "severity"), [("override", "error"), ("fail", "error"), ("warn", "warning")])
def test_a_module_that_something_keeps_from_the_next_boot(boot_conflict: str, severity: str) -> None:
    desired = wanted({}, modules=("tcp_bbr",), boot_conflict=boot_conflict)
    state = ModuleState("tcp_bbr", loaded=True, boot="/etc/modules-load.d/a.conf:1", blocker="/etc/modprobe.d/c.conf:4")
    (found,) = findings(desired, host(desired, {}, modules={"tcp_bbr": state}))
    assert (found.subject, found.key, found.severity) == ("module", "tcp_bbr", severity)
    assert (found.source, found.takes_effect) == ("/etc/modprobe.d/c.conf:4", "reboot")


# Qdiscs


@pytest.mark.parametrize(
    ("interface", "change"),
    [
        (NIC, [("qdisc", "eth0", "fq", "fq_codel")]),
        (replace(NIC, qdisc="fq"), []),
        (replace(MQ, name="eth0"), [("qdisc", "eth0", "mq fq", "mq fq_codel")]),
        (replace(MQ, name="eth0", leaves=("fq", "fq")), []),
        (replace(MQ, name="eth0", leaves=("fq", "fq_codel")), [("qdisc", "eth0", "mq fq", "mq fq,fq_codel")]),
        # A queue without a leaf that tc shows is not as desired.
        (replace(MQ, name="eth0", leaves=("fq",)), [("qdisc", "eth0", "mq fq", "mq fq")]),
        (replace(MQ, name="eth0", leaves=()), [("qdisc", "eth0", "mq fq", "mq ?")]),
    ],
)
def test_qdiscs(interface: Interface, change: list[tuple[str, str, str, str]]) -> None:
    desired = wanted({}, qdiscs=(DesiredQdisc("eth0", "fq", "paces"),))
    observed = host(desired, {}, interfaces=(interface,))
    assert changes(desired, observed) == change


def test_qdiscs_are_given_back() -> None:
    observed = host(
        wanted({}),
        {},
        interfaces=(replace(NIC, qdisc="fq"), MQ),
        baseline=Baseline(qdiscs={"eth0": "fq_codel", "eth1": "mq fq_codel", "gone0": "fq_codel"}),
    )
    plan = make_plan(wanted({}), observed)
    assert plan.changes == (Change("qdisc", "eth0", "fq_codel", "fq", reason=BEFORE),)
    assert [(found.key, found.severity) for found in plan.findings] == [("gone0", "note")]


def test_an_interface_that_is_gone_is_an_error() -> None:
    desired = wanted({}, qdiscs=(DesiredQdisc("gone0", "fq"),))
    plan = make_plan(desired, host(desired, {}, interfaces=(NIC,)))
    assert plan.changes == ()
    assert [(found.key, found.severity, found.reason) for found in plan.findings] == [
        ("gone0", "error", "there is no such interface")
    ]


# Files

FILE = FileState(PATH, "file", 0o644, TEXT)


@pytest.mark.parametrize(
    ("present", "same"),
    [
        (FILE, True),
        (replace(FILE, text=TEXT + "#"), False),
        (replace(FILE, mode=0o600), False),
        (FileState(PATH), False),
        (FileState(PATH, "symlink", target="/dev/null"), False),
    ],
)
def test_files_that_differ(present: FileState, same: bool) -> None:
    desired = wanted({}, files=(DesiredFile(PATH, 0o644, TEXT, reason="why"),))
    observed = host(desired, {}, files={PATH: present})
    assert same_file(present, FILE) is same
    assert [(change.key, change.reason) for change in make_plan(desired, observed).changes] == (
        [] if same else [(PATH, "why")]
    )


def test_links_differ_by_target_not_by_mode() -> None:
    link = FileState(LINK_PATH, "symlink", 0o777, target="../x")
    desired = wanted({}, files=(DesiredFile(LINK_PATH, target="../x"),))
    assert changes(desired, host(desired, {}, files={LINK_PATH: link})) == []
    moved = replace(link, target="../y")
    assert changes(desired, host(desired, {}, files={LINK_PATH: moved})) == [
        ("file", LINK_PATH, "link to ../x", "link to ../y")
    ]


def test_files_that_are_given_up_get_back_what_stood_there() -> None:
    before = {PATH: FileState(PATH, "file", 0o600, "old\n"), UNIT_PATH: FileState(UNIT_PATH)}
    present = {PATH: FILE, UNIT_PATH: FileState(UNIT_PATH, "file", 0o644, TEXT)}
    observed = host(wanted({}), {}, files=present, baseline=Baseline(files=before))
    assert changes(wanted({}), observed) == [
        ("file", PATH, "file of mode 0600, 4 bytes", "file of mode 0644, %d bytes" % len(TEXT)),
        ("file", UNIT_PATH, "absent", "file of mode 0644, %d bytes" % len(TEXT)),
    ]
    assert file_targets(wanted({}), observed) == [before[PATH], before[UNIT_PATH]]


def test_something_else_in_place_of_a_file_is_an_error() -> None:
    desired = wanted({}, files=(DesiredFile(PATH, text=TEXT),))
    found = findings(desired, host(desired, {}, files={PATH: FileState(PATH, "other", 0o755)}))
    assert [(each.key, each.severity, each.reason) for each in found] == [
        (PATH, "error", "is neither a file nor a link")
    ]


@pytest.mark.parametrize(
    "theirs",
    [
        FileState(PATH, "file", 0o644, "vm.swappiness = 7\n"),
        FileState(PATH, "symlink", target="../sysctl.conf"),
        FileState(PATH, "symlink", target="/dev/null"),
    ],
    ids=["file", "link", "mask"],
)
@pytest.mark.parametrize(("choice", "severity"), [("fail", "error"), ("warn", "warning")])
def test_a_file_of_somebody_else_in_the_place_of_ours(theirs: FileState, choice: str, severity: str) -> None:
    desired = wanted({}, files=(DesiredFile(PATH, text=TEXT),), boot_conflict=choice)
    found = findings(desired, host(desired, {}, files={PATH: theirs}))
    assert [(each.key, each.severity) for each in found] == [(PATH, severity)]
    assert "somebody else's" in found[0].reason
    recorded = Baseline(files={PATH: FileState(PATH)})
    assert findings(desired, host(desired, {}, files={PATH: theirs}, baseline=recorded)) == []
    same = FileState(PATH, "file", 0o644, TEXT)
    assert findings(desired, host(desired, {}, files={PATH: same})) == []


def test_files_of_ours_without_a_record_are_removed() -> None:
    unit = UNIT_PATH.rsplit("/", 1)[-1]
    present = {
        PATH: FILE,
        MODULES_PATH: FileState(MODULES_PATH, "file", 0o644, "tcp_bbr\n"),  # somebody else's: it does not say ours
        LINK_PATH: FileState(LINK_PATH, "symlink", target="../" + unit),
        SECRETS_PATH: FileState(SECRETS_PATH),
    }
    plan = make_plan(wanted({}), host(wanted({}), {}, files=present))
    assert [(change.key, change.want) for change in plan.changes] == [(PATH, "absent"), (LINK_PATH, "absent")]
    assert [found.severity for found in plan.findings] == ["warning"]
    assert "the record of what stood here before is lost" in plan.findings[0].reason


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (FileState("/a"), "absent"),
        (FileState("/a", "file", 0o640, "äx\n"), "file of mode 0640, 3 bytes"),
        (FileState("/a", "symlink", 0o777, target="../b"), "link to ../b"),
        (FileState("/a", "other"), "other"),
    ],
)
def test_files_in_words(state: FileState, text: str) -> None:
    assert describe_file(state) == text


def test_the_order_of_application() -> None:
    """The kernel first, what decides the next boot after it; modules before what needs them, and unloaded last."""
    desired = wanted({FIN: "30"}, modules=("tcp_bbr",), qdiscs=(DesiredQdisc("eth0", "fq"),))
    observed = host(
        desired,
        {FIN: "60", RMEM: "4 5 6"},
        files={},
        modules={"tcp_bbr": ModuleState("tcp_bbr"), "tcp_htcp": ModuleState("tcp_htcp", loaded=True)},
        interfaces=(NIC, replace(MQ, leaves=("fq", "fq"))),
        baseline=Baseline(keys={RMEM: "1 2 3"}, modules=("tcp_htcp",), qdiscs={"eth1": "mq fq_codel"}),
    )
    assert [(change[0], change[1]) for change in changes(desired, observed)] == [
        *(("module", "tcp_bbr"), ("sysctl", FIN), ("sysctl", RMEM), ("qdisc", "eth0"), ("qdisc", "eth1")),
        *(("file", PATH), ("module", "tcp_htcp")),
    ]
