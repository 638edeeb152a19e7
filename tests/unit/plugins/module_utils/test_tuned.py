# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""tuned: which profile counts, what it sets, and how profiles are merged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Dict, Optional, Tuple

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._model import Owner
from ansible_collections.netfleet.tcp.plugins.module_utils._owners import owners
from ansible_collections.netfleet.tcp.plugins.module_utils._tuned import Unit, parse_profile
from tests.unit.plugins.fake_system import FakeSystem
from tests.unit.plugins.other_services import run_tuned

FIN = "net.ipv4.tcp_fin_timeout"
RMEM = "net.ipv4.tcp_rmem"
SOMAXCONN = "net.core.somaxconn"
CONNTRACK_MAX = "net.netfilter.nf_conntrack_max"
KEYS = (FIN, RMEM, SOMAXCONN, CONNTRACK_MAX)
PATH = "/usr/lib/tuned/x/tuned.conf"


def only(system: FakeSystem, keys: Sequence[str] = KEYS) -> Owner:
    (owner,) = owners(system, keys)
    return owner


def sets(owner: Owner) -> Dict[str, Tuple[Optional[str], str]]:
    return {name: (line.value, line.place) for name, line in owner.sets.items()}


def profile(system: FakeSystem, name: str, text: str, directory: str = "/usr/lib/tuned") -> None:
    system.put("%s/%s/tuned.conf" % (directory, name), text)


def unit(text: str) -> Unit:
    (found,) = parse_profile(PATH, text)[1].values()
    return found


def test_tuned_and_its_profile() -> None:
    system = FakeSystem()
    run_tuned(system, 'net.ipv4.tcp_rmem = "4096 87380 16777216"\nvm.swappiness = 10')
    owner = only(system)
    assert (owner.name, owner.reapplies) == ("tuned (profile fast)", True)
    assert sets(owner) == {RMEM: ("4096 87380 16777216", "/usr/lib/tuned/fast/tuned.conf:5")}


def test_a_tuned_that_is_enabled_counts_before_it_runs() -> None:
    system = FakeSystem()
    run_tuned(system, FIN + " = 15")
    del system.files["/run/systemd/units/invocation:tuned.service"]
    assert owners(system, KEYS) == ()
    system.put("/etc/systemd/system/multi-user.target.wants/tuned.service", kind="symlink", target="/lib/x")
    assert sets(only(system)) == {FIN: ("15", "/usr/lib/tuned/fast/tuned.conf:5")}


def test_a_profile_without_keys_touches_none() -> None:
    """tuned applies no file again either then."""
    system = FakeSystem()
    run_tuned(system, "# nothing")
    assert owners(system, KEYS) == ()
    del system.files["/etc/tuned/active_profile"]
    assert owners(system, KEYS) == ()


def test_a_profile_with_other_keys_still_has_files_applied_again() -> None:
    system = FakeSystem()
    run_tuned(system, "vm.swappiness = 10")
    assert (only(system).sets, only(system).reapplies) == ({}, True)


@pytest.mark.parametrize(
    ("line", "again"),
    [
        ("reapply_sysctl = 1", True),
        ("reapply_sysctl=yes", True),
        ("reapply_sysctl = Y", True),
        ("reapply_sysctl = True  # as the package has it", True),
        ("", True),
        ("# reapply_sysctl = 0", True),
        ("reapply_sysctl = 0", False),
        ("reapply_sysctl = no", False),
        ("reapply_sysctl = on", False),
        ("reapply_sysctl = 0 # ours", False),
    ],
)
def test_whether_files_are_applied_again(line: str, again: bool) -> None:
    """As tuned reads truth values; `on` is none of its words."""
    system = FakeSystem()
    run_tuned(system, FIN + " = 15")
    system.put("/etc/tuned/tuned-main.conf", "daemon = 1\n%s\n" % line)
    assert only(system).reapplies is again


