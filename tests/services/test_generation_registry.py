"""States of generations, and how they expire."""

from __future__ import annotations

import asyncio
import re

import pytest

from genai_desktop.services.generation_registry import GenerationRegistry, generate_id
from tests.aio import run, until


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_ids_are_unique_and_tell_their_time() -> None:
    ids = [generate_id() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert all(re.fullmatch(r"gen_\d{13}_[a-z0-9]{9}", one) for one in ids)


def test_the_methods_of_the_contract() -> None:
    clock = Clock()
    registry = GenerationRegistry(clock=clock)
    one = registry.create({"prompt": "x"})
    state = registry.get(one)
    assert state is not None
    assert (state.status, state.created_at, dict(state.config)) == ("pending", 1_000_000, {"prompt": "x"})
    clock.now += 2
    registry.update(one, {"status": "in_progress"}, progress={"currentStep": 1})
    state = registry.get(one)
    assert state is not None
    assert (state.status, state.created_at, state.updated_at) == ("in_progress", 1_000_000, 1_002_000)
    registry.update("gen_nope", status="error")
    two = registry.create({})
    assert (registry.get_all_ids(), registry.size()) == ([one, two], 2)
    assert registry.delete(one)
    assert not registry.delete(one)
    assert registry.get(one) is None
    registry.clear()
    assert registry.size() == 0
    registry.destroy()
    registry.destroy()


def test_only_what_has_ended_expires() -> None:
    clock = Clock()
    registry = GenerationRegistry(max_result_age_ms=5_000, clock=clock)
    running, done, cancelled = (registry.create({}) for _ in range(3))
    registry.update(running, status="in_progress")
    registry.update(done, status="complete", result={})
    registry.update(cancelled, status="cancelled")
    clock.now += 4.9
    assert registry.cleanup() == 0
    assert registry.get(done) is not None
    clock.now += 0.2
    assert registry.get(done) is None
    assert registry.cleanup() == 1
    assert registry.get_all_ids() == [running]
    registry.update(running, status="error", error={})
    assert registry.cleanup(0) == 1


def test_the_environment_sets_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGE_RESULT_TTL_MS", "1234")
    monkeypatch.setenv("IMAGE_CLEANUP_INTERVAL_MS", "-5")
    registry = GenerationRegistry()
    assert (registry.max_result_age_ms, registry.cleanup_interval_ms) == (1234, 60_000)
    assert GenerationRegistry(max_result_age_ms=7).max_result_age_ms == 7
    monkeypatch.delenv("IMAGE_RESULT_TTL_MS")
    assert GenerationRegistry().max_result_age_ms == 300_000


def test_it_sweeps_by_itself_and_stops_when_destroyed() -> None:
    async def main() -> None:
        clock = Clock()
        registry = GenerationRegistry(max_result_age_ms=1, cleanup_interval_ms=1, clock=clock)
        one = registry.create({})
        registry.update(one, status="complete")
        clock.now += 1
        await until(lambda: registry.size() == 0)
        registry.create({})
        registry.destroy()
        assert registry._timer is None
        assert len(asyncio.all_tasks()) <= 2

    run(main())
