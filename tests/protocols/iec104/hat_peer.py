"""hat-drivers as a station or a master in a process of its own, for the interop matrix; JSON lines on stdin and stdout.

usage: hat_peer.py station PORT | master PORT
"""

import asyncio
import contextlib
import datetime as dt
import json
import sys

from hat.drivers import iec104, tcp

from scada.core.clock import SystemClock

GOOD = iec104.IndicationQuality(False, False, False, False)
GOOD_MEASUREMENT = iec104.MeasurementQuality(False, False, False, False, False)
GOOD_COUNTER = iec104.CounterQuality(False, False, False, 0)
DATA, RESULT, ACTIVATE = iec104.DataResCause, iec104.CommandResCause, iec104.CommandReqCause.ACTIVATION


def say(**what):
    print(json.dumps(what), flush=True)


async def orders():
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async for line in reader:
        yield json.loads(line)


def element(name, value):
    if name == "single":
        return 100, iec104.SingleData(iec104.SingleValue(int(value)), GOOD)
    if name == "double":
        return 200, iec104.DoubleData(iec104.DoubleValue(int(value)), GOOD)
    if name == "short":
        return 300, iec104.FloatingData(iec104.FloatingValue(value), GOOD_MEASUREMENT)
    return 800, iec104.BinaryCounterData(iec104.BinaryCounterValue(int(value)), GOOD_COUNTER)


class Station:
    def __init__(self):
        self.values = {"single": 0, "double": 1, "short": 12.5}
        self.links, self.selected = [], set()

    def data(self, name, cause, time_ms=None):
        ioa, content = element(name, 4711 if name == "counter" else self.values[name])
        stamp = iec104.time_from_datetime(dt.datetime.fromtimestamp(time_ms / 1000, dt.UTC)) if time_ms else None
        return iec104.DataMsg(False, 0, 1, ioa, content, stamp, cause)

    async def serve(self, link):
        self.links.append(link)
        with contextlib.suppress(ConnectionError):
            while True:
                for message in await link.receive():
                    await link.send(self.answer(message))
        self.links.remove(link)

    def answer(self, message):
        """Confirmation, data and termination of what was asked."""
        confirmed = [message._replace(cause=RESULT.ACTIVATION_CONFIRMATION)] if hasattr(message, "cause") else []
        ended = [message._replace(cause=RESULT.ACTIVATION_TERMINATION)]
        if isinstance(message, iec104.InterrogationMsg):
            return confirmed + [self.data(name, DATA.INTERROGATED_STATION) for name in self.values] + ended
        if isinstance(message, iec104.CounterInterrogationMsg):
            return [*confirmed, self.data("counter", DATA.INTERROGATED_COUNTER), *ended]
        if isinstance(message, iec104.ClockSyncMsg):
            say(clock=True)
            return [message._replace(cause=iec104.ClockSyncResCause.ACTIVATION_CONFIRMATION)]
        if not isinstance(message, iec104.CommandMsg):
            return []
        if message.cause == iec104.CommandReqCause.DEACTIVATION:
            self.selected.discard(message.io_address)
            say(command=message.io_address, step="cancel")
            return [message._replace(cause=RESULT.DEACTIVATION_CONFIRMATION)]
        if message.command.select:
            self.selected.add(message.io_address)
            say(command=message.io_address, step="select")
            return confirmed
        if message.io_address == 5000 and 5000 not in self.selected:
            return [confirmed[0]._replace(is_negative_confirm=True)]
        self.selected.discard(message.io_address)
        say(command=message.io_address, step="execute", value=message.command.value.value)
        return confirmed + ended


async def station(port):
    one = Station()
    server = await iec104.listen(one.serve, tcp.Address("127.0.0.1", port))
    say(ready=True)
    async for order in orders():
        name = order["set"]
        one.values[name] = order["value"]
        for link in one.links:
            await link.send([one.data(name, DATA.SPONTANEOUS, order["time_ms"])])
    await server.async_close()


class Master:
    def __init__(self, port):
        self.port, self.link = port, None
        self.heard = asyncio.Queue()

    async def keep(self):
        while True:
            with contextlib.suppress(ConnectionError, OSError, TimeoutError):
                self.link = await iec104.connect(tcp.Address("127.0.0.1", self.port))
                say(up=True)
                while True:
                    for message in await self.link.receive():
                        self.take(message)
            self.link = None
            say(up=False)
            await asyncio.sleep(0.5)

    def take(self, message):
        if not isinstance(message, iec104.DataMsg):
            self.heard.put_nowait(message)
            return
        value = message.data.value
        value = getattr(value, "value", value)
        time = message.time and round(iec104.time_to_datetime(message.time).timestamp() * 1000)
        say(told=message.io_address, value=value, time_ms=time, cause=message.cause.value)

    async def ask(self, message, *wanted):
        """Send, and wait for answers of the same class with each of the causes, none of them negative."""
        while not self.heard.empty():
            self.heard.get_nowait()
        await self.link.send([message])
        try:
            async with asyncio.timeout(5):
                for cause in wanted:
                    while True:
                        said = await self.heard.get()
                        if type(said) is type(message):
                            if said.is_negative_confirm or said.cause != cause:
                                return False
                            break
        except TimeoutError:
            return False
        return True

    def command(self, ioa, command, cause=ACTIVATE):
        return iec104.CommandMsg(False, 0, 1, ioa, command, False, None, cause)

    async def carry_out(self, order):
        confirmed, ended = RESULT.ACTIVATION_CONFIRMATION, RESULT.ACTIVATION_TERMINATION
        select = self.command(5000, iec104.DoubleCommand(iec104.DoubleValue.ON, True, 0))
        match order:
            case "interrogate":
                return await self.ask(iec104.InterrogationMsg(False, 0, 1, 20, False, ACTIVATE), confirmed, ended)
            case "counters":
                read = iec104.CounterInterrogationMsg(False, 0, 1, 5, iec104.FreezeCode.READ, False, ACTIVATE)
                return await self.ask(read, confirmed, ended)
            case "clock":
                now = iec104.time_from_datetime(dt.datetime.fromtimestamp(SystemClock().now_ns() / 1e9, dt.UTC))
                asked = iec104.ClockSyncMsg(False, 0, 1, now, False, iec104.ClockSyncReqCause.ACTIVATION)
                return await self.ask(asked, iec104.ClockSyncResCause.ACTIVATION_CONFIRMATION)
            case "direct":
                return await self.ask(self.command(5001, iec104.SingleCommand(iec104.SingleValue.ON, False, 0)), confirmed)
            case "sbo":
                execute = self.command(5000, iec104.DoubleCommand(iec104.DoubleValue.ON, False, 0))
                return await self.ask(select, confirmed) and await self.ask(execute, confirmed)
            case "cancel":
                cancel = select._replace(cause=iec104.CommandReqCause.DEACTIVATION)
                return await self.ask(select, confirmed) and await self.ask(cancel, RESULT.DEACTIVATION_CONFIRMATION)
        raise ValueError(order)


async def master(port):
    one = Master(port)
    task = asyncio.create_task(one.keep())
    async for order in orders():
        say(done=order["do"], ok=await one.carry_out(order["do"]))
    task.cancel()


if __name__ == "__main__":
    asyncio.run({"station": station, "master": master}[sys.argv[1]](int(sys.argv[2])))
