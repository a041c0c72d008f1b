"""Files of tenants on a real SQLite and a real folder."""

from __future__ import annotations

import asyncio
import io
import os
import stat
import time
from typing import Any

import pytest
from enginehouse.gateway.batches.config import BatchesConfig
from openai.types import FileObject

from enginehouse.errors import InvalidRequestError, NotFoundError, StoreError
from tests.gateway.batches.conftest import House


def _add(house: House, content: bytes = b"x\n", tenant: str = "a", **more: Any) -> Any:
    return house.files.add(tenant, "in.jsonl", io.BytesIO(content), **more)


def test_only_the_owner_of_the_process_may_read_a_file(house: House) -> None:
    file = asyncio.run(_add(house, b"abc"))
    FileObject.model_validate(file.as_json())
    path = house.files.readable(file)
    assert path.read_bytes() == b"abc"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_other_tenants_know_nothing_of_a_file(house: House) -> None:
    async def go() -> None:
        file = await _add(house)
        for attempt in (house.files.get, house.files.delete):
            with pytest.raises(NotFoundError):
                await attempt("b", file.id)
        assert await house.files.page("b") == ([], False)
        assert await house.files.get("a", file.id) == file

    asyncio.run(go())


def test_a_file_that_is_deleted_or_past_its_time_is_gone_from_the_disk(house: House) -> None:
    async def go() -> None:
        deleted, old, young = [await _add(house, expires_s=t) for t in (None, 3600.0, 7200.0)]
        await house.files.delete("a", deleted.id)
        assert not house.files.path(deleted.id).exists()
        house.clock.now += 3601.0
        with pytest.raises(NotFoundError):
            await house.files.get("a", old.id)
        os.utime(house.files.path(old.id), (time.time() - 7200,) * 2)
        await house.files.sweep()
        assert [path.name for path in house.directory.iterdir()] == [young.id]

    asyncio.run(go())


def test_content_that_is_being_written_is_not_swept(house: House) -> None:
    async def go() -> None:
        house.files.write("file-new", [b"x"])
        await house.files.sweep()
        assert house.files.path("file-new").exists()
        os.utime(house.files.path("file-new"), (time.time() - 7200,) * 2)
        await house.files.sweep()
        assert not house.files.path("file-new").exists()

    asyncio.run(go())


def test_a_file_that_is_too_large_leaves_nothing_behind(house: House) -> None:
    house.config = BatchesConfig(max_file_bytes=4, max_tenant_bytes=6)

    async def go() -> None:
        with pytest.raises(InvalidRequestError, match="at most 4"):
            await _add(house, b"12345")
        await _add(house, b"1234")
        with pytest.raises(InvalidRequestError, match="more than 6"):
            await _add(house, b"1234")
        # Another tenant has room of its own.
        await _add(house, b"1234", tenant="b")
        assert len(list(house.directory.iterdir())) == 2

    asyncio.run(go())


def test_files_are_listed_in_pages_of_either_order(house: House) -> None:
    async def go() -> None:
        made = []
        for _ in range(3):
            made.append((await _add(house)).id)
            house.clock.now += 1
        first, more = await house.files.page("a", limit=2)
        assert ([file.id for file in first], more) == ([made[2], made[1]], True)
        rest, more = await house.files.page("a", limit=2, after=made[1], newest_first=False)
        assert ([file.id for file in rest], more) == ([made[2]], False)
        assert await house.files.page("a", purpose="batch_output") == ([], False)

    asyncio.run(go())


def test_a_file_that_another_adapter_has_is_said_to_be_there(house: House) -> None:
    async def go() -> None:
        file = await _add(house)
        house.files.path(file.id).unlink()
        with pytest.raises(StoreError, match="share the folder"):
            house.files.readable(file)

    asyncio.run(go())


def test_a_folder_that_cannot_be_written_is_a_store_error(house: House) -> None:
    house.directory.write_text("a file stands where the folder should be")
    with pytest.raises(StoreError):
        asyncio.run(_add(house))
    assert house.rows("files") == []
