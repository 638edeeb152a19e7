# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of the role wireguard_links, on a fleet in memory: who is asked, changed, switched, kept and taken back."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.netfleet.tcp.plugins.action.wireguard_links import CHECKED, LOOK, MADE, SWITCHED
from ansible_collections.netfleet.tcp.plugins.module_utils._checkpoint_store import read_pending
from ansible_collections.netfleet.tcp.plugins.module_utils._desired import MANAGED
from ansible_collections.netfleet.tcp.plugins.module_utils._frr import CONFIGURATION
from ansible_collections.netfleet.tcp.plugins.module_utils._tunnel_files import KEY_PATH, NEXT_KEY_PATH
from tests.unit.plugins.fake_wireguard import public_of
from tests.unit.plugins.plugin_utils.a_fleet import ALL, AFleet

NEXT = {host: public_of("the next key of %s" % host) for host in ALL}
NEW = NEXT["gw1"]


@pytest.fixture
def fleet(monkeypatch: pytest.MonkeyPatch) -> AFleet:
    return AFleet(monkeypatch)


@pytest.fixture
def linked(fleet: AFleet) -> AFleet:
    """Its links are up, and everybody is in touch."""
    assert not any(answer.get("failed") for answer in fleet.run().values())
    fleet.talk()
    fleet.begin()
    return fleet


@pytest.fixture
def rotating(linked: AFleet) -> AFleet:
    """gw1 is to get another key."""
    linked.settings["rotate"] = ["gw1"]
    return linked


def keys(fleet: AFleet) -> dict[str, str]:
    return {host: fleet.tunnel(host).public_key for host in ALL}


FORMER = {host: public_of("the key of %s" % host) for host in ALL}


def test_a_step_that_is_none(fleet: AFleet) -> None:
    assert "step: 'leap' is none" in fleet.step("gw1", "leap")["msg"]


def test_links_come_up_and_stay_as_they_are(linked: AFleet) -> None:
    assert linked.consistent()
    assert keys(linked) == FORMER
    assert {host: answer["changed"] for host, answer in linked.make().items()} == dict.fromkeys(ALL, False)
    assert "change" not in linked.variables["gw1"][MADE]
    # The role skips these where nothing was changed; so do they.
    assert linked.step("gw1", "switch")["skip_reason"] == "its key stays the same"
    assert linked.step("gw1", "check")["skip_reason"] == "nothing was changed"
    linked.verdict = linked.step("gw1", "judge")
    assert linked.verdict == {"changed": False, "why": {}}
    assert linked.step("gw1", "end")["skip_reason"] == "nothing waits to be confirmed"


def test_the_configuration_of_frr_is_not_taken_for_a_file_that_links_have_left(linked: AFleet) -> None:
    linked.systems["gw1"].put(CONFIGURATION, MANAGED + "\nrouter bgp 4200000001\n")
    linked.broken["gw1", "tcp_apply"] = {"failed": True, "msg": "is as declared, and need not be visited again"}
    made = linked.make()["gw1"]
    assert (made["changed"], made["changes"], made["warnings"]) == (False, [], [])
    assert linked.variables["gw1"][LOOK]["routing"]["ours"]


def test_hosts_outside_of_the_play_are_asked_but_for_those_whose_keys_are_known(fleet: AFleet) -> None:
    fleet.begin(("gw1",))
    assert fleet.step("gw1", "plan")["outside"] == ["east", "west"]
    fleet.settings["keys"] = {"east": FORMER["east"]}
    assert fleet.step("gw1", "plan")["outside"] == ["west"]
    assert fleet.step("west", "ask") == {"changed": False, "public_key": FORMER["west"], "lost": ""}


def test_one_that_cannot_be_asked_makes_nobody_fail(fleet: AFleet) -> None:
    fleet.lost = {"west"}
    assert fleet.step("west", "ask") == {"changed": False, "public_key": "", "lost": "no route to west"}
    fleet.lost = set()
    fleet.broken["west", "tcp_facts"] = {"failed": True, "msg": "no python"}
    assert fleet.step("west", "ask") == {"changed": False, "public_key": "", "lost": "no python"}
    assert fleet.gone == set()


