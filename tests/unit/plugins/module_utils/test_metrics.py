# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netfleet.tcp.plugins.module_utils._metrics import Metric, Sample, by_label, gauge, of, render

# The text format, as its specification has it: a name, labels whose values are escaped, a number.
LINE = re.compile(r'([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\[\\"n])*",?)*)\})? (\S+)\Z')
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\\n]|\\[\\"n])*)"')


def test_each_metric_has_its_help_and_its_kind_before_its_samples() -> None:
    metrics = [gauge("a_seconds", "How long.", of(0.25, peers="local"), of(3)), Metric("b", "x", (), "counter")]
    assert render(metrics) == (
        "# HELP netfleet_tcp_a_seconds How long.\n"
        "# TYPE netfleet_tcp_a_seconds gauge\n"
        'netfleet_tcp_a_seconds{peers="local"} 0.25\n'
        "netfleet_tcp_a_seconds 3\n"
    )
    assert render([]) == ""


def test_a_help_of_two_lines_stays_one() -> None:
    assert render([gauge("a", "one\ntwo \\ three", of(1))]).splitlines()[0] == (
        "# HELP netfleet_tcp_a one\\ntwo \\\\ three"
    )


@given(st.text() | st.binary().map(lambda raw: raw.decode("utf-8", "surrogateescape")))
def test_whatever_a_process_is_called_the_line_can_be_read(name: str) -> None:
    text = render([gauge("a", "b", of(1, service=name, port="80"))])
    text.encode()
    (line,) = text.splitlines()[2:]
    match = LINE.match(line)
    assert match
    labels = dict(LABEL.findall(match.group(2)))
    assert labels["port"] == "80"
    value = labels["service"].replace("\\n", "\n").replace('\\"', '"').replace("\\\\", "\\")
    assert len(value) <= 100
    if name.isprintable() and len(name) <= 100 and "\\" not in name:
        assert value == name


def test_a_name_of_any_length_is_cut() -> None:
    assert render([gauge("a", "b", of(1, service=300 * "x"))]).splitlines()[-1].count("x") == 100


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**18), 10**18))
def test_a_number_is_read_as_what_it_was(number: float) -> None:
    line = render([gauge("a", "b", of(number))]).splitlines()[-1]
    assert float(line.split()[-1]) == float(number)


@pytest.mark.parametrize(
    "metrics",
    [
        [gauge("a", "b", of(1)), gauge("a", "b", of(2))],
        [gauge("a", "b", of(1, x="y"), of(2, x="y"))],
        # Two names that are one once they are printable.
        [gauge("a", "b", of(1, x="\x01"), of(2, x="\x02"))],
    ],
)
def test_nothing_stands_there_twice(metrics: list[Metric]) -> None:
    with pytest.raises(ValueError, match="stands there twice"):
        render(metrics)


def test_a_value_for_each_label() -> None:
    assert by_label({"a": 1, "b": 2}, "state") == (Sample(1, (("state", "a"),)), Sample(2, (("state", "b"),)))
