import asyncio

import pytest

from local.sagemaker.endpoints.connections import Connections, NoReply


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    await writer.drain()


async def _ask(connections: Connections, port: int) -> bytes:
    return (await connections.post(port, "/invocations", {}, b"", 100)).body


def test_connections_to_a_server_that_is_gone_are_closed() -> None:
    async def exchange() -> bool:
        connections = Connections()
        writers = []

        async def first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writers.append(writer)
            await _answer(reader, writer)

        old = await asyncio.start_server(first, "127.0.0.1", 0)
        new = await asyncio.start_server(_answer, "127.0.0.1", 0)
        old_port, new_port = (server.sockets[0].getsockname()[1] for server in (old, new))
        assert await _ask(connections, old_port) == b"ok"
        idle = connections._idle[asyncio.get_running_loop()]
        ((kept_reader, kept),) = idle[old_port]
        for writer in writers:
            writer.close()
            await writer.wait_closed()
        old.close()
        while not kept_reader.at_eof():
            await asyncio.sleep(0)
        assert await _ask(connections, new_port) == b"ok"
        return kept.is_closing() and not idle[old_port]

    assert asyncio.run(exchange())


def test_an_answer_with_an_endless_head_is_no_reply() -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nX: " + b"x" * (1 << 22))
        await writer.drain()

    async def exchange() -> None:
        server = await asyncio.start_server(endless, "127.0.0.1", 0)
        with pytest.raises(NoReply):
            await _ask(Connections(), server.sockets[0].getsockname()[1])

    asyncio.run(exchange())