def test_a_host_with_another_declaration_is_named(fleet: AFleet) -> None:
    fleet.plan = {**fleet.step("gw1", "plan"), "digest": "of something else"}
    assert "are not the same for this host" in fleet.step("gw1", "look")["msg"]


@pytest.mark.parametrize("other", [{"secret": "another secret, of the same length"}, {"generation": 2}, {"secret": ""}])
def test_a_host_with_another_secret_or_generation_is_named(fleet: AFleet, other: dict[str, Any]) -> None:
    secret = fleet.settings["secret"]
    fleet.plan = fleet.step("gw1", "plan")
    assert secret not in str(fleet.plan)
    fleet.settings.update(other)
    said = fleet.step("east", "look")["msg"]
    assert "wireguard_links_secret, _generation: are not the same for this host" in said
    assert secret not in said
    assert fleet.present == ["gw1", "west"]


def test_without_a_secret_there_is_no_generation_to_differ_in(fleet: AFleet) -> None:
    fleet.settings["secret"] = ""
    fleet.plan = fleet.step("gw1", "plan")
    fleet.settings["generation"] = 2
    assert not fleet.step("east", "look").get("failed")


def test_what_the_links_are_taken_away_from_needs_no_secret(fleet: AFleet) -> None:
    fleet.plan = fleet.step("gw1", "plan")
    fleet.settings.update(secret="", state="absent")
    assert not fleet.step("east", "look").get("failed")


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_host_without_a_key_makes_one(fleet: AFleet, check_mode: bool) -> None:
    fleet.check_mode = check_mode
    del fleet.systems["gw1"].files[KEY_PATH]
    fleet.look()
    seen = fleet.variables["gw1"][LOOK]
    assert (seen["changed"], seen["public_key"]) == (True, "" if check_mode else NEW)
    assert (KEY_PATH in fleet.systems["gw1"].files) is not check_mode
    # There is none that could follow, or would have to.
    assert "next_key" not in seen


def test_a_key_that_cannot_be_made(fleet: AFleet) -> None:
    del fleet.systems["gw1"].files[KEY_PATH]
    fleet.broken["gw1", "wireguard_key"] = {"failed": True, "msg": "the disk is full"}
    fleet.look()
    assert fleet.variables["gw1"][LOOK]["msg"] == "the disk is full"
    assert fleet.present == ["east", "west"]


def test_make_wants_a_look(fleet: AFleet) -> None:
    assert "look: is no result of the step look" in fleet.step("gw1", "make")["msg"]


def test_a_change_that_is_refused_is_not_made(fleet: AFleet) -> None:
    fleet.systems["east"].wireguard = False
    made = fleet.make()
    assert made["east"]["failed"]
    assert "wireguard-tools" in made["east"]["msg"]
    assert not made["gw1"].get("failed")
    assert fleet.present == ["gw1", "west"]


def test_in_check_mode_nothing_is_made(fleet: AFleet) -> None:
    fleet.check_mode = True
    assert all(answer["changed"] and "change" not in answer for answer in fleet.make().values())
    assert all(system.tunnels == {} for system in fleet.systems.values())


def test_a_link_that_dies_is_taken_back_on_both_ends_and_by_whoever_depends_on_them(linked: AFleet) -> None:
    linked.settings["generation"] = 1
    linked.make()
    before = {host: linked.systems[host].files.copy() for host in ALL}
    linked.talk()
    linked.systems["gw1"].answering.pop(FORMER["east"])
    assert linked.step("gw1", "check")["dead"] == ["east"]
    assert linked.step("west", "check")["dead"] == []
    linked.verdict = linked.step("gw1", "judge")
    ended = linked.each("end")
    assert ended["gw1"]["msg"] == "taken back: east answered before the change, and not since"
    assert ended["west"]["msg"] == "taken back: the link to gw1 is taken back there"
    assert all(read_pending(system) is None for system in linked.systems.values())
    shared = [path for path in before["gw1"] if path.endswith(".psk")]
    assert all(linked.systems["gw1"].files[path] == before["gw1"][path] for path in shared)


