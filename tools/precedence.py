# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares our reading of sysctl.d with the real programs: `python -m tools.precedence [--suite SUITE] [--trees N]`.

Made-up trees of files are given to systemd-sysctl and to procps' sysctl --system of each release, in a network
namespace of their own, and what the kernel then holds is compared with what the engine foresaw. Needs root. The exit
status is 1 where they disagree (the tree, made as small as it goes, is printed) or where nothing can be compared.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis.configuration import set_hypothesis_home_dir

from lab.errors import LabError
from tools.shared import COLLECTIONS, ToolError, finish

sys.path.insert(0, str(COLLECTIONS))

from ansible_collections.netfleet.tcp.plugins.module_utils import _sysctl_d as engine
from tests.precedence.agent import RESET
from tests.precedence.compare import DisagreementError, Program, Tally, compare
from tests.precedence.mutants import MUTANTS
from tests.precedence.programs import MACHINE, NoProgramsError, copy_ours, programs, unpack
from tests.precedence.session import AgentError, Session
from tests.precedence.spellings import KEYS, spellings
from tests.precedence.trees import Tree, trees

SUITES = ("bookworm", "trixie")
TREES = 2000
SEED = 20260101
# Rounds of hypothesis, should it make the same trees again; and trees from which on every reason must have been met.
ROUNDS = 12
ENOUGH = 1500
FIFO = "/etc/sysctl.d/50-fifo.conf"


@dataclass(frozen=True)
class Options:
    """What was asked for on the command line."""

    suites: tuple[str, ...]
    trees: int
    seed: int
    readers: tuple[str, ...]
    mutants: bool


def options(argv: Sequence[str]) -> Options:
    """The command line, read."""
    parser = argparse.ArgumentParser(prog="python -m tools.precedence", description=(__doc__ or "").split("\n\n")[1])
    known = [*SUITES, "bullseye", "sid", "machine"]
    parser.add_argument("--suite", action="append", choices=known, help="a release (default: bookworm and trixie)")
    parser.add_argument("--trees", type=int, default=TREES, help=f"how many for each program (default: {TREES})")
    parser.add_argument("--seed", default=str(SEED), help=f"a number, or random (default: {SEED})")
    readers = (engine.SYSTEMD, engine.PROCPS)
    parser.add_argument("--program", action="append", choices=readers, help="one of the two programs only")
    parser.add_argument("--mutants", action="store_true", help="break each rule once, and see the comparison find it")
    read = parser.parse_args(argv)
    if read.trees < 1:
        raise ToolError(f"--trees {read.trees}: at least one")
    if read.seed != "random" and not read.seed.isdigit():
        raise ToolError(f"--seed {read.seed}: neither a number nor random")
    chosen = secrets.randbelow(2**32) if read.seed == "random" else int(read.seed)
    suites = tuple(dict.fromkeys(MACHINE if suite == "machine" else suite for suite in read.suite or SUITES))
    return Options(suites, read.trees, chosen, tuple(read.program or readers), read.mutants)


def prepare(suite: str, scratch: Path) -> tuple[Path, list[Program]]:
    """A directory with the programs of a release; with this machine's own where the lab has no tree of the release."""
    if suite != MACHINE:
        try:
            unpack(suite, scratch / suite)
            return scratch / suite, programs(scratch / suite, suite)
        except (LabError, NoProgramsError) as error:
            print(f"{suite}: its programs cannot be had, so this machine's own are taken: {error}", flush=True)
    copy_ours(scratch / "machine")
    return scratch / "machine", programs(scratch / "machine", MACHINE)


