# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._catalogue_index import INDEX
from ansible_collections.netfleet.tcp.plugins.plugin_utils._explain import explain
from tests.unit.plugins.other_services import run_tuned, run_unit
from tests.unit.plugins.plugin_utils.a_host import EXTRA, MTU_PROBING, OWN, AHost

RMEM = "net.ipv4.tcp_rmem"
FIN = "net.ipv4.tcp_fin_timeout"
RECYCLE = "net.ipv4.tcp_tw_recycle"
PORTS = "net.ipv4.ip_local_reserved_ports"
TFO = "net.ipv4.tcp_fastopen_key"
TFO_KEY = "00000001-00000002-00000003-00000004"
VENDOR = "/usr/lib/sysctl.d/99-vendor.conf"
NOT_DECLARED = ", which is not what is declared"


def told(host: AHost, name: str = MTU_PROBING) -> list[tuple[str, str]]:
    declaration, observed, resolved, _desired = host.state()
    return list(explain(name, declaration.intent, resolved, observed))


def entry(host: AHost, label: str, name: str = MTU_PROBING) -> list[str]:
    """The lines below a label, without it."""
    found: list[str] = []
    inside = False
    for _style, text in told(host, name)[1:]:
        head, rest = text[:13].strip(), text[13:]
        inside = head == label or (inside and not head)
        found += [rest] if inside else []
    return found


def styles(host: AHost, label: str, name: str = MTU_PROBING) -> set[str]:
    return {style for style, text in told(host, name) if text[:13].strip() == label}


# What is declared


def test_the_title_says_the_value() -> None:
    assert told(AHost())[0] == ("title", MTU_PROBING + " = 1")


def test_a_key_that_is_not_declared() -> None:
    host = AHost()
    assert told(host, RECYCLE)[0] == ("title", RECYCLE + " is not declared here")
    assert entry(host, "layers", RECYCLE) == []
    assert NOT_DECLARED not in str(told(host, RECYCLE))


def test_what_the_key_is() -> None:
    (line,) = entry(AHost(), "what")
    key = INDEX[MTU_PROBING]
    assert key.what in line
    assert line.endswith("takes effect: " + key.takes_effect)


def test_a_key_that_is_refused_says_why() -> None:
    assert "removed in Linux 4.12" in entry(AHost(), "refused", RECYCLE)[0]


def test_a_key_that_the_catalogue_does_not_know() -> None:
    host = AHost()
    assert "not in the catalogue" in entry(host, "what", "net.ipv4.no_such_key")[0]
    assert entry(host, "running", "net.ipv4.no_such_key") == ["cannot be read"]


def test_every_layer_stands_there_and_the_one_that_won_is_marked() -> None:
    host = AHost(workloads=["many_connections"], overrides={FIN: 44})
    declaration, _observed, _resolved, _desired = host.state()
    given = [choice for choice in declaration.intent.layers if choice.key == FIN]
    assert len(given) > 1, "the test needs a key of several layers"
    lines = entry(host, "layers", FIN)
    assert [line.split()[-1] for line in lines[::2]] == [choice.value for choice in given]
    assert [line.startswith("->") for line in lines[::2]] == [False] * (len(given) - 1) + [True]
    assert lines[-2].split() == ["->", "overrides", "44"]
    for line, choice in zip(lines[1::2], given, strict=True):
        assert choice.reason in line
        assert choice.source in line


def test_what_the_host_itself_decided_is_a_layer_too() -> None:
    """somaxconn stays as high as the kernel already has it."""
    key = "net.core.somaxconn"
    host = AHost(workloads=["many_connections"])
    host.system.sysctls[key] = "1000000"
    lines = entry(host, "layers", key)
    assert [line.startswith("->") for line in lines[::2]][-1]
    assert lines[-2].endswith(" 1000000")


def test_what_the_host_cannot_do_is_a_remark() -> None:
    host = AHost(overrides={FIN: 44}, unsupported="warn")
    del host.system.sysctls[FIN]
    assert entry(host, "remark", FIN)[0].startswith(FIN)
    assert entry(host, "running", FIN) == ["this kernel has no such key here"]


# What runs


def test_a_value_that_runs_as_declared() -> None:
    host = AHost().tune()
    assert entry(host, "running") == ["1"]
    assert styles(host, "running") == {"plain"}
    assert entry(host, "before us") == ["0"]


def test_a_value_that_does_not() -> None:
    host = AHost().tune()
    host.system.sysctls[MTU_PROBING] = "0"
    assert entry(host, "running") == ["0" + NOT_DECLARED]
    assert styles(host, "running") == {"changed"}


def test_an_empty_value_is_shown() -> None:
    host = AHost(reserved_ports=["8080"])
    assert entry(host, "running", PORTS) == ["(empty)" + NOT_DECLARED]


def test_who_else_sets_the_key() -> None:
    host = AHost()
    run_tuned(host.system, "%s = 4096 87380 16777216" % RMEM)
    run_unit(host.system, "bpftune")
    assert entry(host, "also", RMEM) == [
        "tuned (profile fast) sets 4096 87380 16777216 (/usr/lib/tuned/fast/tuned.conf:5)",
        "bpftune sets it (live)",
    ]
    assert entry(host, "also") == []


# What the next boot does


def test_a_boot_as_declared() -> None:
    host = AHost().tune()
    (line,) = entry(host, "next boot")
    assert line.startswith("1, by %s:" % OWN)
    assert line.endswith(" (systemd-sysctl)")
    assert styles(host, "next boot") == {"plain"}


