# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netfleet.tcp.plugins.module_utils._baseline import baseline_path, load, masked
from ansible_collections.netfleet.tcp.plugins.module_utils._baseline_change import dump, grown, shrunk
from ansible_collections.netfleet.tcp.plugins.module_utils._desired import MANAGED, managed_paths
from ansible_collections.netfleet.tcp.plugins.module_utils._errors import HostError
from ansible_collections.netfleet.tcp.plugins.module_utils._model import (
    Baseline,
    Desired,
    DesiredFile,
    DesiredKey,
    DesiredQdisc,
    FileState,
    Interface,
    ModuleState,
    Observed,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._secrets import Vault

PATH = managed_paths("x.conf")[0]
LINK = managed_paths("x.conf")[-1]
SECRET_KEY = "net.ipv4.tcp_fastopen_key"
FULL = Baseline(
    keys={"a.b": "1", SECRET_KEY: "1-2-3-4"},
    files={PATH: FileState(PATH, "file", 0o640, "text \udcff\n"), LINK: FileState(LINK, "symlink", target="../x")},
    modules=("tcp_bbr",),
    qdiscs={"eth0": "mq fq_codel,sfq"},
)
DESIRED = Desired(
    "x",
    keys=(DesiredKey("a.b", "2"), DesiredKey("c.d", "3"), DesiredKey("not.there", "1")),
    files=(DesiredFile(PATH, text="new"),),
    modules=("tcp_bbr", "sch_fq", "tcp_cubic"),
    qdiscs=(DesiredQdisc("eth0", "fq"), DesiredQdisc("gone0", "fq")),
)


def observed(**more: object) -> Observed:
    modules = {
        "tcp_bbr": ModuleState("tcp_bbr", loadable=True),
        "sch_fq": ModuleState("sch_fq", loaded=True),
        "tcp_cubic": ModuleState("tcp_cubic", builtin=True),
    }
    nic = Interface("eth0", True, True, 1500, 2, "mq", "0:", ("fq_codel", "fq_codel"))
    values = {"keys": {}, "files": {}, "modules": modules, "interfaces": (nic,), **more}
    return Observed("6.1", 1, True, True, "systemd-sysctl", False, **values)  # type: ignore[arg-type]


def test_where_it_stands() -> None:
    assert baseline_path("90-x") == "/var/lib/netfleet-tcp/90-x.baseline.json"


def test_a_file_that_was_written_is_read() -> None:
    assert load("p", dump(FULL)) == FULL
    assert load("p", dump(Baseline())) == Baseline()
    assert load("p", None) == Baseline()


@given(
    st.builds(
        Baseline,
        keys=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
        modules=st.lists(st.text(max_size=5), max_size=2).map(tuple),
        qdiscs=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2),
    )
)
def test_any_baseline_comes_back(baseline: Baseline) -> None:
    assert load("p", dump(baseline)) == baseline


def _changed(**more: object) -> str:
    return json.dumps({**json.loads(dump(FULL)), **more})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "Expecting value"),
        ("not json", "Expecting value"),
        (dump(FULL)[:-20], ""),
        ("[]", ""),
        ("5", ""),
        ("null", ""),
        ("{}", "format"),
        (_changed(format=2), "it was written by another version of netfleet.tcp"),
        (_changed(format=None), "it was written by another version of netfleet.tcp"),
        (_changed(more={}), "Baseline has no field more"),
        (_changed(keys=[]), "a mapping"),
        (_changed(keys={"a": 1}), "int where str belongs"),
        (_changed(files={"a": "b"}), "FileState"),
        (_changed(modules="tcp_bbr"), "a list"),
    ],
)
def test_a_damaged_file_is_refused_by_name(text: str, problem: str) -> None:
    with pytest.raises(HostError) as caught:
        load("/var/x.json", text)
    said = str(caught.value)
    assert said.startswith("/var/x.json: cannot be read as a baseline: ")
    assert problem in said
    assert said.endswith("(restore it, or remove it to start from what runs now)")
    assert "1-2-3-4" not in said


@given(st.text(max_size=40) | st.recursive(st.none() | st.integers(), st.lists, max_leaves=3).map(json.dumps))
def test_any_text_is_read_or_refused(text: str) -> None:
    with pytest.raises(HostError):
        load("p", text)


def test_no_secret_leaves_the_host() -> None:
    path = managed_paths("x.conf")[1]
    state = FileState(path, "file", 0o600, "%s = 1-2-3-4\n" % SECRET_KEY)
    baseline = Baseline(keys={SECRET_KEY: "1-2-3-4", "a.b": "1"}, files={path: state})
    shown = masked(baseline, Vault({}, baseline.keys))
    assert "1-2-3-4" not in repr(shown)
    assert shown.keys["a.b"] == "1"
    assert shown.files[path].mode == 0o600


def test_it_grows_by_what_stands_now() -> None:
    states = {PATH: FileState(PATH, "file", 0o644, "somebody's\n"), "/other": FileState("/other")}
    found = grown(Baseline(), DESIRED, observed(), {"a.b": "1", "c.d": "2", "e.f": "9"}, states, {})
    assert found == Baseline(
        keys={"a.b": "1", "c.d": "2"},
        files={PATH: states[PATH]},
        modules=("tcp_bbr",),
        qdiscs={"eth0": "mq fq_codel"},
    )


def test_what_is_recorded_already_is_not_recorded_again() -> None:
    states = {PATH: FileState(PATH, "file", 0o644, MANAGED + "\na.b = 2\n")}
    found = grown(FULL, DESIRED, observed(), {"a.b": "2", "c.d": "2"}, states, {})
    assert found.keys == {"a.b": "1", SECRET_KEY: "1-2-3-4", "c.d": "2"}
    assert found.files == FULL.files
    assert found.qdiscs == FULL.qdiscs
    assert found.modules == ("tcp_bbr",)


def test_of_a_lost_record_only_what_is_not_ours_is_recorded() -> None:
    states = {PATH: FileState(PATH, "file", 0o644, MANAGED + "\n# why\na/b = 2\n")}
    found = grown(Baseline(), DESIRED, observed(), {"a.b": "2", "c.d": "2"}, states, {})
    assert found.keys == {"c.d": "2"}
    assert found.files == {PATH: FileState(PATH)}


def test_it_shrinks_to_what_is_desired() -> None:
    assert shrunk(FULL, DESIRED) == Baseline({"a.b": "1"}, {PATH: FULL.files[PATH]}, ("tcp_bbr",), FULL.qdiscs)
    assert shrunk(FULL, Desired("x")).empty