def test_a_new_link_that_does_not_answer_is_named_and_kept(fleet: AFleet) -> None:
    fleet.make()
    fleet.talk()
    fleet.systems["gw1"].answering.pop(FORMER["east"])
    fleet.systems["east"].answering.pop(FORMER["gw1"])
    said = fleet.each("check")
    assert said["gw1"]["warnings"] == [
        "wg-wan: east does not answer; see whether UDP port 51820 gets through to 198.51.100.1"
    ]
    # It cannot call that one, which calls by itself.
    assert said["east"]["warnings"] == [
        "wg-wan: gw1 does not answer; see whether UDP port 51820 gets through to this host"
    ]
    assert said["west"] == {"changed": False, "dead": []}
    fleet.verdict = fleet.step("gw1", "judge")
    assert fleet.verdict["why"] == {}
    assert not any(answer.get("failed") for answer in fleet.each("end").values())
    assert fleet.consistent()


def test_a_link_that_was_silent_before_is_asked_and_no_reason_to_take_anything_back(linked: AFleet) -> None:
    linked.fall_silent()
    linked.settings["generation"] = 1
    linked.make()
    linked.talk()
    linked.systems["gw1"].answering.pop(FORMER["east"])
    said = linked.step("gw1", "check")
    assert (said["dead"], len(said["warnings"])) == ([], 1)
    assert "wg-wan: east does not answer" in said["warnings"][0]


def test_whoever_is_not_changed_in_this_run_is_not_asked_for_a_new_link(fleet: AFleet) -> None:
    fleet.begin(("gw1",))
    fleet.make()
    assert "change" in fleet.variables["gw1"][MADE]
    assert fleet.step("gw1", "check") == {"changed": False, "dead": []}


def test_links_that_cannot_be_asked_are_kept_with_a_warning(linked: AFleet) -> None:
    linked.settings["generation"] = 1
    linked.make()
    linked.broken["gw1", "wireguard_info"] = {"failed": True, "msg": "no python"}
    assert linked.step("gw1", "check")["warnings"] == ["its links could not be asked: no python"]


def test_the_end_wants_a_verdict(linked: AFleet) -> None:
    linked.settings["generation"] = 1
    linked.make()
    assert "verdict: is no result of the step judge" in linked.step("gw1", "end")["msg"]


def test_whoever_is_linked_to_a_host_that_was_lost_takes_it_back_too(linked: AFleet) -> None:
    linked.settings["generation"] = 1
    linked.make()
    linked.lost = {"gw1"}
    ended = linked.end()
    assert linked.verdict["why"]["gw1"] == "it was lost in this run"
    assert ended["east"]["msg"] == ended["west"]["msg"] == "taken back: the link to gw1 is taken back there"


def test_those_of_an_earlier_batch_who_have_kept_theirs_are_not_counted(linked: AFleet) -> None:
    linked.settings["generation"] = 1
    linked.make()
    linked.batch = ("west",)
    linked.variables["gw1"][CHECKED] = {"dead": ["east"]}
    assert linked.step("west", "judge")["why"] == {}
    linked.gone = {"gw1"}
    assert set(linked.step("west", "judge")["why"]) == {"gw1", "west"}


def test_a_name_that_nobody_has_is_refused_before_a_host_is_visited(linked: AFleet) -> None:
    linked.settings["rotate"] = ["gw9"]
    said = linked.step("gw1", "plan")["msg"]
    assert said == "wireguard_links_rotate: 'gw9' is neither a host nor a group"


