# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets in files about kube-proxy stay where they are; what is left is read as YAML, as the controller does."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.netfleet.tcp.plugins.module_utils._kube_masked import rancher_text, unit_text
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_rancher import ConfigFile, read_files

CONFIG = """\
# token: K10commented
token: K10secret::server:abc
"datastore-endpoint": 'postgres://user:secret@db/k3s'
tls-san:
  - secret.example.org
- at the first column: secret
kube-proxy-arg:
- proxy-mode=ipvs
  # secret in a comment
- "ipvs-scheduler=lc"
disable-kube-proxy: false
node-name: edge-1
etcd-s3-access: |
  secret
  kube-proxy-arg: secret
"""


def test_what_is_about_kube_proxy_stays_and_nothing_else() -> None:
    text, known = rancher_text(CONFIG)
    assert known
    assert "secret" not in text
    assert "K10" not in text
    found = yaml.safe_load(text)
    assert found["kube-proxy-arg"] == ["proxy-mode=ipvs", "ipvs-scheduler=lc"]
    assert (found["disable-kube-proxy"], found["node-name"]) == (False, "edge-1")
    others = {"token", "datastore-endpoint", "tls-san", "etcd-s3-access"}
    assert {key for key, value in found.items() if value == "<left out>"} == others


def test_the_controller_reads_it_as_the_whole_file() -> None:
    path = "/etc/rancher/k3s/config.yaml"
    plain = CONFIG.replace("- at the first column: secret\n", "")
    whole = read_files([ConfigFile(path, plain)], "k3s")
    assert whole == read_files([ConfigFile(path, rancher_text(plain)[0])], "k3s")


def test_windows_line_ends_and_several_documents() -> None:
    text, known = rancher_text("---\r\ntoken: abc\r\n---\r\nkube-proxy-arg: x=y\r\n")
    assert known
    assert [*yaml.safe_load_all(text)] == [{"token": "<left out>"}, {"kube-proxy-arg": "x=y"}]


def test_json_is_yaml_too() -> None:
    text, known = rancher_text('{"token": "secret", "kube-proxy-arg": ["proxy-mode=ipvs"]}')
    assert known
    assert yaml.safe_load(text) == {"token": "<left out>", "kube-proxy-arg": ["proxy-mode=ipvs"]}


@pytest.mark.parametrize("text", ["{token: secret, kube-proxy-arg: x}", "secret\n", "? token\n: secret\n", "!secret\n"])
def test_another_form_is_refused_and_not_taken_for_empty(text: str) -> None:
    masked, known = rancher_text(text)
    assert not known
    assert "secret" not in masked
    with pytest.raises(yaml.YAMLError):
        [*yaml.safe_load_all(masked)]


@given(st.text(alphabet="abk-:[]{}'\"#|> \n\t&*!%@\\", max_size=60))
def test_whatever_stands_there_no_value_of_another_key_is_left(text: str) -> None:
    masked, _known = rancher_text(text.replace("k", "") + "\ntoken: k\n k\n")
    assert "k" not in masked.replace("token", "")


def test_the_environment_of_a_unit_is_left_out() -> None:
    own = "Environment=TOKEN=secret OTHER=1 \\\n  MORE=secret\n Environment = A=secret\n"
    text = "[Service]\n%sExecStart=/usr/bin/kube-proxy --v=2\n" % own
    assert unit_text(text) == "[Service]\nEnvironment=\n Environment =\nExecStart=/usr/bin/kube-proxy --v=2\n"
