# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics in the text format that Prometheus reads, and node_exporter takes from its textfile directory. Pure.

One value that is no UTF-8, or a name that is none, would have node_exporter refuse the whole file: so labels are made
printable, and cut. Source: the exposition format of Prometheus, version 0.0.4.
"""

from __future__ import annotations

from typing import Dict, Iterable, Mapping, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass

PREFIX = "netfleet_tcp_"
# Letters of a label's value; systemd's names have up to 255.
_LONGEST = 100
_IN_HELP = str.maketrans({"\\": r"\\", "\n": r"\n"})
_IN_LABEL = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


@dataclass(frozen=True)
class Sample:
    """One value, in the base unit that the metric's name ends with. labels: in their order, each with its value."""

    value: float
    labels: Tuple[Tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Metric:
    """All samples of one name. kind: gauge or counter."""

    name: str
    help: str
    samples: Tuple[Sample, ...]
    kind: str = "gauge"


def gauge(name: str, text: str, *samples: Sample) -> Metric:
    """A metric of ours. name: without PREFIX."""
    return Metric(PREFIX + name, text, samples)


def of(value: float, **labels: str) -> Sample:
    """A value with its labels."""
    return Sample(value, tuple(labels.items()))


def by_label(values: Mapping[str, float], label: str) -> Tuple[Sample, ...]:
    """A value for each of the label's."""
    return tuple(Sample(value, ((label, name),)) for name, value in values.items())


def render(metrics: Iterable[Metric]) -> str:
    """The text; metrics without a sample are left out. ValueError where one would stand there twice."""
    lines = []
    names = set()
    for metric in metrics:
        if metric.name in names:
            raise ValueError("%s stands there twice" % metric.name)
        names.add(metric.name)
        found: Dict[str, str] = {}
        for sample in metric.samples:
            labels = ",".join('%s="%s"' % (name, _label(value)) for name, value in sample.labels)
            key = "%s{%s}" % (metric.name, labels) if labels else metric.name
            if key in found:
                raise ValueError("%s stands there twice" % key)
            found[key] = _number(sample.value)
        if found:
            lines.append("# HELP %s %s" % (metric.name, metric.help.translate(_IN_HELP)))
            lines.append("# TYPE %s %s" % (metric.name, metric.kind))
            lines += ["%s %s" % entry for entry in found.items()]
    return "\n".join(lines) + "\n" if lines else ""


def _label(value: str) -> str:
    # Names of processes and units are bytes, which anybody chooses.
    printable = value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else "?" for letter in printable[:_LONGEST]).translate(_IN_LABEL)


def _number(value: float) -> str:
    # Whole numbers without a point; repr() of others is the shortest text that is read as the same number.
    return str(int(value)) if value == int(value) and abs(value) < 1 << 53 else repr(float(value))
