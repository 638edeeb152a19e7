# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/catalogue.md says what the catalogue says."""

from __future__ import annotations

from tools import reference


def test_catalogue_page_is_current() -> None:
    assert reference.PAGE.read_text(encoding="utf-8") == reference.page(), "run `python -m tools.reference`"
