# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""KubeProxyConfiguration, read and changed.

KUBEADM is written after what kubeadm writes into its ConfigMap; its fields are those of the recorded configuration
(test_kube_recorded).
"""

from __future__ import annotations

import pytest
import yaml

from ansible_collections.netfleet.tcp.plugins.module_utils._errors import InputError
from ansible_collections.netfleet.tcp.plugins.module_utils._kube_settings import checked
from ansible_collections.netfleet.tcp.plugins.plugin_utils._kube_configuration import read_configuration, with_settings

WHERE = "ConfigMap kube-system/kube-proxy, config.conf"
HEAD = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n"
KUBEADM = """\
apiVersion: kubeproxy.config.k8s.io/v1alpha1
bindAddress: 0.0.0.0
bindAddressHardFail: false
clientConnection:
  acceptContentTypes: ""
  burst: 0
  contentType: ""
  kubeconfig: /var/lib/kube-proxy/kubeconfig.conf
  qps: 0
clusterCIDR: 10.244.0.0/16
configSyncPeriod: 0s
conntrack:
  maxPerCore: null
  min: null
  tcpBeLiberal: false
  tcpCloseWaitTimeout: null
  tcpEstablishedTimeout: null
  udpStreamTimeout: 0s
  udpTimeout: 0s
detectLocal:
  bridgeInterface: ""
  interfaceNamePrefix: ""
detectLocalMode: ""
enableProfiling: false
healthzBindAddress: ""
hostnameOverride: ""
iptables:
  localhostNodePorts: null
  masqueradeAll: false
  masqueradeBit: null
  minSyncPeriod: 0s
  syncPeriod: 0s
ipvs:
  excludeCIDRs: null
  minSyncPeriod: 0s
  scheduler: ""
  strictARP: false
  syncPeriod: 0s
  tcpFinTimeout: 0s
  tcpTimeout: 0s
  udpTimeout: 0s
kind: KubeProxyConfiguration
logging:
  flushFrequency: 0
  options:
    json:
      infoBufferSize: "0"
  verbosity: 0
metricsBindAddress: ""
mode: ""
nftables:
  masqueradeAll: false
  masqueradeBit: null
  minSyncPeriod: 0s
  syncPeriod: 0s
nodePortAddresses: null
oomScoreAdj: null
portRange: ""
showHiddenMetricsForVersion: ""
winkernel:
  enableDSR: false
  forwardHealthCheckVip: false
  networkName: ""
  rootHnsEndpointName: ""
  sourceVip: ""