def test_a_profile_wins_over_what_it_includes() -> None:
    system = FakeSystem()
    run_tuned(system, "")
    profile(system, "fast", "[main]\ninclude = base, more\n[sysctl]\n%s=30\n" % FIN)
    profile(system, "base", "[main]\ninclude=deep\n[sysctl]\n%s=10\n%s=11\n%s=12 12 12\n" % (FIN, SOMAXCONN, RMEM))
    profile(system, "more", "[sysctl]\n%s=21\n" % SOMAXCONN)
    profile(system, "deep", "[sysctl]\n%s=1\n%s=2\n" % (FIN, CONNTRACK_MAX))
    assert sets(only(system)) == {
        FIN: ("30", "/usr/lib/tuned/fast/tuned.conf:4"),
        RMEM: ("12 12 12", "/usr/lib/tuned/base/tuned.conf:6"),
        SOMAXCONN: ("21", "/usr/lib/tuned/more/tuned.conf:2"),
        CONNTRACK_MAX: ("2", "/usr/lib/tuned/deep/tuned.conf:3"),
    }


def test_of_several_active_profiles_the_last_wins() -> None:
    system = FakeSystem()
    run_tuned(system, "%s = 1\n%s = 1" % (FIN, SOMAXCONN))
    profile(system, "other", "[sysctl]\n%s=2\n" % FIN)
    system.put("/etc/tuned/active_profile", "fast other\n")
    assert only(system).name == "tuned (profile fast other)"
    assert {name: line.value for name, line in only(system).sets.items()} == {FIN: "2", SOMAXCONN: "1"}


@pytest.mark.parametrize("directory", ["/etc/tuned", "/etc/tuned/profiles"])
def test_a_profile_of_the_administrator_hides_that_of_the_package(directory: str) -> None:
    system = FakeSystem()
    run_tuned(system, FIN + " = 15")
    profile(system, "fast", "[sysctl]\n%s=16\n" % FIN, directory)
    assert sets(only(system)) == {FIN: ("16", directory + "/fast/tuned.conf:2")}


def test_a_profile_may_include_the_one_that_it_hides() -> None:
    """So that an administrator changes one key of a profile of the package's."""
    system = FakeSystem()
    run_tuned(system, "%s = 15\n%s = 1024" % (FIN, SOMAXCONN))
    profile(system, "fast", "[main]\ninclude=fast\n[sysctl]\n%s=16\n" % FIN, "/etc/tuned")
    assert sets(only(system)) == {
        FIN: ("16", "/etc/tuned/fast/tuned.conf:4"),
        SOMAXCONN: ("1024", "/usr/lib/tuned/fast/tuned.conf:6"),
    }


def test_profiles_that_include_each_other_come_to_an_end() -> None:
    system = FakeSystem()
    run_tuned(system, "")
    everybody = ["fast", *("p%d" % number for number in range(12))]
    for name in everybody:
        profile(system, name, "[main]\ninclude=%s\n[sysctl]\n%s=1\n" % (",".join(everybody), FIN))
    assert {name: line.value for name, line in only(system).sets.items()} == {FIN: "1"}


@pytest.mark.parametrize("name", ["../../../etc/shadow", "a/b", "${x}", "", "missing"])
def test_names_that_are_no_profiles_are_passed_over(name: str) -> None:
    system = FakeSystem()
    run_tuned(system, "")
    profile(system, "fast", "[main]\ninclude=%s\n[sysctl]\n%s=1\n" % (name, FIN))
    system.put("/usr/lib/tuned/" + name + "/tuned.conf", "[sysctl]\n%s=1\n" % SOMAXCONN)
    if name == "missing":
        del system.files["/usr/lib/tuned/missing/tuned.conf"]
    assert set(only(system).sets) == {FIN}


# How profiles are merged


def merged(base: str, own: str) -> Dict[str, Optional[str]]:
    system = FakeSystem()
    run_tuned(system, "")
    profile(system, "fast", "[main]\ninclude=base\n[sysctl]\n" + own)
    profile(system, "base", "[sysctl]\n%s=1\n%s=1\n%s" % (FIN, SOMAXCONN, base))
    found = owners(system, KEYS)
    return {name: line.value for owner in found for name, line in owner.sets.items()}