def test_a_key_changes_on_all_of_them(rotating: AFleet) -> None:
    ended = rotating.run()
    assert not any(answer.get("failed") for answer in ended.values()), ended
    assert keys(rotating) == {**FORMER, "gw1": NEW}
    assert rotating.consistent()
    assert NEXT_KEY_PATH not in rotating.systems["gw1"].files
    assert all(
        set(rotating.tunnel(host).by_key) == set(keys(rotating).values()) - {keys(rotating)[host]} for host in ALL
    )


def test_all_keys_change(linked: AFleet) -> None:
    linked.settings["rotate"] = ["all"]
    ended = linked.run()
    assert not any(answer.get("failed") for answer in ended.values()), ended
    assert keys(linked) == NEXT
    assert linked.consistent()


@pytest.mark.parametrize("how_many", [0, 1, 2])
def test_one_of_several_that_cannot_switch_has_all_of_them_keep_their_keys(linked: AFleet, how_many: int) -> None:
    linked.settings["rotate"] = ["all"]
    linked.make()
    linked.broken[ALL[how_many], "wireguard_key"] = {"failed": True, "msg": "no such device"}
    linked.switch()
    linked.end()
    assert keys(linked) == FORMER
    assert linked.consistent()


class Counted(dict[str, Any]):
    """Variables of hosts; asked: whose were looked up, which takes a millisecond each."""

    def __init__(self, variables: dict[str, Any]) -> None:
        super().__init__(variables)
        self.asked: list[str] = []

    def __getitem__(self, host: str) -> Any:
        self.asked.append(host)
        return super().__getitem__(host)


def test_steps_of_a_host_look_at_those_that_it_is_linked_to_alone(rotating: AFleet) -> None:
    rotating.look()
    others = ("w1", "w2")
    rotating.hosts = rotating.batch = (*ALL, *others)
    counted: Any = Counted({**rotating.variables, **{name: {} for name in others}})
    rotating.variables = counted
    for step in ("make", "switch", "check", "end"):
        rotating.verdict = {"why": {}}
        for host in ALL:
            rotating.step(host, step)
    assert set(counted.asked) == set(ALL)
    rotating.step("gw1", "judge")
    assert set(counted.asked) == {*ALL, *others}


def test_the_next_key_is_new_each_time(rotating: AFleet) -> None:
    rotating.systems["gw1"].put(NEXT_KEY_PATH, "of a run that failed a year ago\n", 0o644)
    rotating.look()
    assert rotating.variables["gw1"][LOOK]["next_key"] == NEW
    made = rotating.systems["gw1"].files[NEXT_KEY_PATH]
    assert (made.text, made.mode) == ("the next key of gw1\n", 0o600)


def test_a_key_that_others_could_read_changes_too(rotating: AFleet) -> None:
    rotating.systems["gw1"].put(KEY_PATH, "the key of gw1\n", 0o644)
    rotating.run()
    assert keys(rotating)["gw1"] == NEW
    assert rotating.consistent()


def test_in_check_mode_no_key_is_made_and_what_would_be_refused_is(rotating: AFleet) -> None:
    rotating.check_mode = True
    before = {host: system.snapshot() for host, system in rotating.systems.items()}
    made = rotating.make()
    assert rotating.variables["gw1"][LOOK]["changed"]
    assert any("its key changes" in text for text in made["gw1"]["warnings"])
    rotating.begin(("gw1", "east"))
    assert "would not learn the new key of gw1" in rotating.make()["gw1"]["msg"]
    assert {host: system.snapshot() for host, system in rotating.systems.items()} == before


def test_a_host_whose_peer_did_not_learn_the_new_key_keeps_its_own(rotating: AFleet) -> None:
    rotating.look()
    rotating.broken["west", "tcp_apply"] = {"failed": True, "msg": "the disk is full"}
    rotating.each("make")
    rotating.switch()
    assert rotating.variables["gw1"][SWITCHED] == {"changed": False, "held": ["west"]}
    ended = rotating.end()
    assert ended["gw1"]["msg"] == "taken back: west did not learn the new key"
    assert ended["east"]["failed"]
    assert keys(rotating) == FORMER
    assert rotating.consistent()


