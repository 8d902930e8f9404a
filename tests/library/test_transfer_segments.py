"""The arithmetic of segments, of the number of connections and of the shares of hosts."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genai_desktop.library.transfer.policy import TransferPolicy
from genai_desktop.library.transfer.ramp import Ramp
from genai_desktop.library.transfer.segments import Segment, SegmentMap
from genai_desktop.library.transfer.traffic import Hosts, Throttle

_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["claim", "steal", "write", "half", "release", "restore"]),
        st.integers(0, 7),
        st.integers(0, 400),
    ),
    max_size=80,
)


@settings(deadline=None, max_examples=300)
@given(size=st.integers(0, 1000), steps=_STEPS)
def test_every_byte_is_handed_out_once_and_none_is_forgotten(
    size: int, steps: list[tuple[str, int, int]]
) -> None:
    """Whatever the connections do: what the map says is there was written, exactly once."""
    segments = SegmentMap(size)
    written = bytearray(size)
    held: list[Segment] = []

    def write(segment: Segment, count: int) -> None:
        granted = segments.grant(segment, count)
        for at in range(segment.position, segment.position + granted):
            written[at] += 1
        segments.commit(segment)

    def check() -> None:
        spans = segments.spans()
        assert SegmentMap.is_sound(size, spans)
        there = {at for start, _, position in spans for at in range(start, position)}
        assert there == {at for at in range(size) if written[at] == 1}
        assert max(written, default=0) <= 1
        assert segments.done == len(there)
        assert segments.watermark == next((at for at in range(size) if at not in there), size)
        assert segments.is_complete == (len(there) == size)

    for step, which, number in steps:
        if step in ("claim", "steal"):
            found = segments.claim() if step == "claim" else segments.steal(number)
            if found is not None:
                held.append(found)
        elif step == "restore":  # a kill
            segments, held = SegmentMap(size, segments.spans()), []
        elif held:
            segment = held[which % len(held)]
            if step == "write":
                write(segment, number)
            elif step == "half":  # stolen from between the grant and the commit
                granted = segments.grant(segment, number)
                stolen = segments.steal(2)
                for at in range(segment.position, segment.position + granted):
                    written[at] += 1
                segments.commit(segment)
                if stolen is not None:
                    held.append(stolen)
            else:
                held.remove(segment)
                segments.release(segment)
        check()
    for segment in held:
        segments.release(segment)
    while (rest := segments.claim()) is not None:
        write(rest, size)
    check()
    assert segments.is_complete


@given(
    size=st.integers(0, 50),
    spans=st.lists(st.tuples(st.integers(-1, 50), st.integers(-1, 50), st.integers(-1, 60)), max_size=4),
)
def test_spans_that_do_not_cover_the_file_are_not_sound(size: int, spans: list[tuple[int, int, int]]) -> None:
    covered = [at for start, end, _ in spans for at in range(start, end)]
    is_right = (
        bool(spans)
        and covered == list(range(size))
        and all(0 <= start <= position <= end for start, end, position in spans)
    )
    if SegmentMap.is_sound(size, tuple(spans)):
        assert is_right


def test_a_file_without_size_is_one_segment() -> None:
    segments = SegmentMap(None)
    segment = segments.claim()
    assert segment is not None
    assert segments.steal(1) is None
    segments.grant(segment, 70)
    segments.commit(segment)
    segments.close(segment)
    assert segments.is_complete
    assert segments.done == 70


def test_steal_takes_half_of_the_largest_rest() -> None:
    segments = SegmentMap(1000)
    first = segments.claim()
    assert first is not None
    second = segments.steal(1)
    assert second is not None
    assert (first.end, second.start, second.end) == (500, 500, 1000)
    segments.grant(first, 400)
    segments.commit(first)
    third = segments.steal(500)
    assert third is not None
    assert third.start == 750
    assert segments.steal(251) is None


def connections(policy: TransferPolicy, rate_of: list[float]) -> list[int]:
    """The numbers a Ramp goes through when n connections bring rate_of[n] bytes a second in all."""
    ramp, now, done = Ramp(policy), 0.0, 0.0
    history = [ramp.wanted]
    for _ in range(200):
        now += 0.05
        done += 0.05 * rate_of[ramp.wanted]
        ramp.update(now, int(done), ramp.wanted)
        if ramp.wanted != history[-1]:
            history.append(ramp.wanted)
    assert ramp.is_settled
    return history


MB = 1e6
POLICY = TransferPolicy()


@pytest.mark.parametrize(
    ("rate_of", "expected"),
    [
        pytest.param([n * 10 * MB for n in range(9)], [1, 2, 4, 8], id="throttled each"),
        pytest.param([40 * MB] * 9, [1, 2, 1], id="a narrow line"),
        pytest.param([400 * MB] * 9, [1], id="fast enough"),
        pytest.param([min(n * 10, 25) * MB for n in range(9)], [1, 2, 4, 2], id="two will do"),
        pytest.param([min(n * 10, 45) * MB for n in range(9)], [1, 2, 4, 8, 4], id="eight of no use"),
        pytest.param([min(n * 30, 110) * MB for n in range(9)], [1, 2, 4], id="fast enough with four"),
    ],
)
def test_connections_are_added_while_they_pay(rate_of: list[float], expected: list[int]) -> None:
    assert connections(POLICY, rate_of) == expected


def test_connections_that_bring_nothing_are_not_judged() -> None:
    ramp = Ramp(POLICY)
    for now in range(100):
        ramp.update(float(now), 0, 0)
    assert (ramp.wanted, ramp.is_settled) == (1, False)


def test_hosts_share_their_connections() -> None:
    hosts = Hosts(5)
    members = [object() for _ in range(6)]
    hosts.join("a", members[0])
    assert hosts.allowance(members[0]) == 5
    hosts.join("a", members[1])
    assert [hosts.allowance(m) for m in members[:2]] == [3, 2]
    for member in members[2:]:
        hosts.join("a", member)
    assert [hosts.allowance(m) for m in members] == [1, 1, 1, 1, 1, 0]
    hosts.join("b", members[0])
    assert hosts.allowance(members[0]) == 5
    assert hosts.allowance(members[5]) == 1
    hosts.leave(members[0])
    hosts.leave(members[0])
    assert hosts.allowance(members[0]) == 0


def test_waiting_for_bandwidth_ends_when_the_limit_is_lifted() -> None:
    throttle = Throttle(1)
    waited: list[float] = []
    thread = threading.Thread(target=lambda: waited.append(throttle.take(10**9, lambda: False)))
    thread.start()
    throttle.set_limit(None)
    thread.join(10)
    assert waited
    with pytest.raises(ValueError, match="positive"):
        throttle.set_limit(0)
