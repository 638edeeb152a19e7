# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who decides at the next boot, with and without the file that overrules others."""

from __future__ import annotations

from dataclasses import replace
from typing import List, Optional, Tuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netfleet.tcp.plugins.module_utils._boot import (
    dead_lines,
    effective,
    own_assignments,
    own_file_assignment,
    rival,
    with_precedence,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._catalogue_index import DEAD_KEYS
from ansible_collections.netfleet.tcp.plugins.module_utils._desired import (
    MANAGED,
    build,
    precedence_path,
    render_sysctl_file,
    sysctl_path,
    watched_paths,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._model import (
    Assignment,
    Baseline,
    Desired,
    DesiredFile,
    DesiredKey,
    Observed,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._observe import Request, observe
from ansible_collections.netfleet.tcp.plugins.module_utils._plan import make_plan
from ansible_collections.netfleet.tcp.plugins.module_utils._secrets import Vault, token
from tests.unit.plugins.fake_system import FakeSystem
from tests.unit.plugins.other_services import boot_by_procps, run_tuned

FILE = "90-netfleet-tcp.conf"
OWN = sysctl_path(FILE)
EXTRA = precedence_path(FILE)
FIN = "net.ipv4.tcp_fin_timeout"
RETRIES = "net.ipv4.tcp_retries2"
RECYCLE = "net.ipv4.tcp_tw_recycle"
SECRET = "net.ipv4.tcp_fastopen_key"
SYSCTL_CONF = "/etc/sysctl.conf"
LATER = "/etc/sysctl.d/95-x.conf"


def seen(system: FakeSystem, baseline: Optional[Baseline] = None) -> Observed:
    names = (FIN, RETRIES, SECRET, *DEAD_KEYS)
    request = Request(keys=names, files=watched_paths(FILE), blame=True)
    return observe(system, request, baseline or Baseline(), Vault())


def wanted(**given_keys: str) -> Desired:
    keys = [DesiredKey("net.ipv4." + name, value) for name, value in given_keys.items()]
    return build(FILE, render_sysctl_file(keys), keys)


FIN_30 = wanted(tcp_fin_timeout="30")


def put_in_place(system: FakeSystem, desired: Desired) -> None:
    for path in (OWN, EXTRA):
        system.files.pop(path, None)
    for entry in desired.files:
        system.put(entry.path, entry.text, entry.mode)


def decides(system: FakeSystem, name: str = FIN) -> Optional[Tuple[Optional[str], str]]:
    observed = seen(system)
    line = effective(observed.keys[name], observed)
    return (line.value, line.place) if line else None


def wins_over_ours(system: FakeSystem, desired: Desired = FIN_30) -> Optional[str]:
    observed = seen(system)
    found = rival(observed.keys[FIN], own_assignments(desired)[FIN], desired, observed)
    return found.place if found else None


def extra_of(system: FakeSystem, desired: Desired = FIN_30) -> Optional[DesiredFile]:
    found = with_precedence(desired, FILE, seen(system)).files
    return next((entry for entry in found if entry.path == EXTRA), None)


# effective


def test_a_key_that_no_file_sets() -> None:
    assert decides(FakeSystem()) is None


def test_without_other_services_the_files_decide() -> None:
    system = FakeSystem()
    system.put("/etc/sysctl.d/10-a.conf", FIN + " = 10\n")
    system.put("/usr/lib/sysctl.d/20-b.conf", "# x\n\n%s = 20\n" % FIN)
    assert decides(system) == ("20", "/usr/lib/sysctl.d/20-b.conf:3")


def test_tuned_comes_after_the_files() -> None:
    system = FakeSystem()
    system.put(OWN, FIN + " = 30\n")
    run_tuned(system, FIN + " = 15", reapply="0")
    assert decides(system) == ("15", "/usr/lib/tuned/fast/tuned.conf:5")


def test_a_tuned_that_does_not_set_the_key_changes_nothing() -> None:
    system = FakeSystem()
    system.put(OWN, FIN + " = 30\n")
    run_tuned(system, RETRIES + " = 9", reapply="0")
    assert decides(system) == ("30", OWN + ":1")


@pytest.mark.parametrize("depends", ["= >20", "= <20", "= ${mine}"])
def test_what_tuned_makes_dependent_on_the_host_is_not_taken_for_a_value(depends: str) -> None:
    system = FakeSystem()
    system.put(OWN, FIN + " = 30\n")
    run_tuned(system, FIN + depends, reapply="0")
    assert decides(system) == ("30", OWN + ":1")
    assert wins_over_ours(system) is None


@pytest.mark.parametrize("directory", ["/etc/sysctl.d", "/run/sysctl.d"])
def test_tuned_applies_the_files_of_the_administrator_again(directory: str) -> None:
    system = FakeSystem()
    system.put(directory + "/10-a.conf", FIN + " = 10\n")
    system.put("/usr/lib/sysctl.d/99-b.conf", FIN + " = 99\n")
    assert decides(system) == ("99", "/usr/lib/sysctl.d/99-b.conf:1")
    run_tuned(system, FIN + " = 15")
    assert decides(system) == ("10", directory + "/10-a.conf:1")


def test_where_there_is_nothing_to_apply_again_tuned_itself_decides() -> None:
    system = FakeSystem()
    system.put("/usr/lib/sysctl.d/99-b.conf", FIN + " = 99\n")
    run_tuned(system, FIN + " = 15")
    assert decides(system) == ("15", "/usr/lib/tuned/fast/tuned.conf:5")


def test_tuned_knows_neither_globs_nor_exclusions() -> None:
    system = FakeSystem()
    system.put("/etc/sysctl.d/10-a.conf", FIN + " = 10\n")
    system.put("/etc/sysctl.d/20-b.conf", "-%s\n" % FIN)
    system.put("/etc/sysctl.d/30-c.conf", "net.ipv4.tcp_fin_* = 33\n")
    assert decides(system) is None
    run_tuned(system, RETRIES + " = 9")
    assert decides(system) == ("10", "/etc/sysctl.d/10-a.conf:1")


@pytest.mark.parametrize("linked", [False, True])
def test_tuned_reads_sysctl_conf_last_whatever_the_boot_does(linked: bool) -> None:
    """Also where a link in sysctl.d has the boot read it before ours (Debian 12)."""
    system = FakeSystem()
    put_in_place(system, FIN_30)
    system.put("/etc/sysctl.d/zzz.conf", FIN + " = 40\n")
    system.put(SYSCTL_CONF, "\n%s = 10\n" % FIN)
    if linked:
        system.put("/etc/sysctl.d/99-sysctl.conf", kind="symlink", target="../sysctl.conf")
    assert decides(system) == ("40", "/etc/sysctl.d/zzz.conf:1")
    run_tuned(system, RETRIES + " = 9")
    assert decides(system) == ("10", SYSCTL_CONF + ":2")
    assert wins_over_ours(system) == SYSCTL_CONF + ":2"


def test_procps_reads_sysctl_conf_last() -> None:
    system = FakeSystem()
    boot_by_procps(system)
    system.put("/etc/sysctl.d/zzz.conf", FIN + " = 40\n")
    system.put(SYSCTL_CONF, FIN + " = 10\n")
    assert decides(system) == ("10", SYSCTL_CONF + ":1")


# rival


@pytest.mark.parametrize(
    ("path", "text", "place"),
    [
        (LATER, FIN + " = 95\n", LATER + ":1"),
        ("/usr/lib/sysctl.d/95-x.conf", "# x\nnet/ipv4/tcp_fin_timeout=95\n", "/usr/lib/sysctl.d/95-x.conf:2"),
        ("/lib/sysctl.d/zzz.conf", FIN + " = 95\n" + FIN + " = 96\n", "/lib/sysctl.d/zzz.conf:2"),
        (LATER, "-%s\n" % FIN, LATER + ":1"),
        (LATER, "net.ipv4.tcp_fin_* = 95\n", None),
        (LATER, RETRIES + " = 9\n", None),
        ("/etc/sysctl.d/89-x.conf", FIN + " = 89\n", None),
        ("/etc/sysctl.d/90-netfleet-tcp.con", FIN + " = 95\n", None),
        ("/usr/lib/sysctl.d/" + FILE, FIN + " = 95\n", None),
        (SYSCTL_CONF, FIN + " = 95\n", None),
    ],
)
def test_who_wins_over_ours(path: str, text: str, place: Optional[str]) -> None:
    system = FakeSystem()
    system.put(path, text)
    assert wins_over_ours(system) == place
    put_in_place(system, FIN_30)
    assert wins_over_ours(system) == place
    assert (decides(system) == ("30", OWN + ":3")) is (place is None)


def test_for_procps_an_exclusion_is_no_rival() -> None:
    """It holds off globs alone."""
    system = FakeSystem()
    boot_by_procps(system)
    system.put(LATER, "-%s\n" % FIN)
    put_in_place(system, FIN_30)
    assert decides(system) == ("30", OWN + ":3")
    assert wins_over_ours(system) is None
    assert extra_of(system) is None


def test_for_procps_sysctl_conf_is_the_rival() -> None:
    system = FakeSystem()
    boot_by_procps(system)
    system.put(SYSCTL_CONF, FIN + " = 10\n")
    assert wins_over_ours(system) == SYSCTL_CONF + ":1"


def test_a_file_of_ours_that_goes_is_no_rival() -> None:
    system = FakeSystem()
    system.put(LATER, FIN + " = 95\n")
    observed = seen(system)
    own = own_assignments(FIN_30)[FIN]
    assert rival(observed.keys[FIN], own, FIN_30, observed, frozenset([LATER])) is None


def test_a_file_that_our_further_file_hides_is_no_rival() -> None:
    system = FakeSystem()
    system.put(LATER, RETRIES + " = 5\n")
    system.put("/usr/lib/sysctl.d/zz-" + FILE, FIN + " = 95\n")
    assert wins_over_ours(system) == "/usr/lib/sysctl.d/zz-%s:1" % FILE
    both = wanted(tcp_fin_timeout="30", tcp_retries2="8")
    desired = with_precedence(both, FILE, seen(system))
    assert set(own_assignments(replace(desired, files=desired.files[-1:]))) == {RETRIES}
    assert wins_over_ours(system, desired) is None


def test_tuned_without_reapply_is_the_rival() -> None:
    system = FakeSystem()
    system.put(LATER, FIN + " = 95\n")
    run_tuned(system, FIN + " = 15", reapply="0")
    assert wins_over_ours(system) == "/usr/lib/tuned/fast/tuned.conf:5"


def test_what_tuned_does_not_apply_again_is_no_rival() -> None:
    system = FakeSystem()
    system.put("/usr/lib/sysctl.d/99-b.conf", FIN + " = 99\n")
    system.put("/etc/sysctl.d/zz-b.conf", "-%s\n" % FIN)
    put_in_place(system, FIN_30)
    run_tuned(system, FIN + " = 15")
    assert decides(system) == ("30", OWN + ":3")
    assert wins_over_ours(system) is None
    assert extra_of(system) is None


# with_precedence


def test_where_nobody_is_in_the_way_there_is_no_further_file() -> None:
    system = FakeSystem()
    system.put("/usr/lib/sysctl.d/10-a.conf", FIN + " = 10\n")
    system.put(LATER, FIN + " = 30\n")
    assert with_precedence(FIN_30, FILE, seen(system)) == FIN_30


def test_the_further_file_names_whom_it_overrules() -> None:
    system = FakeSystem()
    system.put(LATER, "\n%s = 95\n" % FIN)
    extra = extra_of(system)
    assert extra is not None
    assert (extra.path, extra.mode) == (EXTRA, 0o644)
    assert extra.reason == "overrules %s:2 at boot" % LATER
    assert extra.text.splitlines()[-3:] == ["", "# %s sets it too" % LATER, FIN + " = 30"]
    put_in_place(system, with_precedence(FIN_30, FILE, seen(system)))
    assert decides(system) == ("30", EXTRA + ":5")


def test_the_further_file_stays_as_it_is_while_the_line_it_overrules_moves() -> None:
    """Nothing at boot would change with it."""
    system = FakeSystem()
    system.put(LATER, FIN + " = 95\n")
    before = extra_of(system)
    system.put(LATER, "# more\n%s = 96\n" % FIN)
    after = extra_of(system)
    assert before is not None
    assert after is not None
    assert after.text == before.text
    assert after.reason != before.reason, "who reads the plan is told where that line stands now"


def test_a_name_of_two_lines_does_not_become_a_line_of_ours() -> None:
    system = FakeSystem()
    system.put("/etc/sysctl.d/95-x\nkernel.panic = 1\r.conf", FIN + " = 95\n")
    extra = extra_of(system)
    assert extra is not None
    assert set(own_assignments(replace(FIN_30, files=(extra,)))) == {FIN}
    assert extra.reason == "overrules /etc/sysctl.d/95-x?kernel.panic = 1?.conf:1 at boot"
    assert "# /etc/sysctl.d/95-x?kernel.panic = 1?.conf sets it too\n" in extra.text


def test_another_declaration_of_ours_is_a_conflict_and_is_not_overruled() -> None:
    """Two that overruled each other would do so for ever."""
    system = FakeSystem()
    system.put("/etc/sysctl.d/95-other.conf", "%s\n%s = 95\n" % (MANAGED, FIN))
    desired = with_precedence(FIN_30, FILE, seen(system))
    assert desired == FIN_30
    (finding,) = make_plan(desired, seen(system)).findings
    assert (finding.severity, finding.source) == ("error", "/etc/sysctl.d/95-other.conf:2")


def test_an_exclusion_is_overruled_too() -> None:
    system = FakeSystem()
    system.put(LATER, "-%s\n" % FIN)
    desired = with_precedence(FIN_30, FILE, seen(system))
    put_in_place(system, desired)
    assert "# %s excludes it" % LATER in desired.files[-1].text
    assert decides(system) == ("30", EXTRA + ":5")


def test_keys_that_nobody_else_sets_are_not_in_the_further_file() -> None:
    system = FakeSystem()
    system.put(LATER, FIN + " = 95\n")
    extra = extra_of(system, wanted(tcp_fin_timeout="30", tcp_retries2="8"))
    assert extra is not None
    assert set(own_assignments(replace(FIN_30, files=(extra,)))) == {FIN}


def test_of_many_that_are_overruled_some_are_named() -> None:
    system = FakeSystem()
    system.put(LATER, "%s = 95\n%s = 95\n" % (FIN, RETRIES))
    system.put("/etc/sysctl.d/10-old.conf", "".join("%s = 1\n" % name for name in DEAD_KEYS[:2]))
    extra = extra_of(system, wanted(tcp_fin_timeout="30", tcp_retries2="8"))
    assert extra is not None
    places = "%s:1, %s:2, /etc/sysctl.d/10-old.conf:1" % (LATER, LATER)
    assert extra.reason == "overrules %s and 1 more at boot" % places


def test_a_secret_is_never_written_where_all_may_read_it() -> None:
    system = FakeSystem()
    system.put(LATER, SECRET + " = 1-2-3-4\n")
    desired = wanted(tcp_fastopen_key=token(SECRET))
    assert own_assignments(desired) != {}
    assert extra_of(system, desired) is None


@pytest.mark.parametrize("name", ["zzz.conf", "zz-91.conf", "zz-a.conf", "\u00e4.conf"])
def test_who_sorts_after_all_of_ours_is_named_not_overruled(name: str) -> None:
    system = FakeSystem()
    system.put("/etc/sysctl.d/" + name, FIN + " = 95\n")
    desired = with_precedence(FIN_30, FILE, seen(system))
    (finding,) = make_plan(desired, seen(system)).findings
    assert (finding.severity, finding.source) == ("error", "/etc/sysctl.d/%s:1" % name)
    put_in_place(system, desired)
    assert decides(system) == ("95", "/etc/sysctl.d/%s:1" % name)


def test_a_dead_key_in_somebody_elses_file_is_excluded() -> None:
    system = FakeSystem()
    system.put("/etc/sysctl.d/10-old.conf", RECYCLE + " = 1\n")
    assert [line.place for line in dead_lines(seen(system))] == ["/etc/sysctl.d/10-old.conf:1"]
    put_in_place(system, with_precedence(FIN_30, FILE, seen(system)))
    assert dead_lines(seen(system)) == ()
    assert decides(system, RECYCLE) is None


@pytest.mark.parametrize("line", ["-%s", "net.ipv4.tcp_tw_* = 1%.0s", "# %s = 1"])
def test_what_sets_no_dead_key_needs_no_exclusion(line: str) -> None:
    system = FakeSystem()
    system.put("/etc/sysctl.d/10-old.conf", line % RECYCLE + "\n")
    assert dead_lines(seen(system)) == ()
    assert extra_of(system) is None


@pytest.mark.parametrize("name", [FILE, "zz-" + FILE])
def test_what_a_file_of_our_name_hides_needs_no_exclusion(name: str) -> None:
    system = FakeSystem()
    system.put("/usr/lib/sysctl.d/" + name, RECYCLE + " = 1\n")
    assert extra_of(system) is None


def test_a_dead_key_in_a_file_after_ours_cannot_be_excluded() -> None:
    system = FakeSystem()
    system.put("/etc/sysctl.d/zzz.conf", RECYCLE + " = 1\n")
    assert extra_of(system) is None


def test_procps_cannot_be_told_to_leave_a_dead_key_out() -> None:
    system = FakeSystem()
    boot_by_procps(system)
    system.put("/etc/sysctl.d/10-old.conf", RECYCLE + " = 1\n")
    assert extra_of(system) is None


def test_who_wants_no_keys_overrules_nobody() -> None:
    system = FakeSystem()
    system.put("/etc/sysctl.d/10-old.conf", RECYCLE + " = 1\n")
    nothing = build(FILE, "", [])
    assert with_precedence(nothing, FILE, seen(system)) == nothing


def test_a_key_that_the_template_leaves_out_is_not_set_behind_its_back() -> None:
    system = FakeSystem()
    system.put(LATER, FIN + " = 95\n")
    keys = [DesiredKey(FIN, "30"), DesiredKey(RETRIES, "8")]
    desired = build(FILE, "%s = 8\n" % RETRIES, keys)
    assert extra_of(system, desired) is None


def test_files_that_an_earlier_run_left_are_not_overruled() -> None:
    system = FakeSystem()
    system.put(LATER, FIN + " = 95\n")
    observed = seen(system, Baseline(files={LATER: system.file_state("/nothing")}))
    assert with_precedence(FIN_30, FILE, observed) == FIN_30


def test_our_own_line_on_the_host() -> None:
    system = FakeSystem()
    assert own_file_assignment(seen(system).keys[FIN], FILE) is None
    system.put(OWN, "%s = 32\n%s = 31\n-%s\n" % (FIN, FIN, FIN))
    system.put(LATER, FIN + " = 95\n")
    line = own_file_assignment(seen(system).keys[FIN], FILE)
    assert line is not None
    assert (line.value, line.place) == ("31", OWN + ":2")


# For every host

LINES = st.sampled_from(
    [
        FIN + " = 30",
        FIN + " = 95",
        "-%s = 96" % FIN,
        "net/ipv4/tcp_fin_timeout = 97",
        "-" + FIN,
        "net.ipv4.tcp_fin_* = 98",
        "-net.ipv4.tcp_*",
        RETRIES + " = 5",
        RECYCLE + " = 1",
        "-" + RECYCLE,
    ]
)
NAMES = ["10-a.conf", "89-a.conf", FILE, "91-b.conf", "99-sysctl.conf", "zz-0.conf", "zz-90-netfleet-tcp.conf0.conf"]
PATHS = st.sampled_from(
    [
        "%s/%s" % (directory, name)
        for directory in ("/etc/sysctl.d", "/usr/lib/sysctl.d")
        for name in [*NAMES, "zzz.conf"]
    ]
    + [SYSCTL_CONF]
)
FILES = st.dictionaries(PATHS, st.lists(LINES, max_size=3), max_size=4)
TUNED = st.sampled_from(["", "1 %s = 15" % FIN, "0 %s = 15" % FIN, "0 %s = >15" % FIN, "1 %s = 9" % RETRIES])


def a_host(files: "dict[str, List[str]]", tuned: str, procps: bool, linked: bool) -> FakeSystem:
    system = FakeSystem()
    if procps:
        boot_by_procps(system)
    for path, lines in files.items():
        if path != OWN:
            system.put(path, "".join(line + "\n" for line in lines))
    if linked and SYSCTL_CONF in files:
        system.put("/etc/sysctl.d/99-sysctl.conf", kind="symlink", target="../sysctl.conf")
    if tuned:
        run_tuned(system, tuned[2:], tuned[0])
    return system


@given(files=FILES, tuned=TUNED, procps=st.booleans(), linked=st.booleans())
def test_ours_decides_at_boot_or_the_plan_says_who(
    files: "dict[str, List[str]]", tuned: str, procps: bool, linked: bool
) -> None:
    system = a_host(files, tuned, procps, linked)
    desired = with_precedence(FIN_30, FILE, seen(system))
    conflicts = [entry for entry in make_plan(desired, seen(system)).findings if entry.subject == "sysctl"]
    put_in_place(system, desired)
    found = decides(system)
    assert (found is not None and found[0] == "30") is (conflicts == []), (found, conflicts, desired.files)


@given(files=FILES, tuned=TUNED, procps=st.booleans(), linked=st.booleans())
def test_a_second_look_finds_the_same(files: "dict[str, List[str]]", tuned: str, procps: bool, linked: bool) -> None:
    system = a_host(files, tuned, procps, linked)
    desired = with_precedence(FIN_30, FILE, seen(system))
    put_in_place(system, desired)
    assert with_precedence(FIN_30, FILE, seen(system)) == desired


@given(files=FILES, tuned=TUNED, procps=st.booleans(), linked=st.booleans())
def test_the_further_file_sets_a_key_only_where_ours_alone_would_lose(
    files: "dict[str, List[str]]", tuned: str, procps: bool, linked: bool
) -> None:
    system = a_host(files, tuned, procps, linked)
    put_in_place(system, FIN_30)
    found = decides(system)
    extra = extra_of(system)
    sets: List[Assignment] = [] if extra is None else list(own_assignments(replace(FIN_30, files=(extra,))).values())
    needed = found is None or found[0] != "30"
    assert any(line.value == "30" for line in sets) is needed, (found, extra)
