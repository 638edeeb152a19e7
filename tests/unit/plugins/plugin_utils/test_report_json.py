# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from ansible_collections.netfleet.tcp.plugins.module_utils import _rules as rules
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report import compare, from_data, to_data
from ansible_collections.netfleet.tcp.plugins.plugin_utils._report_json import render
from tests.unit.plugins.plugin_utils.sample_report import (
    clean_report,
    compared_report,
    hostile_report,
    large_report,
    small_report,
)
from tests.unit.plugins.plugin_utils.test_report_groups import ANY_TEXT

SCHEMA = json.loads(
    (Path(__file__).parents[4] / "docs" / "schemas" / "drift-report.schema.json").read_text(encoding="utf-8")
)
REPORTS = {
    "clean": clean_report(),
    "small": small_report(),
    "compared": compared_report(),
    "hostile": hostile_report(),
    "large": large_report(hosts=20, findings=200, compared=True),
    "empty": replace(clean_report(), hosts=(), subjects=()),
}


@pytest.fixture(scope="module")
def wrong() -> Callable[[Any], list[str]]:
    """What the published schema finds wrong with data."""
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is in .venv (requirements/dev.in) only")
    validator = jsonschema.Draft202012Validator(SCHEMA)

    def check(data: Any) -> list[str]:
        return [error.message for error in validator.iter_errors(data)]

    return check


def written(report: Any) -> Any:
    return json.loads(render(report))


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_meets_its_schema(wrong: Callable[[Any], list[str]], name: str) -> None:
    assert wrong(written(REPORTS[name])) == []


@pytest.mark.parametrize("name", ["clean", "small", "compared", "large", "empty"])
def test_a_report_is_read_back_as_it_was(name: str) -> None:
    assert from_data(written(REPORTS[name])) == REPORTS[name]


def test_names_that_identify_a_finding_are_never_cut() -> None:
    report = hostile_report(("k" * 5000,), host="h" * 5000)
    now = written(report)
    assert now["findings"][0]["key"] == "k" * 5000
    assert now["findings"][0]["running"] == "k" * 997 + "..."
    comparison = compare(from_data(now), report)
    assert (len(comparison.new), len(comparison.gone), len(comparison.still)) == (0, 0, 1)


def test_a_line_for_each_host_and_finding() -> None:
    report = compared_report()
    lines = render(report).split("\n")
    assert report.comparison
    findings = len(report.findings) + len(report.comparison.new) + len(report.comparison.gone)
    findings += len(report.comparison.still)
    assert len([line for line in lines if line.startswith('{"subject"')]) == findings
    assert len([line for line in lines if line.startswith('{"name"')]) == len(report.hosts)


def change(path: list[Any], value: Any) -> Any:
    """The small report's data with one thing other than it should be."""
    data = written(compared_report())
    place = data
    for step in path[:-1]:
        place = place[step]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return data


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["format"], 2),
        (["format"], None),
        (["started"], "yesterday"),
        (["finished"], "2026-11-22 06:00:09"),
        (["threshold"], "fatal"),
        (["surprise"], 1),
        (["subjects"], ["sysctl", "moon"]),
        (["comparison"], None),
        (["comparison", "new", 0, "severity"], "fatal"),
        (["comparison", "surprise"], 1),
        (["hosts", 0, "status"], "asleep"),
        (["hosts", 0, "checked", "sysctl"], -1),
        (["hosts", 0, "checked", "moon"], 1),
        (["hosts", 0, "name"], None),
        (["findings", 0, "host"], None),
        (["findings", 0, "running"], 60),
        (["findings", 0, "reason"], "x" * 1001),
        (["findings", 0, "rule"], "Sysctl Running"),
        (["findings", 0, "surprise"], "x"),
        (["findings", 0, "waiver"], {"reason": "x"}),
        (["findings", 0, "waiver"], {"reason": "x", "expires": "tomorrow"}),
    ],
)
def test_a_wrong_report_is_refused(wrong: Callable[[Any], list[str]], path: list[Any], value: Any) -> None:
    assert wrong(change(path, value))


def parts(schema: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every schema of an object within a schema."""
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            yield path, schema
        for name, item in schema.items():
            yield from parts(item, "%s/%s" % (path, name))


def test_the_schema_is_one_describes_every_field_and_allows_no_others() -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is in .venv (requirements/dev.in) only")
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    found = dict(parts(SCHEMA))
    assert len(found) == 6
    for path, schema in found.items():
        if "properties" in schema:
            assert schema["additionalProperties"] is False, path
            assert sorted(schema["required"]) == sorted(schema["properties"]), path
            assert [name for name, field in schema["properties"].items() if not field.get("description")] == [], path


def test_the_schema_knows_the_fields_subjects_and_severities_of_the_code() -> None:
    data = to_data(compared_report())
    names = SCHEMA["$defs"]
    assert set(SCHEMA["properties"]) == set(data)
    assert set(names["finding"]["properties"]) == set(data["findings"][0])
    assert set(names["host"]["properties"]) == set(data["hosts"][0])
    assert set(names["comparison"]["properties"]) == set(data["comparison"])
    assert names["subject"]["enum"] == list(rules.SUBJECTS)
    assert names["severity"]["enum"] == list(rules.SEVERITIES)


@settings(max_examples=40)
@given(value=ANY_TEXT)
def test_any_value_can_be_written_and_meets_the_schema(wrong: Callable[[Any], list[str]], value: str) -> None:
    text = render(hostile_report((value, value), host=value))
    assert text.isascii()
    assert wrong(json.loads(text)) == []
    assert render(from_data(json.loads(text))) == text
