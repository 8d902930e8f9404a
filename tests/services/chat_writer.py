"""Streams a reply into the data folder named on the command line and says what it stored; made to be
killed.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.fakes import chat_server as fake
from tests.fakes.chat_server import Reply, Request
from tests.services.chat_world import World


async def main(folder: Path) -> None:
    async def endless(request: Request, reply: Reply) -> None:
        await reply.start_stream()
        number = 0
        while not reply.hung_up.is_set():
            await reply.send(fake.delta(content=f"{number} "))
            number += 1
            await asyncio.sleep(0.002)

    async with World(folder, endless) as w:
        append = w.service._store.append_part
        stored = 0

        async def watched(message_id: str, content: str, reasoning: str) -> None:
            nonlocal stored
            await append(message_id, content, reasoning)
            stored += content.count(" ")
            print(f"stored {stored}", flush=True)

        w.service._store.append_part = watched  # type: ignore[method-assign]
        one = await w.create()
        reply_id = await w.service.send(one, "Count for ever")
        w.service.hold("image")
        await w.service.send(one, "and this waits")
        print(f"reply {reply_id}", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