def compare_many(session: Session, program: Program, wanted: int, start: int, *, shrink: bool = True) -> Tally:
    """Compare that many distinct trees. Raises DisagreementError with the first tree found, shrunk if so asked."""
    tally = Tally()
    phases = (Phase.generate, Phase.shrink) if shrink else (Phase.generate,)

    def round_of(number: int) -> None:
        @settings(
            max_examples=max(100, wanted - len(tally.trees) + wanted // 4),
            deadline=None,
            database=None,
            phases=phases,
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
            verbosity=Verbosity.quiet,
        )
        @seed(start + number)
        @given(trees())
        def one(tree: Tree) -> None:
            if len(tally.trees) < wanted:
                compare(session, program, tree, tally)

        one()

    for number in range(ROUNDS):
        if len(tally.trees) < wanted:
            round_of(number)
    return tally


def missing(program: Program, tally: Tally) -> list[str]:
    """What no tree has shown: then the comparison proves less than it says."""
    usual = [engine.LATER_FILE, engine.LATER_LINE, engine.EXPLICIT, engine.EXCLUDED, engine.REFUSED, engine.MASKED]
    usual += [engine.NO_EFFECT, "decided", "decided by a glob"]
    usual += [engine.REPEATED, engine.KEPT_PLACE] if program.reader == engine.SYSTEMD else []
    return [reason for reason in usual if not tally.seen[reason]] if len(tally.trees) >= ENOUGH else []


def check_fifo(session: Session, program: Program) -> None:
    """What no made-up tree holds: at a FIFO the program waits for a writer, and until then nothing is set."""
    key = KEYS[0]
    nodes = [["/etc/sysctl.d/10-a.conf", "file", spellings(key)[0] + "=5"], [FIFO, "fifo", ""]]
    answer = session.ask(what="fifo", program=program.argv, tree=nodes)
    if not answer["waited"]:
        raise ToolError(f"{program.shown} ({program.suite}): does not wait at a FIFO; docs/precedence.md says it does")
    # Systemd reads all files before it sets a key, and so does procps since 4.0.
    if answer["during"][key] != RESET or answer["state"][key] != "5":
        raise ToolError(f"{program.shown} ({program.suite}): set {key} to {answer['during'][key]} while at a FIFO")


def check(root: Path, program: Program, chosen: Options) -> bool:
    """Compare one program; whether it agrees with the engine."""
    started = time.monotonic()
    with Session(root, KEYS) as session:
        check_fifo(session, program)
        try:
            tally = compare_many(session, program, chosen.trees, chosen.seed)
        except DisagreementError as error:
            print(error, f"The tree (seed {chosen.seed}):", *(f"  {node}" for node in error.tree), sep="\n", flush=True)
            return False
    for reason, count in tally.left_out.items():
        print(f"{program.shown} ({program.suite}): {count} more trees left out: {reason}")
    short = missing(program, tally)
    if len(tally.trees) < chosen.trees:
        raise ToolError(f"only {len(tally.trees)} of {chosen.trees} trees could be made up with seed {chosen.seed}")
    if short:
        raise ToolError(f"{program.shown}: none of {len(tally.trees)} trees showed: {'; '.join(short)}")
    globs = tally.seen["decided by a glob"]
    print(
        f"compared {len(tally.trees)} trees with {program.shown} ({program.suite}): no disagreement "
        f"(a line decided {tally.seen['decided'] + globs} keys, of these a glob {globs}; seed {chosen.seed}; "
        f"{time.monotonic() - started:.0f} s)",
        flush=True,
    )
    return True


def hunt(root: Path, program: Program, chosen: Options) -> bool:
    """Break each rule once; whether every broken engine was found out."""
    survivors = []
    mutants = [mutant for mutant in MUTANTS if mutant.reader == program.reader]
    with Session(root, KEYS) as session:
        for mutant in mutants:
            with mutant.at_work(), contextlib.suppress(DisagreementError):
                compare_many(session, program, chosen.trees, chosen.seed, shrink=False)
                survivors.append(mutant.rule)
                print(f"{program.shown} ({program.suite}): nobody misses the rule: {mutant.rule}", flush=True)
    found = len(mutants) - len(survivors)
    print(f"{program.shown} ({program.suite}): {found} of {len(mutants)} broken engines were found out", flush=True)
    return not survivors


def main() -> int:
    """Compare every program of every release; 1 where one disagrees."""
    chosen = options(sys.argv[1:])
    if os.geteuid() != 0:
        raise ToolError("the real programs write to /proc/sys in a namespace of their own: run this as root")
    set_hypothesis_home_dir(str(Path(tempfile.gettempdir()) / "netfleet-hypothesis"))
    agreed = True
    done: set[tuple[str, str]] = set()
    for suite in chosen.suites:
        with tempfile.TemporaryDirectory(prefix="netfleet-precedence.") as scratch:
            try:
                root, found = prepare(suite, Path(scratch))
                for program in found:
                    if program.reader in chosen.readers and (program.suite, program.reader) not in done:
                        done.add((program.suite, program.reader))
                        agreed = (hunt if chosen.mutants else check)(root, program, chosen) and agreed
            except (AgentError, NoProgramsError, OSError) as error:
                raise ToolError(f"{suite}: the programs cannot be run here: {error}") from error
    return 0 if agreed else 1


if __name__ == "__main__":
    finish(main)