@pytest.mark.parametrize(
    ("base", "own", "sets_then"),
    [
        ("", RMEM + "=2", {FIN: "1", SOMAXCONN: "1", RMEM: "2"}),
        ("", "replace=1\n%s=2" % RMEM, {RMEM: "2"}),
        ("", "replace=true", {}),
        ("", "replace=no\n%s=2" % RMEM, {FIN: "1", SOMAXCONN: "1", RMEM: "2"}),
        ("", "drop=%s\n%s=2" % (FIN, RMEM), {SOMAXCONN: "1", RMEM: "2"}),
        ("", "drop = %s , net/core/somaxconn\n%s=2" % (FIN, RMEM), {RMEM: "2"}),
        # What is dropped of the included profile may be set again.
        ("", "drop=%s;x\n%s=2" % (FIN, FIN), {FIN: "2", SOMAXCONN: "1"}),
        # Switched off, the section is so with all that it has from others; switched on by the last that says nothing.
        ("", "enabled=0\n%s=2" % RMEM, {}),
        ("enabled=false\n", RMEM + "=2", {FIN: "1", SOMAXCONN: "1", RMEM: "2"}),
        # Where it depends on the host, it is not known.
        ("uname_regex=aarch64\n", RMEM + "=2", {}),
        ("uname_regex=aarch64\n", "replace=1\n%s=2" % RMEM, {RMEM: "2"}),
    ],
)
def test_a_section_over_that_of_an_included_profile(base: str, own: str, sets_then: Dict[str, Optional[str]]) -> None:
    assert merged(base, own + "\n") == sets_then


def test_sections_of_other_names_that_are_of_that_type() -> None:
    system = FakeSystem()
    run_tuned(system, FIN + "=1")
    profile(
        system, "fast", "[main]\ninclude=base\n[net]\ntype=sysctl\n%s=2\n[sysctl]\ntype=script\n%s=3\n" % (RMEM, FIN)
    )
    profile(system, "base", "[net]\ntype=sysctl\n%s=1\n%s=1\n" % (RMEM, SOMAXCONN))
    assert {name: line.value for name, line in only(system).sets.items()} == {RMEM: "2", SOMAXCONN: "1"}


# What a profile says


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("= 2048", "2048"),
        ("=2048 # enough", "2048"),
        ('="4096 87380 16777216"', "4096 87380 16777216"),
        ("='1'", "1"),
        ("=>2048", None),
        ("=<2048", None),
        ("=${from_elsewhere}", None),
        ("=1${x}", None),
    ],
)
def test_what_a_profile_says_of_a_key(line: str, value: Optional[str]) -> None:
    found = unit("\n[sysctl]\n%s%s\n" % (SOMAXCONN, line))
    assert {name: (entry.value, entry.place) for name, entry in found.effective.items()} == {
        SOMAXCONN: (value, PATH + ":3")
    }


@pytest.mark.parametrize("name", ["net.core.somaxconn", "net/core/somaxconn"])
def test_both_spellings_of_a_key_in_a_profile(name: str) -> None:
    assert set(unit("[sysctl]\n%s=1\n" % name).effective) == {SOMAXCONN}


@pytest.mark.parametrize(
    "text",
    [
        "[sysctl.arm]\ntype=sysctl\nuname_regex=aarch64\nnet.core.somaxconn=1\n",
        "[sysctl]\nuname_regex=aarch64\nnet.core.somaxconn=1\n",
        "[sysctl]\nnet.core.somaxconn=1\nenabled=false\n",
        "[sysfs]\nnet.core.somaxconn=1\n",
        "[sysctl]\n# net.core.somaxconn=1\n; net.core.somaxconn=1\nnet.core.somaxconn\n",
        "net.core.somaxconn=1\n",
        "[sysctl]\n[main]\nnet.core.somaxconn=1\n",
    ],
)
def test_what_a_profile_does_not_set_on_every_host(text: str) -> None:
    included, found = parse_profile(PATH, text)
    assert (included, [unit.effective for unit in found.values() if unit.effective]) == ((), [])


@pytest.mark.parametrize(("word", "yes"), [("true", True), ("True", True), ("1", True), ("yes", False), ("0", False)])
def test_a_section_that_is_enabled_in_so_many_words(word: str, yes: bool) -> None:
    assert unit("[sysctl]\nenabled=%s\nnet.core.somaxconn=1\n" % word).enabled is yes


@pytest.mark.parametrize("line", ["include=a,b", "include = a ; b", "include=a, b # both", "include=a b"])
def test_the_profiles_that_are_included(line: str) -> None:
    assert parse_profile(PATH, "[main]\nsummary=x\n%s\n[sysctl]\ninclude=c\n" % line)[0] == ("a", "b")
