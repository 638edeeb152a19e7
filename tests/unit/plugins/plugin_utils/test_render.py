# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netfleet.tcp.plugins.module_utils._profiles import PROFILES, WORKLOADS
from ansible_collections.netfleet.tcp.plugins.plugin_utils._render import (
    SUMMARY,
    Rendered,
    assumed,
    describe_size,
    rendering,
)
from tests.unit.plugins.plugin_utils.a_host import MODULES, OWN, declared, rendered

KEY = "00112233-44556677-8899aabb-ccddeeff"
LINT = "{extends: default, rules: {line-length: disable}}"
DECLARATIONS = st.fixed_dictionaries(
    {
        "profile": st.sampled_from(sorted(PROFILES)),
        "workloads": st.lists(st.sampled_from(sorted(WORKLOADS)), unique=True, max_size=3),
        "fast_open": st.sampled_from(["profile", "both", "off"]),
        "unsupported": st.sampled_from(["fail", "warn"]),
    }
)


def render(variables: tuple[str, ...] = (), **given_: Any) -> tuple[Rendered, ...]:
    declaration = declared(**given_)
    observed = assumed(declaration.intent)
    resolved = declaration.resolve(observed)
    return rendering(declaration.intent, resolved, declaration.desired(observed, resolved, rendered), variables)


def summary(files: tuple[Rendered, ...]) -> dict[str, Any]:
    data = yaml.safe_load(files[0].text)
    assert isinstance(data, dict)
    return data


@given(DECLARATIONS)
def test_every_declaration_can_be_rendered_and_always_in_the_same_way(given_: dict[str, Any]) -> None:
    files = render(**given_)
    assert files == render(**given_)
    assert files[0].path == SUMMARY
    paths = [entry.path for entry in files[1:]]
    assert paths == sorted(set(paths))
    assert OWN.lstrip("/") in paths
    assert not any(path.startswith("/") for path in paths)


@given(DECLARATIONS)
def test_a_host_without_bounds_lacks_nothing(given_: dict[str, Any]) -> None:
    """What is rendered is what is declared: the assumed host has every key, algorithm and qdisc, and no limit."""
    declaration = declared(**given_)
    resolved = declaration.resolve(assumed(declaration.intent))
    assert not [finding for finding in resolved.findings if finding.rule == "unsupported"]
    assert {choice.key for choice in declaration.intent.choices} <= {choice.key for choice in resolved.choices}
    assert resolved.congestion_control == declaration.intent.congestion_control[0]


@pytest.fixture(scope="module")
def lint() -> Callable[[str], list[str]]:
    """What yamllint finds wrong with a document."""
    linter = pytest.importorskip("yamllint.linter", reason="yamllint is in .venv (requirements/dev.in) only")
    rules = importlib.import_module("yamllint.config").YamlLintConfig(LINT)
    return lambda text: [str(problem) for problem in linter.run(text, rules)]


@given(DECLARATIONS, st.lists(st.text(max_size=200), max_size=3))
def test_the_summary_is_yaml_that_a_linter_takes(
    lint: Callable[[str], list[str]], given_: dict[str, Any], said: list[str]
) -> None:
    files = render(tuple(said), **given_)
    assert lint(files[0].text) == []
    data = summary(files)
    assert data["warnings"][len(data["warnings"]) - len(said) :] == said
    assert data["profile"] == given_["profile"]
    assert data["congestion_control"] == list(declared(**given_).intent.congestion_control)


@pytest.mark.parametrize(
    ("given_", "words"),
    [
        ({"congestion_control": ["bbr", "cubic"]}, "the first of bbr, cubic"),
        ({"memory_share": 0.1}, "at most 10 % of its memory"),
        ({"workloads": ["proxy"]}, "listeners in the wider port range are reserved"),
        ({"qdisc": "fq"}, "qdisc fq: on its interfaces"),
        ({}, "higher by itself stay higher"),
    ],
)
def test_what_is_left_to_the_host_is_said(given_: dict[str, Any], words: str) -> None:
    assert words in "; ".join(summary(render(**given_))["decided_on_the_host"])


@pytest.mark.parametrize(
    ("given_", "words"),
    [
        ({"congestion_control": ["cubic"]}, "congestion control"),
        ({"qdisc": "fq", "qdisc_interfaces": ["eth0"]}, "qdisc"),
        ({"force": True}, "stay higher"),
    ],
)
def test_what_the_declaration_decides_is_not_left_to_the_host(given_: dict[str, Any], words: str) -> None:
    assert words not in "; ".join(summary(render(**given_))["decided_on_the_host"])


def test_interfaces_that_are_named_get_their_unit_and_its_link() -> None:
    files = render(qdisc="fq", qdisc_interfaces=["eth0", "eth1"])
    units = {entry.path: entry for entry in files if "systemd" in entry.path}
    unit = units["etc/systemd/system/90-netfleet-tcp-qdisc.service"]
    assert "dev eth0" in unit.text
    assert "dev eth1" in unit.text
    link = units["etc/systemd/system/multi-user.target.wants/90-netfleet-tcp-qdisc.service"]
    assert (link.target, link.text) == ("../90-netfleet-tcp-qdisc.service", "")


def test_a_secret_is_a_token() -> None:
    files = render(fast_open="both", fast_open_key=KEY)
    secret = next(entry for entry in files if entry.path.endswith("-secret.conf"))
    assert "net.ipv4.tcp_fastopen_key = <secret net.ipv4.tcp_fastopen_key>" in secret.text
    everything = "".join(entry.text for entry in files)
    assert not [part for part in (KEY, *KEY.split("-")) if part in everything]


def test_nothing_is_left_of_a_declaration_that_is_taken_back() -> None:
    files = render(state="absent")
    assert [entry.path for entry in files] == [SUMMARY]


def test_declared_buffers_are_rendered_even_where_kernels_may_have_more() -> None:
    """A kernel's own maximum, 6 MiB or more, is not known here, so nothing is said of it."""
    own = next(entry.text for entry in render(bandwidth="10Gbit", rtt="1ms") if entry.path == OWN.lstrip("/"))
    values = dict(line.split(" = ") for line in own.splitlines() if " = " in line)
    assert values["net.ipv4.tcp_rmem"].split()[2] == values["net.core.rmem_max"] == "4194304"


def test_modules_are_those_of_the_first_choice() -> None:
    files = {entry.path: entry.text for entry in render(congestion_control=["bbr", "cubic"], qdisc="fq")}
    assert files[MODULES.lstrip("/")].splitlines()[1:] == ["sch_fq", "tcp_bbr"]


def test_size_in_words() -> None:
    assert describe_size((Rendered("a", "x" * 1024), Rendered("b", target="a"))) == "2 files, 1 KiB"
