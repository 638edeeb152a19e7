# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of faults share: hosts with the agent on them, and the table that is printed at the end."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from testinfra.host import Host as Connection

from lab.paths import REPOSITORY
from tests.molecule.fault_board import Board
from tests.molecule.faults import Sides, install, sides

HARM = "harm"
TABLE = REPOSITORY / ".cache" / "faults.txt"
BOARD = pytest.StashKey[Board]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The harm comes last: its connections keep modules loaded, which the others would take for a state between."""
    items.sort(key=lambda item: item.path.parent.name == HARM)


@pytest.fixture(scope="session")
def board(request: pytest.FixtureRequest) -> Board:
    """The table; tells each outcome in the terminal at once."""
    terminal = request.config.pluginmanager.get_plugin("terminalreporter")
    capture = request.config.pluginmanager.get_plugin("capturemanager")
    assert terminal is not None
    assert capture is not None

    def tell(line: str) -> None:
        with capture.global_and_fixture_disabled():
            terminal.write_line(f"  {line}")
            terminal.flush()

    made = Board(tell)
    request.config.stash[BOARD] = made
    return made


@pytest.fixture(scope="session")
def known(connections: dict[str, Connection], board: Board) -> dict[str, Sides]:
    """Each host before the agent's change and after it; the agent is on it."""
    with ThreadPoolExecutor() as pool:
        list(pool.map(install, connections.values()))
        found = dict(zip(connections, pool.map(sides, connections.values()), strict=True))
    steps = {tuple(each.steps) for each in found.values()}
    assert len(steps) == 1, f"the hosts take different steps: {steps}"
    (board.steps,) = steps
    return found


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table, and keep it."""
    made = config.stash.get(BOARD, None)
    if made is not None and made.outcomes():
        terminalreporter.section("what became of the hosts")
        terminalreporter.write(made.text())
        TABLE.parent.mkdir(exist_ok=True)
        TABLE.write_text(made.text(), encoding="utf-8")
