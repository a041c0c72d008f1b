"""Batches from their file to their results, through every kind of interruption."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from enginehouse.api.caller import Caller, Role
from enginehouse.gateway.batches.config import BatchesConfig
from enginehouse.gateway.batches.files import FileStore
from enginehouse.gateway.batches.lines import LineCall, RetryingRunner
from enginehouse.gateway.batches.validation import BatchLine
from enginehouse.gateway.batches.work import WorkStore
from openai.types import Batch

from enginehouse.errors import ConflictError, NotFoundError, RateLimitError, StoreError
from tests.gateway.batches.conftest import CHAT, House, request_line

_LINES = tuple(request_line(name) for name in "abcdef")


def test_a_batch_ends_with_answers_and_errors_in_their_files(house: House) -> None:
    house.endpoint.scripts = {"b": [400], "d": [429, 503, 429, 200], "e": [500]}

    async def go() -> tuple[Any, list[Any], list[Any]]:
        made = await house.batch(*_LINES)
        await house.run()
        found = await house.get(made)
        good = await house.results(found["output_file_id"])
        return found, good, await house.results(found["error_file_id"])

    found, good, bad = asyncio.run(go())
    Batch.model_validate(found)
    assert found["status"] == "completed"
    assert found["request_counts"] == {"total": 6, "completed": 4, "failed": 2}
    assert found["model"] == "m"
    assert found["usage"]["total_tokens"] == 6 * 5
    assert [line["custom_id"] for line in good] == ["a", "c", "d", "f"]
    assert good[0]["response"]["status_code"] == 200
    assert good[0]["response"]["body"]["said"] == "a"
    assert good[0]["error"] is None
    assert [line["response"]["status_code"] for line in bad] == [400, 500]
    assert house.endpoint.ids.count("d") == 4
    tries = {call.request_id for call in house.endpoint.asked if call.custom_id == "d"}
    assert tries == {good[2]["response"]["request_id"]}
    assert house.rows("batch_lines") == []


def test_lines_are_asked_in_the_name_of_who_made_the_batch(house: House) -> None:
    roles = frozenset({Role.INFERENCE})
    house.caller = Caller("a", key_id="k1", roles=roles, models=frozenset({"m"}))

    async def go() -> None:
        await house.batch(_LINES[0])
        await house.run()

    asyncio.run(go())
    (call,) = house.endpoint.asked
    assert call.caller == house.caller
    assert call.endpoint == CHAT


def test_no_more_lines_than_allowed_are_asked_at_once(house: House) -> None:
    house.config = BatchesConfig(concurrency=2, batches_at_once=3)

    async def go() -> None:
        for _ in range(3):
            await house.batch(*_LINES)
        await house.run()

    asyncio.run(go())
    assert len(house.endpoint.asked) == 18
    assert house.endpoint.most_busy == 2


def test_a_file_that_is_no_batch_fails_it_before_anything_is_asked(house: House) -> None:
    async def go() -> Any:
        made = await house.batch(_LINES[0], {"custom_id": "b"})
        await house.run()
        return await house.get(made)

    found = asyncio.run(go())
    Batch.model_validate(found)
    assert found["status"] == "failed"
    assert found["errors"]["data"][0]["line"] == 2
    assert house.endpoint.asked == []
    assert house.rows("batch_lines") == []


def test_a_file_that_was_deleted_fails_its_batch(house: House) -> None:
    async def go() -> Any:
        made = await house.batch(*_LINES)
        found = await house.get(made)
        await house.files.delete("a", found["input_file_id"])
        await house.run()
        return await house.get(made)

    assert asyncio.run(go())["errors"]["data"][0]["code"] == "file_not_found"


_KILLS = [
    "clear",
    "add",
    "begin",
    "pending",
    "record",
    "finalize",
    "results",
    "end",
    "after begin",
    "after add",
    "after record",
    "after finalize",
]


@pytest.mark.parametrize("where", _KILLS)
def test_a_batch_goes_on_where_its_adapter_died(
    house: House, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    after, name = where.startswith("after "), where.removeprefix("after ")
    real = getattr(WorkStore, name)
    killed = asyncio.Event()
    count = 0

    def dies() -> bool:
        nonlocal count
        count += 1
        # Lines are recorded more than once: die at the third.
        return not killed.is_set() and count == (3 if name == "record" else 1)

    async def slow(self: WorkStore, *args: Any) -> Any:
        mortal = dies()
        if mortal and not after:
            killed.set()
            await asyncio.Event().wait()
        found = await real(self, *args)
        if mortal:
            killed.set()
            await asyncio.Event().wait()
        return found

    def blocking(self: WorkStore, *args: Any) -> Any:
        mortal = dies()
        if mortal and not after:
            killed.set()
            raise StoreError("the process has died")
        found = real(self, *args)
        if mortal:
            killed.set()
            raise StoreError("the process has died")
        return found

    fake = slow if asyncio.iscoroutinefunction(real) else blocking
    monkeypatch.setattr(WorkStore, name, fake)

    async def go() -> None:
        made = await house.batch(*_LINES)
        dead = house.runner()
        (task,) = await dead.take()
        waiting = asyncio.create_task(killed.wait())
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        # A dead process does not give its lease back.
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert await house.runner().take() == []
        house.clock.now += house.config.lease_s + 1
        await house.run()
        found = await house.get(made)
        assert found["status"] == "completed"
        assert found["request_counts"] == {"total": 6, "completed": 6, "failed": 0}
        assert found["usage"]["input_tokens"] == 12
        good = await house.results(found["output_file_id"])
        assert [line["custom_id"] for line in good] == list("abcdef")
        assert found["error_file_id"] is None

    asyncio.run(go())
    assert killed.is_set()


def test_a_runner_that_closes_gives_its_batches_to_the_next_at_once(house: House) -> None:
    async def go() -> None:
        begun = asyncio.Event()

        async def hold(call: LineCall) -> None:
            if call.custom_id == "c":
                begun.set()
                await asyncio.Event().wait()

        made = await house.batch(*_LINES)
        house.endpoint.at = hold
        first = house.runner()
        await first.take()
        await begun.wait()
        await first.close()
        house.endpoint.at = None
        await house.run()
        assert (await house.get(made))["request_counts"]["completed"] == 6

    asyncio.run(go())


def test_only_one_of_two_adapters_takes_a_batch(house: House) -> None:
    async def go() -> None:
        await house.batch(*_LINES)
        runners = [house.runner() for _ in range(4)]
        taken = await asyncio.gather(*(runner.take() for runner in runners))
        tasks = [task for some in taken for task in some]
        assert len(tasks) == 1
        await tasks[0]

    asyncio.run(go())
    assert sorted(house.endpoint.ids) == list("abcdef")


def test_who_has_lost_the_lease_writes_nothing_any_more(house: House) -> None:
    async def go() -> None:
        made = await house.batch(*_LINES)
        late = WorkStore(house.database, house.files, house.config, now=house.clock)
        quick = WorkStore(house.database, house.files, house.config, now=house.clock)
        assert await late.claim(1, ()) == [made]
        house.clock.now += house.config.lease_s + 1
        assert await quick.claim(1, ()) == [made]
        with pytest.raises(ConflictError):
            await late.record(made, 1, 200, "{}", {})
        with pytest.raises(ConflictError):
            await late.renew(made)
        with pytest.raises(ConflictError):
            await late.begin(made, 6, "m")
        await late.release([made])
        assert (await quick.renew(made)).lease_owner == quick.owner

    asyncio.run(go())


def test_an_answer_is_written_down_once(house: House) -> None:
    async def go() -> None:
        made = await house.batch(_LINES[0])
        work = WorkStore(house.database, house.files, house.config, now=house.clock)
        await work.claim(1, ())
        await asyncio.to_thread(work.add, made, [BatchLine(1, "a", "{}")])
        await work.begin(made, 1, "m")
        for status in (200, 500):
            row = await work.record(made, 1, status, "{}", {"input_tokens": 2})
        assert (row.completed, row.failed, row.input_tokens) == (1, 0, 2)

    asyncio.run(go())


def test_a_batch_that_is_cancelled_keeps_what_was_answered(house: House) -> None:
    async def go() -> Any:
        made = await house.batch(*_LINES)

        async def cancel(call: LineCall) -> None:
            if call.custom_id == "a":
                assert (await house.store.cancel("a", made))["status"] == "cancelling"

        house.endpoint.at = cancel
        house.config = BatchesConfig(concurrency=1)
        runner = house.runner()
        await asyncio.gather(*await runner.take())
        assert (await house.store.cancel("a", made))["status"] == "cancelled"
        found = await house.get(made)
        Batch.model_validate(found)
        good = await house.results(found["output_file_id"])
        bad = await house.results(found["error_file_id"])
        return found, good, bad

    found, good, bad = asyncio.run(go())
    assert found["status"] == "cancelled"
    assert [line["custom_id"] for line in good] == ["a"]
    assert {line["error"]["code"] for line in bad} == {"batch_cancelled"}
    assert house.endpoint.ids == ["a"]


def test_a_batch_that_is_cancelled_before_it_begins_has_no_results(house: House) -> None:
    async def go() -> Any:
        made = await house.batch(*_LINES)
        await house.store.cancel("a", made)
        await house.run()
        return await house.get(made)

    found = asyncio.run(go())
    assert (found["status"], found["output_file_id"]) == ("cancelled", None)
    assert house.endpoint.asked == []


def test_lines_that_are_refused_for_load_are_tried_until_the_window_ends(house: House) -> None:
    house.endpoint.scripts = {"b": [429] * 10_000}

    async def go() -> Any:
        made = await house.batch(*_LINES)

        async def late(call: LineCall) -> None:
            done = (await house.get(made))["request_counts"]["completed"]
            if call.custom_id == "b" and done == 5:
                house.clock.now += 86_400.0
                runner.wake(made)
                # Until the end of the window has been seen.
                while not runner._running[made].stop.is_set():  # noqa: ASYNC110
                    await asyncio.sleep(0)

        house.endpoint.at = late
        runner = house.runner()
        await asyncio.gather(*await runner.take())
        found = await house.get(made)
        return found, await house.results(found["error_file_id"])

    found, bad = asyncio.run(go())
    Batch.model_validate(found)
    assert found["status"] == "expired"
    assert found["request_counts"] == {"total": 6, "completed": 5, "failed": 0}
    assert [(line["custom_id"], line["error"]["code"]) for line in bad] == [("b", "batch_expired")]


def test_waits_between_tries_grow_and_are_drawn_by_chance(house: House) -> None:
    waits: list[float] = []

    async def pause(_: asyncio.Event, delay_s: float) -> bool:
        waits.append(delay_s)
        return False

    async def go() -> None:
        house.endpoint.scripts = {"a": [429] * 40}
        patience = RetryingRunner(
            house.endpoint, house.config, asyncio.Semaphore(1), pause, lambda: 0.5
        )
        call = LineCall(CHAT, {}, Caller(), "a", "r")
        assert await patience.answered(call, asyncio.Event()) is not None

    asyncio.run(go())
    assert waits[:4] == [0.5, 1.0, 2.0, 4.0]
    assert set(waits[6:]) == {30.0}


def test_a_store_that_fails_interrupts_a_batch_and_does_not_end_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, fails = FileStore.write, [True]

    def write(self: FileStore, *args: Any) -> int:
        if fails.pop() if fails else False:
            raise StoreError("the disk is full")
        return real(self, *args)

    monkeypatch.setattr(FileStore, "write", write)

    async def go() -> Any:
        made = await house.batch(*_LINES)
        runner = house.runner()
        await asyncio.gather(*await runner.take(), return_exceptions=True)
        assert (await house.get(made))["status"] == "finalizing"
        house.clock.now += house.config.lease_s + 1
        await house.run()
        return await house.get(made)

    assert asyncio.run(go())["status"] == "completed"
    assert len(house.endpoint.asked) == 6


def test_a_database_that_fails_is_logged_without_what_was_asked(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    async def drop(_: LineCall) -> None:
        await house.database.run(
            lambda connection: connection.exec_driver_sql("DROP TABLE IF EXISTS batch_lines")
        )

    async def go() -> None:
        house.endpoint.at = drop
        body = {"model": "m", "messages": [{"role": "user", "content": "very private"}]}
        await house.batch(request_line("a", body=body))
        await asyncio.gather(*await house.runner().take())

    asyncio.run(go())
    assert "is interrupted" in caplog.text
    assert "private" not in caplog.text
    assert "said" not in caplog.text


def test_a_runner_finds_new_batches_when_it_is_woken(house: House) -> None:
    async def go() -> None:
        house.config = BatchesConfig(poll_s=3600.0)
        runner = house.runner()
        task = asyncio.create_task(runner.run())
        made = await house.batch(*_LINES)
        runner.wake()
        while (await house.get(made))["status"] != "completed":  # noqa: ASYNC110
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await runner.close()

    asyncio.run(go())


def test_other_tenants_know_nothing_of_a_batch(house: House) -> None:
    async def go() -> None:
        made = await house.batch(*_LINES)
        with pytest.raises(NotFoundError):
            await house.store.get("b", made)
        with pytest.raises(NotFoundError):
            await house.store.cancel("b", made)
        assert await house.store.page("b", after=None, limit=10) == ([], False)

    asyncio.run(go())


def test_batches_are_listed_newest_first_in_pages_and_forgotten_in_time(house: House) -> None:
    async def go() -> None:
        made = []
        for _ in range(3):
            made.append(await house.batch(*_LINES))
            house.clock.now += 1
        first, more = await house.store.page("a", after=None, limit=2)
        assert ([b["id"] for b in first], more) == ([made[2], made[1]], True)
        rest, more = await house.store.page("a", after=made[1], limit=2)
        assert ([b["id"] for b in rest], more) == ([made[0]], False)
        await house.run()
        house.clock.now += 86_400.0 + house.config.keep_s
        await house.store.sweep()
        assert (await house.store.page("a", after=None, limit=9))[0] == []

    asyncio.run(go())


def test_a_tenant_has_so_many_open_batches_and_no_more(house: House) -> None:
    house.config = BatchesConfig(max_open=1)

    async def go() -> None:
        await house.batch(*_LINES)
        with pytest.raises(RateLimitError):
            await house.batch(*_LINES)
        await house.run()
        await house.batch(*_LINES)

    asyncio.run(go())


def test_results_of_a_batch_are_no_batch(house: House) -> None:
    async def go() -> None:
        made = await house.batch(*_LINES)
        await house.run()
        output = (await house.get(made))["output_file_id"]
        for file_id in (output, "file-0"):
            with pytest.raises(Exception, match=file_id) as failed:
                await house.store.create(
                    house.caller, endpoint=CHAT, input_file_id=file_id, window="24h"
                )
            assert failed.value.field == "input_file_id"  # type: ignore[attr-defined]

    asyncio.run(go())
