"""A TCP proxy between clients and a server: a test cuts, delays, freezes and loses what passes through it."""

import asyncio
import contextlib
import threading

CHUNK = 1 << 20


class Connection:
    """One client's connection, and that to the server for it."""

    def __init__(self, proxy, client, server):
        self.proxy, self.client, self.server = proxy, client, server
        self.flows = asyncio.Event()
        self.fate = None  # What becomes of the next answer: it is lost, or the last.
        if not proxy.freezes_new:
            self.flows.set()

    async def requests(self, reader):
        while data := await reader.read(CHUNK):
            await self.pause()
            if self.fate is None:
                self.fate = self.proxy.fate_of(data)
            self.server.write(data)
            await self.server.drain()
        self.server.close()

    async def answers(self, reader):
        while data := await reader.read(CHUNK):
            await self.pause()
            if self.fate != "lost":
                self.client.write(data)
                await self.client.drain()
            if self.fate is not None:
                break
        self.close()

    async def pause(self):
        await asyncio.sleep(self.proxy.delay)
        await self.flows.wait()

    def close(self):
        self.client.close()
        self.server.close()


class Proxy:
    """Passes connections on to a port of this machine, from a thread of its own."""

    def __init__(self, target):
        self.target = target  # The server's port; it may be changed.
        self.delay = 0.0  # Seconds that each piece waits, in both directions.
        self.refuses = False
        self.freezes_new = False
        self.num_connections = 0  # In all.
        self.num_struck = 0  # How often a fate was met.
        self._fates = []
        self._open = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._listener = self._do(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = self._listener.sockets[0].getsockname()[1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.refuses = True
        self.thaw()
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def url(self, url):
        """A server's URL with the port of the proxy."""
        return url.replace(f":{self.target}/", f":{self.port}/")

    def cut(self):
        """Ends all connections."""
        self._call(lambda: [own.close() for own in self._open])

    def freeze(self, new=False):
        """Nothing passes on the connections that there are, and on new ones if `new`; they stay open."""
        self.freezes_new = new
        self._call(lambda: [own.flows.clear() for own in self._open])

    def thaw(self):
        """What was frozen passes, even if who sent it has gone."""
        self.freezes_new = False
        self._call(lambda: [own.flows.set() for own in self._open])

    def lose_answer(self, text, times=1):
        """The next requests that contain the text reach the server; instead of its answer comes the end."""
        self._fates += [(text, "lost")] * times

    def cut_after(self, text, times=1):
        """The next requests that contain the text are answered, and the connections end with the answer."""
        self._fates += [(text, "last")] * times

    def fate_of(self, data):
        for place, (text, fate) in enumerate(self._fates):
            if text in data:
                del self._fates[place]
                self.num_struck += 1
                return fate
        return None

    async def _end(self):
        self._listener.close()
        while self._open:
            for own in self._open:
                own.close()
            await asyncio.sleep(0.01)

    async def _serve(self, reader, writer):
        if self.refuses:
            writer.close()
            return
        try:
            from_server, to_server = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.close()
            return
        self.num_connections += 1
        own = Connection(self, writer, to_server)
        self._open.add(own)
        ways = [own.requests(reader), own.answers(from_server)]
        with contextlib.suppress(OSError):
            await asyncio.gather(*(self._way(own, way) for way in ways))
        own.close()
        self._open.discard(own)

    @staticmethod
    async def _way(own, pieces):
        try:
            await pieces
        except OSError:  # A process that is killed resets its connections.
            own.close()

    def _call(self, function):
        async def call():
            function()

        self._do(call())

    def _do(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=60)