"""
IPVS = checked(
    {"mode": "ipvs", "ipvs.scheduler": "lc", "ipvs.strictARP": True, "ipvs.excludeCIDRs": ["10.9.0.0/16"]}, "want"
)


def test_what_kubeadm_writes_is_read() -> None:
    found = read_configuration(KUBEADM, WHERE)
    assert found["ipvs.strictARP"] is False
    assert found["ipvs.tcpTimeout"] == "0s"
    assert not {"mode", "ipvs.scheduler", "ipvs.excludeCIDRs", "conntrack.min", "featureGates"} & set(found)


def test_only_the_wanted_fields_change() -> None:
    changed = with_settings(KUBEADM, IPVS, WHERE)
    expected = yaml.safe_load(KUBEADM)
    expected["mode"] = "ipvs"
    expected["ipvs"].update(scheduler="lc", strictARP=True, excludeCIDRs=["10.9.0.0/16"])
    assert yaml.safe_load(changed) == expected
    assert list(yaml.safe_load(changed)) == list(expected)
    differing = set(changed.splitlines()) ^ set(KUBEADM.splitlines())
    assert {line.strip().split(":")[0] for line in differing} == {
        "mode",
        "scheduler",
        "strictARP",
        "excludeCIDRs",
        "- 10.9.0.0/16",
    }


def test_a_second_time_nothing_changes_not_even_comments() -> None:
    changed = "# by hand\n" + with_settings(KUBEADM, IPVS, WHERE)
    assert with_settings(changed, IPVS, WHERE) == changed
    same_length = checked({"ipvs.tcpTimeout": "0ms"}, "want")
    assert with_settings(changed, same_length, WHERE) == changed


def test_what_is_not_known_here_is_kept() -> None:
    text = HEAD + "windows:\n  runAsService: true\nipvs:\n  colour: 0x1f\nnewThing: [1, {a: 'yes'}]\nport: '010'\n"
    after = yaml.safe_load(with_settings(text, IPVS, WHERE))
    before = yaml.safe_load(text)
    assert {key: after[key] for key in before if key != "ipvs"} == {
        key: value for key, value in before.items() if key != "ipvs"
    }
    assert after["ipvs"]["colour"] == 31
    assert (after["port"], after["newThing"][1]["a"]) == ("010", "yes")


def test_values_of_ansible_are_written_as_what_they_are() -> None:
    """Its variables are of classes of its own, below those of Python: they remember where they were written."""

    class Text(str):
        __slots__ = ()

    class Number(int):
        pass

    want = {"mode": Text("nftables"), "conntrack.min": Number(5), "featureGates": {Text("One"): True}}
    assert yaml.safe_load(with_settings(KUBEADM, want, WHERE)) == {
        **yaml.safe_load(KUBEADM),
        "mode": "nftables",
        "conntrack": {**yaml.safe_load(KUBEADM)["conntrack"], "min": 5},
        "featureGates": {"One": True},
    }


def test_missing_sections_are_made() -> None:
    assert yaml.safe_load(with_settings(HEAD + "conntrack: null\n", {"conntrack.min": 0}, WHERE))["conntrack"] == {
        "min": 0
    }
    assert yaml.safe_load(with_settings(HEAD, IPVS, WHERE))["ipvs"]["scheduler"] == "lc"


def test_feature_gates_of_others_stay() -> None:
    text = HEAD + "featureGates:\n  Other: true\n"
    assert read_configuration(text, WHERE) == {"featureGates": {"Other": True}}
    changed = with_settings(text, {"featureGates": {"KubeProxyIPVS": True}}, WHERE)
    assert read_configuration(changed, WHERE) == {"featureGates": {"Other": True, "KubeProxyIPVS": True}}


def test_windows_line_ends_and_a_byte_order_mark_do_no_harm() -> None:
    text = "\ufeff" + KUBEADM.replace("\n", "\r\n")
    assert read_configuration(text, WHERE) == read_configuration(KUBEADM, WHERE)
    assert with_settings(text, IPVS, WHERE) == with_settings(KUBEADM, IPVS, WHERE)


def test_other_documents_are_kept() -> None:
    text = "kind: Other\na: 1\n---\n" + HEAD + "---\n"
    documents = list(yaml.safe_load_all(with_settings(text, {"mode": "ipvs"}, WHERE)))
    assert documents[0] == {"kind": "Other", "a": 1}
    assert documents[1]["mode"] == "ipvs"
    assert len(documents) == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "has none of the kind KubeProxyConfiguration in its 0 documents"),
        ("just words", "has none of the kind KubeProxyConfiguration in its 1 documents"),
        ("kind: Config\napiVersion: v1\n", "has none of the kind"),
        (HEAD + "---\n" + HEAD, "has 2 of the kind KubeProxyConfiguration in its 2 documents"),
        (HEAD + "ipvs: {", "is not YAML: line 3, column 8: "),
        (HEAD + "mode: ipvs\nmode: iptables\n", "is not YAML: line 4, column 1: mode is given twice"),
        (HEAD + "mode: !!python/object:os.system x\n", "is not YAML: line 3, column 7: "),
        (HEAD + "mode: \x07\n", "is not YAML: "),
        ("[" * 600, "is not YAML that can be read: "),
        ("#" * (2**20 + 1), "is longer than a megabyte"),
        (HEAD.replace("v1alpha1", "v1alpha2"), "apiVersion: 'kubeproxy.config.k8s.io/v1alpha2' is not known"),
        (HEAD + "mode: 5\n", "mode: 5 is not a text"),
        (HEAD + "mode: userspace\n", "mode: 'userspace' is not one of"),
        (HEAD + "ipvs: [rr]\n", "ipvs: ['rr'] is not a mapping"),
        (HEAD + "ipvs:\n  tcpTimeout: 900\n", "ipvs.tcpTimeout: 900 is not a duration"),
        (HEAD + "ipvs:\n  strictARP: 'true'\n", "ipvs.strictARP: 'true' is not true or false"),
        (HEAD + "ipvs:\n  excludeCIDRs: 10.0.0.0/8\n", "ipvs.excludeCIDRs: '10.0.0.0/8' is not a list of networks"),
        (HEAD + "featureGates: KubeProxyIPVS=true\n", "featureGates: 'KubeProxyIPVS=true' is not feature gates"),
    ],
)
def test_what_cannot_be_read_is_refused_with_place_and_field(text: str, expected: str) -> None:
    for attempt in (lambda: read_configuration(text, WHERE), lambda: with_settings(text, IPVS, WHERE)):
        with pytest.raises(InputError) as caught:
            attempt()
        assert str(caught.value).startswith(WHERE + (": " if ": " + expected in str(caught.value) else ""))
        assert expected in str(caught.value)


def test_all_wrong_fields_are_told_at_once() -> None:
    with pytest.raises(InputError) as caught:
        read_configuration(HEAD + "mode: 5\nconntrack: 3\nipvs: {scheduler: 7}\n", WHERE)
    assert sorted(problem.path for problem in caught.value.problems) == [
        WHERE + ": conntrack",
        WHERE + ": ipvs.scheduler",
        WHERE + ": mode",
    ]
