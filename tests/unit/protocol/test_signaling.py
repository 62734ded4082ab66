"""Who is in which room, and who may speak to whom."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from antiphon.errors import AntiphonError, Conflict, NotFound, RateLimited, SessionLimit
from antiphon.protocol.allowance import Rate
from antiphon.protocol.negotiation import Candidate, Captions, Description, JoinRoom
from antiphon.protocol.signaling import Effect, ForServer, Signaling, SignalingLimits, Tell

SDP = "v=0\r\n"


def join(signaling: Signaling, member_id: str, room_id: str = "r1", **wanted: Any) -> list[Effect]:
    return signaling.join(member_id, JoinRoom(room_id, member_id.upper(), "guest", **wanted), "webrtc", 1_000)


def offer(signaling: Signaling, sender: str, target: str | None, room_id: str | None = None) -> list[Effect]:
    return signaling.describe(sender, Description("offer", room_id, target, SDP, SDP), 0.0)


def answer(signaling: Signaling, sender: str, target: str | None) -> list[Effect]:
    return signaling.describe(sender, Description("answer", None, target, SDP, SDP), 0.0)


def candidate(
    signaling: Signaling, sender: str, target: str | None, room_id: str | None = None, now: float = 0.0
) -> list[Effect]:
    return signaling.candidate(sender, Candidate(room_id, target, "candidate:1", "candidate:1"), now)


def told(effects: list[Effect]) -> list[tuple[tuple[str, ...], str]]:
    return [(effect.to, effect.event) for effect in effects if isinstance(effect, Tell)]


@pytest.fixture
def pair() -> Signaling:
    """Ada and then Bob in room r1, Eve in another."""
    signaling = Signaling()
    join(signaling, "ada")
    join(signaling, "bob")
    join(signaling, "eve", "r2")
    return signaling


def test_a_newcomer_is_told_who_is_there_and_the_others_of_it() -> None:
    signaling = Signaling()
    (first,) = join(signaling, "ada")
    ada = {"socketId": "ada", "userId": "ADA", "role": "guest", "joinedAt": 1_000, "transport": "webrtc"}
    state = {"roomId": "r1", "mode": "relay", "captions": None}
    assert first == Tell(("ada",), "room-state", {**state, "participants": [{**ada, "muted": False}]})
    joined, second = join(signaling, "bob")
    bob = {**ada, "socketId": "bob", "userId": "BOB", "muted": False}
    assert joined == Tell(("ada",), "peer-joined", {**bob, "polite": False})
    assert isinstance(second, Tell)
    assert second.data["participants"] == [{**ada, "muted": False, "polite": True}, bob]


def test_of_each_two_one_is_polite() -> None:
    signaling = Signaling()
    polite: dict[tuple[str, str], bool] = {}
    for member in ("a", "b", "c", "d"):
        for effect in join(signaling, member):
            assert isinstance(effect, Tell)
            if effect.event == "peer-joined":
                polite |= {(to, member): effect.data["polite"] for to in effect.to}
            else:
                polite |= {
                    (member, other["socketId"]): other["polite"]
                    for other in effect.data["participants"]
                    if "polite" in other
                }
    assert len(polite) == 12
    assert all(polite[one, other] != polite[other, one] for one, other in polite)
    # and so says whoever is told anew
    for one, member in signaling.members.items():
        told_anew = {p["socketId"]: p["polite"] for p in signaling.state(member)["participants"] if "polite" in p}
        assert told_anew == {other: polite[one, other] for other in signaling.members if other != one}


def test_joining_the_same_room_again_tells_its_state_and_nobody_else(pair: Signaling) -> None:
    assert told(join(pair, "bob")) == [(("bob",), "room-state")]
    assert list(pair.rooms["r1"].members) == ["ada", "bob"]


def test_a_connection_is_in_one_room_at_a_time(pair: Signaling) -> None:
    with pytest.raises(Conflict, match="leave-room first"):
        join(pair, "bob", "r2")
    pair.leave("bob")
    join(pair, "bob", "r2")
    assert list(pair.rooms["r2"].members) == ["eve", "bob"]


def test_an_empty_room_is_forgotten_with_all_that_was_chosen_for_it() -> None:
    signaling = Signaling()
    join(signaling, "ada", mode="mix", captions=Captions("en-US"))
    join(signaling, "bob", mode="relay")
    assert signaling.rooms["r1"].mode == "mix"
    assert told(signaling.leave("ada")) == [(("bob",), "peer-left")]
    assert signaling.leave("bob") == []
    assert signaling.rooms == {}
    join(signaling, "ada")
    assert signaling.rooms["r1"].mode == "relay"
    assert signaling.rooms["r1"].captions is None


def test_whoever_asks_first_chooses_the_captions_and_everybody_is_told(pair: Signaling) -> None:
    effects = join(pair, "cyd", captions=Captions("en-US"))
    assert effects[0] == Tell(("ada", "bob"), "room-captions", {"roomId": "r1", "captions": {"language_code": "en-US"}})
    assert told(join(pair, "dan", captions=Captions("de-DE")))[0][1] == "peer-joined"
    assert pair.rooms["r1"].captions == Captions("en-US")


def test_offer_answer_and_candidates_reach_the_one_they_are_for(pair: Signaling) -> None:
    assert offer(pair, "ada", "bob") == [Tell(("bob",), "offer", {"fromSocketId": "ada", "sdp": SDP})]
    assert answer(pair, "bob", "ada") == [Tell(("ada",), "answer", {"fromSocketId": "bob", "sdp": SDP})]
    assert candidate(pair, "bob", "ada") == [
        Tell(("ada",), "ice-candidate", {"fromSocketId": "bob", "candidate": "candidate:1"})
    ]


@pytest.mark.parametrize("stranger", ["eve", "nobody"])
def test_who_is_elsewhere_looks_like_nobody(pair: Signaling, stranger: str) -> None:
    for send in (offer, answer, candidate):
        with pytest.raises(NotFound, match="in this room") as refusal:
            send(pair, "ada", stranger)
        assert refusal.value.field == "targetSocketId"


def test_who_is_in_no_room_or_names_another_is_refused(pair: Signaling) -> None:
    with pytest.raises(Conflict, match="join-room first"):
        offer(pair, "dan", "bob")
    with pytest.raises(Conflict, match="in room 'r1'"):
        offer(pair, "ada", "bob", "r2")
    with pytest.raises(Conflict, match="in room 'r1'"):
        pair.leave("ada", "r2")
    with pytest.raises(Conflict, match="your own id"):
        offer(pair, "ada", "ada")


def test_offers_and_candidates_without_a_target_are_for_the_server(pair: Signaling) -> None:
    (effect,) = offer(pair, "ada", None)
    assert isinstance(effect, ForServer)
    assert effect.member is pair.members["ada"]
    (effect,) = candidate(pair, "ada", None)
    assert isinstance(effect, ForServer)
    with pytest.raises(Conflict, match="makes no offers"):
        answer(pair, "ada", None)


def test_who_came_another_way_speaks_to_the_server_only(pair: Signaling) -> None:
    pair.join("phone", JoinRoom("r1"), "whip", 0)
    with pytest.raises(Conflict, match="takes part by whip"):
        offer(pair, "ada", "phone")


def test_an_answer_needs_an_offer(pair: Signaling) -> None:
    with pytest.raises(Conflict, match="waits for an answer"):
        answer(pair, "bob", "ada")
    offer(pair, "ada", "bob")
    offer(pair, "ada", "bob")
    answer(pair, "bob", "ada")
    answer(pair, "bob", "ada")
    with pytest.raises(Conflict, match="waits for an answer"):
        answer(pair, "bob", "ada")


def test_offers_that_cross_are_both_relayed_and_an_answer_voids_the_other(pair: Signaling) -> None:
    assert told(offer(pair, "ada", "bob")) == [(("bob",), "offer")]
    assert told(offer(pair, "bob", "ada")) == [(("ada",), "offer")]
    assert told(answer(pair, "bob", "ada")) == [(("ada",), "answer")]
    with pytest.raises(Conflict):
        answer(pair, "ada", "bob")
    # Bob has taken his offer back: he waits for nothing
    assert told(pair.leave("ada")) == [(("bob",), "peer-left")]


@pytest.mark.parametrize("how", ["leave", "gone"])
def test_who_waits_for_an_answer_of_one_that_leaves_is_told(pair: Signaling, how: str) -> None:
    join(pair, "cyd")
    offer(pair, "ada", "bob")
    error, left = getattr(pair, how)("bob")
    assert error.to == ("ada",)
    assert error.data["code"] == "not_found"
    assert error.data["event"] == "offer"
    assert error.data["targetSocketId"] == "bob"
    assert left == Tell(("ada", "cyd"), "peer-left", {"socketId": "bob", "userId": "BOB", "role": "guest"})
    with pytest.raises(NotFound):
        answer(pair, "ada", "bob")


def test_late_candidates_are_dropped_without_a_word(pair: Signaling) -> None:
    candidate(pair, "bob", "ada")
    pair.leave("bob")
    assert candidate(pair, "ada", "bob") == []
    assert candidate(pair, "bob", "ada") == []
    assert candidate(pair, "bob", "ada", "r1") == []
    with pytest.raises(Conflict):
        candidate(pair, "bob", "ada", "r3")
    # back again, candidates reach him
    join(pair, "bob")
    assert told(candidate(pair, "ada", "bob")) == [(("bob",), "ice-candidate")]


def test_everybody_is_told_of_a_mute_once(pair: Signaling) -> None:
    assert pair.mute("ada", True) == [Tell(("ada", "bob"), "peer-muted", {"socketId": "ada", "muted": True})]
    assert pair.mute("ada", True) == []
    assert told(pair.mute("ada", False)) == [(("ada", "bob"), "peer-muted")]
    with pytest.raises(Conflict):
        pair.mute("dan", True)


def test_rooms_and_their_participants_are_bounded() -> None:
    signaling = Signaling(SignalingLimits(max_rooms=1, max_participants=2))
    join(signaling, "ada")
    join(signaling, "bob")
    with pytest.raises(SessionLimit, match="is full"):
        join(signaling, "cyd")
    with pytest.raises(SessionLimit, match="all 1 rooms"):
        join(signaling, "cyd", "r2")
    signaling.leave("bob")
    join(signaling, "cyd")


def test_a_connection_is_held_to_a_pace_and_another_is_not() -> None:
    signaling = Signaling(SignalingLimits(joins=Rate(2, 1), candidates=Rate(3, 10), descriptions=Rate(1, 1)))
    for member in ("ada", "bob"):
        signaling.may_join(member, 0.0)
        join(signaling, member)
    signaling.may_join("ada", 0.0)
    with pytest.raises(RateLimited) as refusal:
        signaling.may_join("ada", 0.5)
    assert refusal.value.retry_after == pytest.approx(0.5)
    signaling.may_join("ada", 1.01)
    for _ in range(3):
        candidate(signaling, "ada", "bob")
    with pytest.raises(RateLimited):
        candidate(signaling, "ada", "bob")
    assert candidate(signaling, "bob", "ada")
    assert candidate(signaling, "ada", "bob", now=0.1)
    offer(signaling, "ada", "bob")
    with pytest.raises(RateLimited):
        offer(signaling, "ada", "bob")


NAMES = st.sampled_from(["a", "b", "c", "d", "e"])
ROOMS = st.sampled_from(["r1", "r2", "r3", "r4"])
TARGETS = NAMES | st.none()


class AnySequence(RuleBasedStateMachine):
    """Whatever is sent in whatever order: nobody hears of another room, and what clients were told adds up."""

    def __init__(self) -> None:
        super().__init__()
        self.signaling = Signaling(SignalingLimits(max_rooms=3, max_participants=3))
        self.views: dict[str, set[str]] = {}

    def take(self, act: Any, *arguments: Any) -> None:
        before = {name: set(room.members) for name, room in self.signaling.rooms.items()}
        try:
            effects = act(*arguments)
        except AntiphonError as error:
            assert error.message
            assert before == {name: set(room.members) for name, room in self.signaling.rooms.items()}
            return
        for effect in effects:
            if isinstance(effect, ForServer):
                assert self.signaling.members[effect.member.id] is effect.member
                continue
            for to in effect.to:
                self.see(to, effect)

    def see(self, to: str, effect: Tell) -> None:
        room = self.signaling.members[to].room
        data = effect.data
        if effect.event == "room-state":
            self.views[to] = {participant["socketId"] for participant in data["participants"]}
        elif effect.event == "peer-joined":
            self.views[to].add(data["socketId"])
        elif effect.event == "peer-left":
            self.views[to].remove(data["socketId"])
        elif "fromSocketId" in data:
            assert data["fromSocketId"] in room.members
            assert data["fromSocketId"] in self.views[to]

    @rule(who=NAMES, room=ROOMS)
    def join(self, who: str, room: str) -> None:
        self.take(join, self.signaling, who, room)

    @rule(who=NAMES)
    def leave(self, who: str) -> None:
        self.take(self.signaling.leave, who)

    @rule(who=NAMES)
    def vanish(self, who: str) -> None:
        self.take(self.signaling.gone, who)

    @rule(who=NAMES, whom=TARGETS, room=ROOMS | st.none())
    def offer(self, who: str, whom: str | None, room: str | None) -> None:
        self.take(offer, self.signaling, who, whom, room)

    @rule(who=NAMES, whom=TARGETS)
    def answer(self, who: str, whom: str | None) -> None:
        self.take(answer, self.signaling, who, whom)

    @rule(who=NAMES, whom=TARGETS, room=ROOMS | st.none())
    def candidate(self, who: str, whom: str | None, room: str | None) -> None:
        self.take(candidate, self.signaling, who, whom, room)

    @invariant()
    def everybody_knows_their_room(self) -> None:
        for room in self.signaling.rooms.values():
            assert 1 <= len(room.members) <= 3
            for member in room.members:
                assert self.views[member] == set(room.members)
                waiting = self.signaling.members[member].unanswered
                assert set(waiting) <= set(room.members) - {member}
        assert len(self.signaling.rooms) <= 3
        assert sum(len(room.members) for room in self.signaling.rooms.values()) == len(self.signaling.members)


TestAnySequence = AnySequence.TestCase
TestAnySequence.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
