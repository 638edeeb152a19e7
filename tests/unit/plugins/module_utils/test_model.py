# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from dataclasses import MISSING, fields
from typing import Any, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.netfleet.tcp.plugins.module_utils import _model
from ansible_collections.netfleet.tcp.plugins.module_utils._model import (
    Assignment,
    Baseline,
    Change,
    ChangeSummary,
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
    Owner,
    Plan,
    Route,
    Routing,
    Waiver,
    from_wire,
    to_wire,
)
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_model import Tunnel, TunnelPeer, TunnelRoute

CLASSES = [
    *(Assignment, KeyState, FileState, ModuleState, Interface, Baseline, Observed, DesiredKey, DesiredFile),
    *(DesiredQdisc, Desired, Change, ChangeSummary, Finding, Plan, Owner, Route, Routing, Waiver),
]


def made(cls: Any) -> st.SearchStrategy[Any]:
    """What has to be given, and a few fields more. The constructors do not say which there are."""
    hints = get_type_hints(cls)
    optional = [entry.name for entry in fields(cls) if not (entry.default is entry.default_factory is MISSING)]
    few = st.sets(st.sampled_from(optional), max_size=3) if optional else st.just(set())
    return few.flatmap(
        lambda more: st.builds(
            cls, **{name: st.from_type(hint) for name, hint in hints.items() if name not in optional or name in more}
        )
    )


for _cls in (*CLASSES, Tunnel, TunnelPeer, TunnelRoute):
    st.register_type_strategy(_cls, made)
DESIRED = {"name": "x", "keys": [{"name": "net.ipv4.tcp_sack", "value": "1"}]}


def test_every_class_of_the_model_is_tried() -> None:
    found = {
        value for value in vars(_model).values() if isinstance(value, type) and value.__module__ == _model.__name__
    }
    assert found == set(CLASSES)


@pytest.mark.parametrize("cls", CLASSES, ids=[cls.__name__ for cls in CLASSES])
@settings(max_examples=15)
@given(data=st.data())
def test_the_wire_carries_everything(cls: Any, data: st.DataObject) -> None:
    value = data.draw(st.from_type(cls))
    sent = json.loads(json.dumps(to_wire(value)))
    assert from_wire(cls, sent) == value


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ({"name": "x", "keyz": []}, "Desired has no field keyz"),
        ({"name": "x", "keys": [{"name": "a", "value": "1", "why": ""}]}, "DesiredKey has no field why"),
        (["name"], "Desired is not a mapping but list"),
        ({"name": "x", "keys": ["a"]}, "DesiredKey is not a mapping but str"),
        ({"name": "x", "keys": [["name", "a"]]}, "DesiredKey is not a mapping but list"),
        ({"name": "x", "keys": None}, "NoneType where a list belongs"),
        ({"name": "x", "modules": "tcp_bbr"}, "str where a list belongs"),
        ({"name": "x", "keys": [{"name": "a", "value": 1}]}, "int where str belongs"),
        ({"name": "x", "files": [{"path": "/a", "mode": "0644"}]}, "str where int belongs"),
        ({"name": "x", "files": [{"path": "/a", "mode": True}]}, "bool where int belongs"),
        ({"name": None}, "NoneType where str belongs"),
    ],
)
def test_what_is_not_a_desired_state(data: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        from_wire(Desired, data)


def test_a_missing_field_is_refused() -> None:
    with pytest.raises(TypeError):
        from_wire(Desired, {})


def test_what_may_be_left_out_has_its_default() -> None:
    found = from_wire(Desired, DESIRED)
    assert found == Desired("x", keys=(DesiredKey("net.ipv4.tcp_sack", "1"),))
    assert found.boot_conflict == "fail"


def test_a_baseline_is_empty_only_without_anything() -> None:
    assert Baseline().empty
    for entry in fields(Baseline):
        value: Any = ("x",) if entry.name == "modules" else {"x": FileState("x") if entry.name == "files" else "y"}
        assert not Baseline(**{entry.name: value}).empty


def test_texts_for_people() -> None:
    assert Assignment("/etc/sysctl.d/1.conf", 3, "1", "01.conf").place == "/etc/sysctl.d/1.conf:3"
    assert str(Finding("sysctl", "k", "error", "is wrong", cure="mend it")) == "k: is wrong (mend it)"
    assert str(Finding("sysctl", "k", "error", "is wrong")) == "k: is wrong"


def test_findings_by_severity() -> None:
    error, note = Finding("s", "a", "error", "x"), Finding("s", "b", "note", "x")
    plan = Plan(findings=(error, note))
    assert (plan.by_severity("error"), plan.by_severity("note"), plan.by_severity("warning")) == ((error,), (note,), ())