def test_a_boot_without_any_file() -> None:
    assert entry(AHost(), "next boot") == ["no file sets it" + NOT_DECLARED]
    assert styles(AHost(), "next boot") == {"changed"}


def test_who_wins_who_loses_and_why() -> None:
    host = AHost().tune()
    host.system.put(VENDOR, "%s = 2\n%s = 0\n" % (MTU_PROBING, MTU_PROBING))
    host.system.put("/etc/sysctl.d/00-x.conf", "# Ansible managed\nnet.ipv4.tcp_mtu_* = 2\n")
    host.system.put("/var/lib/dpkg/info/speedy.list", "/.\n%s\n" % VENDOR)
    assert entry(host, "next boot") == ["0, by %s:2 of package speedy (systemd-sysctl)%s" % (VENDOR, NOT_DECLARED)]
    shadowed = entry(host, "shadowed")
    assert len(shadowed) == 3
    assert "2, by /etc/sysctl.d/00-x.conf:2 of another Ansible role: " in shadowed[0]
    assert shadowed[0].endswith("a line names the key itself, which beats every glob")
    assert shadowed[1].startswith("1, by %s:" % OWN)
    assert shadowed[1].endswith("a file that is read later decides")
    assert shadowed[2] == "2, by %s:1 of package speedy: a later line of the same file decides" % VENDOR


def test_the_file_that_overrules_others() -> None:
    host = AHost().tune()
    host.system.put(VENDOR, "%s = 0\n" % MTU_PROBING)
    host.tune()
    assert entry(host, "next boot")[0].startswith("1, by %s:" % EXTRA)
    assert [line.split(":")[0] for line in entry(host, "shadowed")] == ["1, by " + OWN, "0, by " + VENDOR]


def test_an_exclusion_is_shown_as_one() -> None:
    host = AHost().tune()
    host.system.put("/etc/sysctl.d/95-x.conf", "-%s\n" % MTU_PROBING)
    host.system.put("/etc/sysctl.d/96-x.conf", "%s = 1\n" % MTU_PROBING)
    assert "excluded, by /etc/sysctl.d/95-x.conf:1: a file that is read later decides" in entry(host, "shadowed")


def test_sysctl_conf_stands_aside() -> None:
    host = AHost().tune()
    host.system.put("/etc/sysctl.conf", "%s = 0\n" % MTU_PROBING)
    assert entry(host, "aside") == ["0, by /etc/sysctl.conf:1: this host does not read it at boot"]


def test_a_tuned_that_has_the_last_word_is_named_and_so_is_who_lost_to_it() -> None:
    host = AHost().tune()
    run_tuned(host.system, MTU_PROBING + " = 2", reapply="0")
    place = "/usr/lib/tuned/fast/tuned.conf:5"
    assert entry(host, "next boot") == ["2, by %s (tuned)%s" % (place, NOT_DECLARED)]
    (lost,) = entry(host, "shadowed")
    assert lost.startswith("1, by %s:" % OWN)
    assert lost.endswith(": tuned comes after it")


def test_what_tuned_applies_again_is_not_said_to_have_lost() -> None:
    host = AHost().tune()
    host.system.put(VENDOR, "%s = 0\n" % MTU_PROBING)
    host.system.put("/etc/sysctl.d/10-x.conf", "%s = 2\n" % MTU_PROBING)
    run_tuned(host.system, "vm.swappiness = 10")
    assert entry(host, "next boot")[0].startswith("1, by %s:" % OWN)
    assert [line.split(":")[0] for line in entry(host, "shadowed")] == [
        "2, by /etc/sysctl.d/10-x.conf",
        "0, by " + VENDOR,
    ]
    assert entry(host, "shadowed")[1].endswith(": tuned comes after it")


def test_sysctl_conf_that_tuned_applies_is_not_said_to_stand_aside() -> None:
    host = AHost().tune()
    host.system.put("/etc/sysctl.conf", "%s = 0\n" % MTU_PROBING)
    run_tuned(host.system, "vm.swappiness = 10")
    assert entry(host, "next boot") == ["0, by /etc/sysctl.conf:1 (tuned)" + NOT_DECLARED]
    assert entry(host, "aside") == []


@pytest.mark.parametrize("value", ["=>1", "=${x}"])
def test_a_bound_of_tuned_is_named_without_a_value(value: str) -> None:
    host = AHost().tune()
    run_tuned(host.system, MTU_PROBING + value, reapply="0")
    assert entry(host, "also") == ["tuned (profile fast) sets it (/usr/lib/tuned/fast/tuned.conf:5)"]
    assert "None" not in str([text for _style, text in told(host)])


def test_where_nobody_applies_sysctl_d() -> None:
    host = AHost().tune()
    del host.system.files["/usr/lib/systemd/systemd-sysctl"]
    assert entry(host, "next boot") == ["nothing on this host applies sysctl.d"]


# Secrets


def test_a_secret_is_not_told() -> None:
    host = AHost(fast_open_key=TFO_KEY).tune()
    host.system.put("/etc/sysctl.d/99-x.conf", "%s = 0000000a-0000000b-0000000c-0000000d\n" % TFO)
    text = str(told(host, TFO))
    assert "0000000" not in text
    assert "<secret %s>" % TFO in text
    assert "<another secret %s>" % TFO in text
