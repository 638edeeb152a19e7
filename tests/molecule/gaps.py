# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long there was no answer."""

from __future__ import annotations

import itertools
from collections.abc import Sequence


def longest_gap(answers: Sequence[float], since: float, until: float) -> float:
    """The longest time without one, between two moments, from the moments of all answers. Seconds."""
    inside = [since, *(moment for moment in answers if since <= moment <= until), until]
    return max(later - earlier for earlier, later in itertools.pairwise(inside))
