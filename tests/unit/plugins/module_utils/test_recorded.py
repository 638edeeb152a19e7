# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host knows by itself of how far its declarations hold: after a change of ours, and after somebody else's."""

from __future__ import annotations

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._baseline import STATE_DIRECTORY, baseline_path
from ansible_collections.netfleet.tcp.plugins.module_utils._begin import Terms
from ansible_collections.netfleet.tcp.plugins.module_utils._confirmed import take_back
from ansible_collections.netfleet.tcp.plugins.module_utils._desired import ROLE_DECLARATION, build
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError
from ansible_collections.netfleet.tcp.plugins.module_utils._metrics import render
from ansible_collections.netfleet.tcp.plugins.module_utils._model import Desired, DesiredKey, DesiredQdisc, Interface
from ansible_collections.netfleet.tcp.plugins.module_utils._recorded import (
    BOOT,
    FILES,
    RUNNING,
    Difference,
    Recorded,
    tuning,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._rollback import LAST, rollback
from ansible_collections.netfleet.tcp.plugins.module_utils._secrets import token
from ansible_collections.netfleet.tcp.plugins.module_utils._transaction import apply
from ansible_collections.netfleet.tcp.plugins.module_utils._tuning_metrics import tuning_metrics
from tests.unit.plugins.fake_system import CONGESTION_CONTROL, DEFAULT_QDISC, FakeSystem
from tests.unit.plugins.other_services import run_tuned

FILE = "90-netfleet-tcp.conf"
PATH = "/etc/sysctl.d/" + FILE
FIN, RMEM = "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_rmem"
SECRET_KEY, SECRET = "net.ipv4.tcp_fastopen_key", "5ec2e7ed-5ec2e7ed-5ec2e7ed-5ec2e7ed"
KEYS = {
    FIN: "30",
    RMEM: "4096 131072 33554432",
    CONGESTION_CONTROL: "bbr",
    DEFAULT_QDISC: "fq",
    SECRET_KEY: token(SECRET_KEY),
}


def declared(keys: dict[str, str], name: str = ROLE_DECLARATION) -> Desired:
    text = "# Managed by netfleet.tcp\n# profile: cloud; workloads: ha, proxy\n" + "".join(
        "%s = %s\n" % (key, value) for key, value in keys.items() if key != SECRET_KEY
    )
    return build(
        file_name=FILE,
        text=text,
        keys=[DesiredKey(key, value, "because") for key, value in keys.items()],
        modules=("tcp_bbr", "sch_fq"),
        qdiscs=[DesiredQdisc("eth0", "fq", "because")],
        interfaces=[Interface("eth0", True, True, 1500, 1, "fq_codel")],
        congestion_control="bbr",
        name=name,
    )


def tuned() -> FakeSystem:
    """A host that was tuned, with nothing changed since."""
    host = FakeSystem()
    host.add_interface("eth0")
    apply(host, declared(KEYS), {SECRET_KEY: SECRET}, Terms())
    return host


def only(host: FakeSystem) -> Recorded:
    (found,) = tuning(host).declarations
    return found


def test_a_host_that_nobody_tuned_knows_of_nothing() -> None:
    found = tuning(FakeSystem())
    assert (found.declarations, found.pending, found.last) == ((), None, None)


def test_after_a_change_nothing_differs_and_the_profile_is_known() -> None:
    found = only(tuned())
    assert (found.declaration, found.profile, found.workloads) == (ROLE_DECLARATION, "cloud", "ha,proxy")
    assert found.differences == ()
    assert found.compared == {RUNNING: 8, BOOT: 7, FILES: 5}


def test_looking_changes_nothing_on_the_host() -> None:
    host = tuned()
    before, steps = host.snapshot(), len(host.steps)
    tuning(host)
    assert (host.snapshot(), len(host.steps)) == (before, steps)


def test_each_kind_of_drift_is_told_from_the_others() -> None:
    host = tuned()
    host.sysctls[FIN] = "60"
    host.interfaces["eth0"].qdisc = "fq_codel"
    host.put("/etc/sysctl.d/99-mine.conf", "net.ipv4.tcp_rmem = 4096 87380 6291456\n")
    host.put(PATH, host.files[PATH].text.replace("= bbr", "= cubic"))
    found = only(host)
    assert set(found.differences) == {
        Difference(RUNNING, FIN),
        Difference(RUNNING, "eth0"),
        Difference(BOOT, RMEM),
        Difference(BOOT, CONGESTION_CONTROL),
        Difference(FILES, PATH),
    }


def test_a_secret_that_runs_otherwise_is_drift_and_is_not_shown() -> None:
    host = tuned()
    host.sysctls[SECRET_KEY] = "1-2-3-4"
    found = tuning(host)
    assert found.declarations[0].differences == (Difference(RUNNING, SECRET_KEY),)
    text = render(tuning_metrics(found, 10))
    assert "1-2-3-4" not in text
    assert SECRET[:8] not in text


def test_a_file_that_is_gone_is_missed_even_where_nobody_remembers_what_was_in_it() -> None:
    host = tuned()
    del host.files[PATH]
    for path in [path for path in host.files if path.startswith(STATE_DIRECTORY + "/history")]:
        del host.files[path]
    found = only(host)
    assert Difference(FILES, PATH) in found.differences
    assert found.profile == ""
    # What it had set is not known any more, so it cannot be said to differ.
    assert Difference(RUNNING, FIN) not in found.differences


def test_a_file_that_is_gone_is_known_by_the_record_of_the_change() -> None:
    host = tuned()
    del host.files[PATH]
    found = only(host)
    assert found.profile == "cloud"
    assert Difference(FILES, PATH) in found.differences
    assert Difference(BOOT, FIN) in found.differences
    assert Difference(RUNNING, FIN) not in found.differences


def test_after_a_rollback_what_stood_before_is_what_is_wanted() -> None:
    host = tuned()
    apply(host, declared({**KEYS, FIN: "15"}), {SECRET_KEY: SECRET}, Terms())
    assert host.sysctls[FIN] == "15"
    rollback(host, LAST, Terms())
    assert host.sysctls[FIN] == "30"
    assert only(host).differences == ()
    host.sysctls[FIN] = "15"
    assert only(host).differences == (Difference(RUNNING, FIN),)


def test_a_change_that_was_taken_back_says_what_its_files_were_before() -> None:
    host = tuned()
    for path in [path for path in host.files if path.startswith(STATE_DIRECTORY + "/history")]:
        # So long ago that it is forgotten.
        del host.files[path]
    last = apply(host, declared({**KEYS, FIN: "15"}), {SECRET_KEY: SECRET}, Terms(60)).pending
    assert last
    take_back(host, last.id, "a test")
    assert only(host).differences == ()
    host.put(PATH, host.files[PATH].text.replace("= 30", "= 31"))
    assert set(only(host).differences) == {Difference(FILES, PATH), Difference(BOOT, FIN)}


def test_a_service_that_has_the_last_word_at_boot_is_seen() -> None:
    host = tuned()
    run_tuned(host, FIN + " = 20", reapply="0")
    assert only(host).differences == (Difference(BOOT, FIN),)


def test_a_declaration_that_was_taken_away_is_not_judged() -> None:
    host = tuned()
    apply(host, Desired(ROLE_DECLARATION, watched=declared(KEYS).watched), {}, Terms())
    assert tuning(host).declarations == ()


def test_an_interface_that_is_gone_differs() -> None:
    host = tuned()
    del host.interfaces["eth0"]
    assert only(host).differences == (Difference(RUNNING, "eth0"),)


def test_a_damaged_record_is_named() -> None:
    host = tuned()
    host.put(baseline_path(ROLE_DECLARATION), "{", 0o600)
    with pytest.raises(HostError, match=r"role:tcp_tuning\.baseline\.json: cannot be read as a baseline"):
        tuning(host)


def test_a_record_of_another_version_does_not_end_the_look() -> None:
    host = tuned()
    host.put(STATE_DIRECTORY + "/history/000000-x.json", '{"format": 99}', 0o600)
    assert only(host).differences == ()


def test_metrics_name_what_differs_and_count_what_is_cut() -> None:
    host = tuned()
    for key in (FIN, RMEM):
        host.sysctls[key] = "1 1 1" if key == RMEM else "1"
    host.sysctls[CONGESTION_CONTROL] = "cubic"
    text = render(tuning_metrics(tuning(host), 2))
    assert 'netfleet_tcp_drift{declaration="role:tcp_tuning",where="running"} 3' in text
    assert 'netfleet_tcp_drift{declaration="role:tcp_tuning",where="boot"} 0' in text
    assert text.count("netfleet_tcp_drift_info{") == 2
    assert "netfleet_tcp_drift_not_shown 1\n" in text
    assert 'declaration_info{declaration="role:tcp_tuning",profile="cloud",workloads="ha,proxy"} 1' in text
    assert "netfleet_tcp_change_pending 0" in text


def test_metrics_say_which_change_was_the_last_and_which_waits() -> None:
    host = tuned()
    last = tuning(host).last
    assert last
    text = render(tuning_metrics(tuning(host), 2))
    assert 'last_change_info{change="%s",declaration="role:tcp_tuning",outcome="confirmed"} 1' % last.id in text
    # 2026-11-25T12:00:00Z and a few seconds, by the host's clock.
    assert "netfleet_tcp_last_change_timestamp_seconds 17956080" in text
    apply(host, declared({**KEYS, FIN: "15"}), {SECRET_KEY: SECRET}, Terms(60))
    assert "netfleet_tcp_change_pending 1" in render(tuning_metrics(tuning(host), 2))


def test_a_boot_that_nobody_sets_keys_at_is_not_compared() -> None:
    host = tuned()
    del host.files["/usr/lib/systemd/systemd-sysctl"]
    found = only(host)
    assert found.compared[BOOT] == 0
    assert [entry for entry in found.differences if entry.where == BOOT] == []
