# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How large the packets are that get through to an address. Pure but for the echoes that are handed in (see _icmp).

Asked by echoes that nobody may fragment, so a router that drops what is too large and says nothing of it is found too.
Sizes are tried at which the MTU of a tunnel would be another one, and no others: what lies between makes no difference,
and cannot make one from run to run.
"""

from __future__ import annotations

import dataclasses
import time
from typing import Callable, Dict, Iterable, List, Sequence, Tuple

from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_values import OVERHEAD, PADDING

# Which (address, bytes of an IP packet) are answered within so many seconds, and in how many each.
Echo = Callable[[Sequence[Tuple[str, int]], float], Dict[Tuple[str, int], float]]

# Bytes of the smallest packet that is tried, but for the one that shows whether anybody answers.
LOWEST = 1280
_SMALL = 128
# No IP packet is larger, though the MTU of loopback is.
_LARGEST = 65535
# Seconds for all of it; for the first answer; and, from the time that it took, for those that follow.
_SECONDS = 6.0
_FIRST = 1.0
_SHORTEST, _LONGEST = 0.2, 0.8
# Sizes that are tried at once for each address: fewer rounds, and no burst that a slow line would drop.
_AT_ONCE = 4
# More would take longer than they may; those that come first stand for the rest.
MOST_ADDRESSES = 64


@dataclasses.dataclass
class _Path:
    """What is known of one: of its sizes, how many get through, and how many are too large, twice in a row."""

    sizes: Tuple[int, ...]
    good: int = 0
    bad: int = 0
    confirmed: bool = False

    def to_try(self) -> List[int]:
        """The sizes of the next round; none where there is nothing left to find out."""
        open_ = self.bad - self.good
        if open_ > 0:
            count = min(_AT_ONCE, open_)
            # Evenly over what is open, the largest among them: mostly it gets through, and that is all.
            return [self.good + -(-open_ * part // count) - 1 for part in range(1, count + 1)]
        return [] if self.confirmed or self.good == len(self.sizes) else [self.good]

    def learn(self, tried: List[int], answered: List[int]) -> None:
        """What a round has shown. That a size is too large may be a loss, so where it ends is tried once more."""
        again = self.good == self.bad
        self.good = max([self.good, *(index + 1 for index in answered)])
        failed = [index for index in tried if index >= self.good]
        if again:
            self.confirmed = not answered
            # It was a loss after all: what lies above it is open again.
            self.bad = self.good if self.confirmed else len(self.sizes)
        else:
            self.bad = min([self.bad, *failed]) if failed else max(self.bad, self.good)


def sizes(address: str, highest: int) -> Tuple[int, ...]:
    """Bytes of packets that a tunnel to an address may send, ascending: those of an MTU that is a multiple of 16."""
    overhead = OVERHEAD[6 if ":" in address else 4]
    first = overhead + -(-(LOWEST - overhead) // PADDING) * PADDING
    return tuple(range(first, min(highest, _LARGEST) + 1, PADDING))


def path_mtus(
    echo: Echo, addresses: Iterable[str], highest: int, clock: Callable[[], float] = time.monotonic
) -> Dict[str, int]:
    """By address, the bytes of the largest packet of a tunnel that gets through; 0 where nobody answers, or too slowly.

    highest: bytes; who takes as much has it as his.
    """
    asked = list(dict.fromkeys(addresses))[:MOST_ADDRESSES]
    ends = clock() + _SECONDS
    first = echo([(address, _SMALL) for address in asked], _FIRST) if asked else {}
    answering = [address for address in asked if (address, _SMALL) in first]
    paths = {address: _Path(sizes(address, highest)) for address in answering}
    for path in paths.values():
        path.bad = len(path.sizes)
    slowest = max(first.values()) if first else 0.0
    seconds = min(_LONGEST, max(_SHORTEST, 3 * slowest + 0.1))
    while True:
        rounds = {address: path.to_try() for address, path in paths.items()}
        wanted = [(address, paths[address].sizes[index]) for address, tried in rounds.items() for index in tried]
        if not wanted or ends - clock() < seconds:
            break
        answers = echo(wanted, seconds)
        for address, tried in rounds.items():
            path = paths[address]
            if tried:
                path.learn(tried, [index for index in tried if (address, path.sizes[index]) in answers])
    found = dict.fromkeys(asked, 0)
    found.update({address: _result(path, highest) for address, path in paths.items()})
    return found


def _result(path: _Path, highest: int) -> int:
    if path.to_try():
        # Its time is over: what got through so far is not the most that does.
        return 0
    if path.good == len(path.sizes):
        return highest
    # Not even the smallest: somebody does not let large echoes through, which says nothing of the path.
    return path.sizes[path.good - 1] if path.good else 0
