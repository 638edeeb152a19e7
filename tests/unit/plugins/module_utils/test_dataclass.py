# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Most of these run with the standard decorator too: what they say of ours is what the standard one does."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import Any, Dict, Tuple

import pytest

from ansible_collections.netfleet.tcp.plugins.module_utils._dataclass import dataclass as ours


@ours(frozen=True)
class Point:
    """At the top of the module, so that it can be pickled."""

    x: int
    y: int = 2


@pytest.fixture(params=[ours, dataclasses.dataclass], ids=["ours", "standard"])
def pair(request: pytest.FixtureRequest) -> Any:
    class Pair:
        """Fields of each kind."""

        one: int
        other: str = "other"
        more: Dict[str, int] = dataclasses.field(default_factory=dict)

        @property
        def both(self) -> str:
            """Of two."""
            return "%s %s" % (self.one, self.other)

    return request.param(frozen=True)(Pair)


def test_values_by_place_and_by_name(pair: Any) -> None:
    assert (pair(1).one, pair(1).other, pair(1).more, pair(1).both) == (1, "other", {}, "1 other")
    assert pair(1, "x").other == pair(one=1, other="x").other == "x"
    assert pair(1).more is not pair(1).more


@pytest.mark.parametrize(
    ("values", "named"), [((), {}), ((1, "x", {}, 4), {}), ((1,), {"one": 2}), ((1,), {"none": 2})]
)
def test_values_that_do_not_fit(pair: Any, values: Tuple[Any, ...], named: Dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        pair(*values, **named)


def test_no_field_can_be_changed(pair: Any) -> None:
    made = pair(1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.one = 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        del made.one
    assert made.one == 1


def test_the_same_values_are_the_same(pair: Any) -> None:
    assert pair(1) == pair(1, "other", {})
    assert pair(1) != pair(2)
    assert pair(1) != (1, "other", {})
    with pytest.raises(TypeError, match="unhashable"):
        hash(pair(1))


def test_what_the_standard_library_does_with_fields(pair: Any) -> None:
    made: Any = pair(1, more={"a": 1})
    assert dataclasses.asdict(made) == {"one": 1, "other": "other", "more": {"a": 1}}
    assert dataclasses.replace(made, one=2) == pair(2, more={"a": 1})
    assert copy.deepcopy(made) == made
    assert dataclasses.is_dataclass(pair)
    assert repr(made).endswith("Pair(one=1, other='other', more={'a': 1})")


def test_hashed_and_pickled() -> None:
    assert len({Point(1), Point(1, 2), Point(2)}) == 2
    assert pickle.loads(pickle.dumps(Point(1))) == Point(1)


def test_a_class_inherits_fields() -> None:
    @ours(frozen=True)
    class Space(Point):
        """One more field."""

        z: int = 3

    assert dataclasses.astuple(Space(1)) == (1, 2, 3)
    assert Space(1) != Point(1)


def test_only_frozen_classes_are_made() -> None:
    with pytest.raises(TypeError, match="only frozen"):
        ours(frozen=False)