def test_peers_of_a_host_that_did_not_change_its_key_forget_the_new_one(rotating: AFleet) -> None:
    # Nobody talks, so that nobody is dead.
    rotating.fall_silent()
    rotating.look()
    rotating.broken["gw1", "tcp_apply"] = {"failed": True, "msg": "the disk is full"}
    rotating.each("make")
    ended = rotating.end()
    assert ended["east"]["msg"] == "taken back: gw1 did not change to the new key"
    assert keys(rotating) == FORMER
    assert rotating.consistent()


def test_a_host_that_fails_to_switch(rotating: AFleet) -> None:
    rotating.make()
    rotating.broken["gw1", "wireguard_key"] = {"failed": True, "msg": "no such device"}
    rotating.switch()
    ended = rotating.end()
    assert ended["gw1"]["msg"] == "taken back: it could not switch to its new key: no such device"
    assert rotating.consistent()


def test_a_host_that_is_lost_once_it_has_switched(rotating: AFleet) -> None:
    rotating.make()
    rotating.switch()
    assert keys(rotating)["gw1"] == NEW
    rotating.lost = {"gw1"}
    ended = rotating.end()
    assert all(ended[host]["msg"] == "taken back: the link to gw1 is taken back there" for host in ("east", "west"))


def test_no_host_switches_when_its_time_is_almost_over(rotating: AFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    rotating.make()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 121)
    rotating.switch()
    assert keys(rotating) == FORMER
    assert "give wireguard_links_confirm more" in rotating.variables["gw1"][SWITCHED]["failed_to_switch"]


def test_a_peer_whose_changes_are_final_at_once_is_refused(rotating: AFleet) -> None:
    rotating.look()
    rotating.settings = {**rotating.settings, "rotate": [], "confirm": 0}
    assert "wireguard_links_confirm: is 0 here" in rotating.step("east", "make")["msg"]
    assert keys(rotating) == FORMER


def test_a_host_of_another_batch_changes_no_key_in_step_with_this_one(rotating: AFleet) -> None:
    rotating.look()
    rotating.batch = ("east", "west")
    rotating.asked = [{"item": "gw1", "public_key": FORMER["gw1"]}]
    assert "change" not in rotating.step("east", "make")


def test_a_registry_that_names_the_former_key_is_called_out_of_date(rotating: AFleet) -> None:
    rotating.settings["keys"] = {"gw1": FORMER["gw1"], "east": FORMER["east"]}
    made = rotating.make()
    (said,) = [text for text in made["gw1"]["warnings"] if "wireguard_links_keys.gw1" in text]
    assert "change it to %s" % NEW in said
    assert not any("wireguard_links_keys" in text for text in made["east"]["warnings"])


def test_what_is_registered_holds_no_secret(rotating: AFleet) -> None:
    rotating.run()
    shown: Any = str(rotating.variables)
    assert "the key of" not in shown
    assert "the next key of" not in shown


@pytest.mark.parametrize("given", [{"rotate": ["gw1"]}, {"generation": 1}], ids=["key", "preshared keys"])
def test_a_peer_that_has_moved_stays_where_it_is_while_keys_change(linked: AFleet, given: dict[str, Any]) -> None:
    tunnel = linked.tunnel("east")
    moved = replace(tunnel.by_key[FORMER["west"]], endpoint="192.0.2.99:4000")
    peers = tuple(moved if peer.public_key == moved.public_key else peer for peer in tunnel.peers)
    linked.systems["east"].tunnels[tunnel.name] = replace(tunnel, peers=peers)
    linked.settings.update(given)
    assert not any(answer.get("failed") for answer in linked.run().values())
    assert linked.tunnel("east").by_key[FORMER["west"]].endpoint == "192.0.2.99:4000"
