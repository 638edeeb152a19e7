# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""dataclass(frozen=True) of the standard library, at a tenth of its cost.

A module is compiled anew on each host at each run. There, most of what an import takes is the standard decorator, which
writes six methods for each class as source and compiles it: a millisecond a class, of which a look needs thirty. These
methods are written once, and serve all classes; what they do is the same, and fields, replace and asdict work alike.

Measured by `make bench`. Pure.
"""

from __future__ import annotations

import dataclasses
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Callable, Dict, Tuple, Type, TypeVar

__all__ = ["dataclass"]

if TYPE_CHECKING:
    # So that type checkers know what the classes are.
    from dataclasses import dataclass
else:
    _T = TypeVar("_T")

    def dataclass(frozen: bool) -> Callable[[Type[_T]], Type[_T]]:
        """As dataclasses.dataclass(frozen=True). TypeError for any other kind."""
        if frozen is not True:
            raise TypeError("only frozen classes are made here")

        def made(cls: Type[_T]) -> Type[_T]:
            made = dataclasses.dataclass(init=False, repr=False, eq=False)(cls)
            found = dataclasses.fields(made)
            names = tuple(entry.name for entry in found)
            made.__init__ = _init(made.__name__, names, found)
            getter = attrgetter(*names) if len(names) > 1 else None
            values = getter or (lambda self: tuple(getattr(self, name) for name in names))
            made.__eq__ = _eq(values)
            made.__hash__ = lambda self: hash(values(self))
            made.__repr__ = _repr
            made.__setattr__ = made.__delattr__ = _refuse
            return made

        return made


def _init(cls: str, names: Tuple[str, ...], found: Tuple[Any, ...]) -> Callable[..., None]:
    defaults = {entry.name: entry.default for entry in found if entry.default is not dataclasses.MISSING}
    factories = {
        entry.name: entry.default_factory for entry in found if entry.default_factory is not dataclasses.MISSING
    }
    required = [name for name in names if name not in defaults and name not in factories]

    def init(self: Any, *values: Any, **named: Any) -> None:
        # Below the class's own __setattr__, which refuses.
        own: Dict[str, Any] = self.__dict__
        own.update(defaults)
        if len(values) > len(names):
            raise TypeError("%s takes %d values, not %d" % (cls, len(names), len(values)))
        given = dict(zip(names, values))
        for name in named:
            if name in given or name not in names:
                raise TypeError("%s: %s is %s" % (cls, name, "given twice" if name in given else "none of its fields"))
        given.update(named)
        own.update(given)
        for name, factory in factories.items():
            if name not in given:
                own[name] = factory()
        missing = [name for name in required if name not in given]
        if missing:
            raise TypeError("%s lacks %s" % (cls, ", ".join(missing)))

    return init


def _eq(values: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    def eq(self: Any, other: Any) -> Any:
        return values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented

    return eq


def _repr(self: Any) -> str:
    shown = ("%s=%r" % (entry.name, getattr(self, entry.name)) for entry in dataclasses.fields(self))
    return "%s(%s)" % (self.__class__.__qualname__, ", ".join(shown))


def _refuse(_self: Any, name: str, *_value: Any) -> None:
    raise dataclasses.FrozenInstanceError("cannot change field %r" % name)
