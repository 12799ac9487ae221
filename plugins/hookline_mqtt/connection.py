"""A connection to a broker: paho's client, driven by the event loop instead of its own thread.

The library would acknowledge a message when it arrives; here, the caller of `taken` does it.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Any, Final

from paho.mqtt.client import Client, MQTTMessage, MQTTv5, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from hookline.api import Resources, StepError, Unavailable
from hookline_mqtt.connector import MqttLogin
from hookline_mqtt.failures import FAILED, connection_rejected, lost_connection, no_connection, rejected

CONNECT: Final = 10.0
"""Seconds within which the broker must answer a connection attempt."""
ANSWER: Final = 30.0
"""Seconds within which it must answer anything else."""
KEEPALIVE: Final = 60
"""Seconds of silence after which a ping is sent."""
_TICK: Final = 1.0
_LATER: Final = 5
"""The seconds after which paho gives up a connection attempt."""


class _Client(Client):
    """A client whose connection is opened by `ctx.resources`, which decides the addresses that it may reach."""

    opened: socket.socket | None = None
    """The open connection, until the client takes it."""

    context: ssl.SSLContext | None = None

    def _create_socket(self) -> socket.socket:
        taken, self.opened = self.opened, None
        if taken is None:
            raise OSError("the client connects only once")
        taken.settimeout(self.connect_timeout)
        if self.context is None:
            return taken
        encrypted = self.context.wrap_socket(taken, server_hostname=self.host, do_handshake_on_connect=False)
        try:
            encrypted.do_handshake()
        except BaseException:
            encrypted.close()
            raise
        return encrypted


class Connection:
    """A connection and its pending requests."""

    def __init__(
        self,
        resources: Resources,
        login: MqttLogin,
        client_id: str,
        *,
        keep: float | None = None,
        at_once: int | None = None,
    ) -> None:
        """`keep`: the seconds for which the broker keeps the session without a connection; None: it keeps none.

        `at_once`: the number of messages that may be unacknowledged; None if none are to be received.
        """
        self.where = login.shown
        self.version5 = login.version == "5"
        self.on_message: Callable[[MQTTMessage], None] = lambda _message: None
        self.lost: asyncio.Future[StepError] = asyncio.get_running_loop().create_future()
        """Done when the connection is lost."""
        self._resources = resources
        self._login = login
        self._keep = keep
        self._at_once = at_once
        self._loop = asyncio.get_running_loop()
        self._connected: asyncio.Future[bool] = self._loop.create_future()
        self._answers: dict[int, asyncio.Future[list[Any]]] = {}
        self._early: dict[int, list[Any]] = {}
        self._socket: Any = None
        self._ticking: asyncio.Task[None] | None = None
        self._closed = False
        self._client = self._made(login, client_id)

    def _made(self, login: MqttLogin, client_id: str) -> _Client:
        client = _Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=MQTTv5 if self.version5 else MQTTv311,
            clean_session=None if self.version5 else self._keep is None,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        client.connect_timeout = _LATER
        if login.username is not None:
            password = None if login.password is None else login.password.get_secret_value()
            client.username_pw_set(login.username, password)
        if login.tls:
            try:
                client.context = ssl.create_default_context(cadata=login.ca)
            except ssl.SSLError as error:
                raise StepError(
                    f"the credential's `ca` contains no certificates in PEM: {error.reason}", code="mqtt.tls"
                ) from None
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_publish = lambda _client, _data, mid, reason, _properties: self._answered(mid, [reason])
        client.on_subscribe = lambda _client, _data, mid, reasons, _properties: self._answered(mid, reasons)
        # These are called in the thread that connects and opens a socket.
        client.on_socket_open = lambda _client, _data, sock: self._soon(self._opened, sock)
        client.on_socket_close = lambda _client, _data, sock: self._on_socket_close(sock)
        client.on_socket_register_write = lambda _client, _data, sock: self._soon(self._want_write, sock)
        client.on_socket_unregister_write = lambda _client, _data, sock: self._soon(self._no_write, sock)
        return client

    async def connect(self) -> bool:
        """Connect; return true if the broker has kept the session. Raises StepError."""
        properties = None
        if self.version5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # the library has no types there
            if self._keep is not None:
                properties.SessionExpiryInterval = min(int(self._keep), 0xFFFFFFFE)
            if self._at_once is not None:
                properties.ReceiveMaximum = self._at_once
        options: dict[str, Any] = {"clean_start": self._keep is None, "properties": properties} if self.version5 else {}

        def connect() -> None:
            # It blocks for TLS.
            self._client.connect(self._login.host, self._login.port_there, KEEPALIVE, **options)

        try:
            async with asyncio.timeout(CONNECT):
                self._client.opened = await self._resources.connect(self._login.host, self._login.port_there)
                await self._loop.run_in_executor(None, connect)
                self._ticking = self._loop.create_task(self._tick())
                return await self._connected
        except (OSError, TimeoutError, ValueError) as error:
            raise no_connection(self.where, error) from error
        except Unavailable as error:
            if error.error_code != "engine.connect":
                raise
            raise Unavailable(error.message, code="mqtt.connection") from error

    async def publish(self, topic: str, payload: bytes, qos: int, retain: bool, properties: Properties | None) -> None:
        """Publish a message; return when the broker has it, or for `qos` 0 when it is sent. Raises StepError."""
        try:
            info = self._client.publish(topic, payload, qos, retain, properties)
        except ValueError as error:
            raise StepError(f"the message can't be written: {error}", code="mqtt.topic") from error
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise self._gone(info.rc)
        (reason,) = await self._answer(info.mid)
        if getattr(reason, "value", 0) >= FAILED:
            raise rejected(self.where, f"the message to {topic!r}", reason)

    async def subscribe(self, topics: list[str], qos: int, *, retained: bool) -> None:
        """Subscribe to topic filters. Raises StepError.

        `retained`: also receive the retained messages if the subscription is new.
        """
        if self.version5:
            handling = SubscribeOptions.RETAIN_SEND_IF_NEW_SUB if retained else SubscribeOptions.RETAIN_DO_NOT_SEND
            options = [(topic, SubscribeOptions(qos=qos, retainHandling=handling)) for topic in topics]
            code, mid = self._client.subscribe(options)
        else:
            code, mid = self._client.subscribe([(topic, qos) for topic in topics])
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS or mid is None:
            raise self._gone(code)
        for topic, reason in zip(topics, await self._answer(mid), strict=False):
            if reason.value >= FAILED:
                raise rejected(self.where, f"the subscription of {topic!r}", reason)

    def taken(self, message: MQTTMessage) -> None:
        """Acknowledge a message. Raises StepError if the connection is lost."""
        code = MQTTErrorCode.MQTT_ERR_NO_CONN if self.lost.done() else self._client.ack(message.mid, message.qos)
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise self._gone(code)

    async def close(self) -> None:
        """Disconnect; the broker keeps the session if it was asked to."""
        self._closed = True
        if self._ticking is not None:
            self._ticking.cancel()
            await asyncio.wait((self._ticking,))
        if self._socket is not None and not self.lost.done():
            self._client.disconnect()
            # Written data is sent at once, unless the other side doesn't read.
            self._client.loop_write()
        if self._connected.done() and not self._connected.cancelled():
            # The waiting task may be gone; then nobody has to retrieve the exception.
            self._connected.exception()
        self._drop()
        if self._client.opened is not None:
            # The thread in which the client would have taken it never ran.
            self._client.opened.close()

    def _drop(self) -> None:
        for answer in self._answers.values():
            answer.cancel()
        sock, self._socket = self._socket or self._client.socket(), None
        if sock is not None and sock.fileno() >= 0:
            self._loop.remove_reader(sock)
            self._loop.remove_writer(sock)
            sock.close()

    async def _answer(self, mid: int) -> list[Any]:
        if mid in self._early:
            return self._early.pop(mid)
        answer = self._answers[mid] = self._loop.create_future()
        try:
            async with asyncio.timeout(ANSWER):
                await asyncio.wait((answer, self.lost), return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError as error:
            raise Unavailable(
                f"{self.where} doesn't answer in time", code="mqtt.timeout", outcome_unknown=True
            ) from error
        finally:
            self._answers.pop(mid, None)
        if answer.done() and not answer.cancelled():
            reasons: list[Any] = answer.result()
            return reasons
        raise self.lost.result() if self.lost.done() else self._gone("it is closed")

    def _answered(self, mid: int, reasons: list[Any]) -> None:
        answer = self._answers.get(mid)
        if answer is None:
            # It was sent within the call, which hasn't returned its id yet.
            self._early = {mid: reasons}
        elif not answer.done():
            answer.set_result(reasons)

    def _gone(self, why: Any) -> StepError:
        return self.lost.result() if self.lost.done() else lost_connection(self.where, why)

    def _on_connect(self, _client: Client, _data: Any, flags: Any, reason: Any, _properties: Any) -> None:
        if self._connected.done():
            return
        if reason.value:
            self._connected.set_exception(connection_rejected(self.where, reason))
        else:
            self._connected.set_result(bool(flags.session_present))

    def _on_disconnect(self, _client: Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self._lose(lost_connection(self.where, reason))

    def _lose(self, error: StepError) -> None:
        if not self._connected.done():
            self._connected.set_exception(error)
        if not self.lost.done():
            self.lost.set_result(error)

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        self.on_message(message)

    def _soon(self, call: Callable[[Any], None], sock: Any) -> None:
        self._loop.call_soon_threadsafe(call, sock)

    def _opened(self, sock: Any) -> None:
        self._socket = sock
        if self._closed:
            # Nobody waits for it any more.
            self._drop()
            return
        self._loop.add_reader(sock, self._read)

    def _on_socket_close(self, sock: Any) -> None:
        # A socket that fails while it is opened is closed in the opening thread.
        if self._socket is sock and sock.fileno() >= 0:
            self._loop.remove_reader(sock)
            self._loop.remove_writer(sock)
        self._socket = None

    def _want_write(self, sock: Any) -> None:
        if self._socket is sock:
            self._loop.add_writer(sock, self._write)

    def _no_write(self, sock: Any) -> None:
        if self._socket is sock and sock.fileno() >= 0:
            self._loop.remove_writer(sock)

    def _read(self) -> None:
        sock = self._socket
        self._guarded(self._client.loop_read)
        # Data that TLS has already decrypted doesn't make the socket readable.
        while self._socket is sock and isinstance(sock, ssl.SSLSocket) and sock.pending():
            self._guarded(self._client.loop_read)

    def _write(self) -> None:
        self._guarded(self._client.loop_write)

    def _guarded(self, step: Callable[[], MQTTErrorCode]) -> None:
        try:
            step()
        except (OSError, ValueError, IndexError, KeyError) as error:
            # Data that isn't MQTT can raise any exception in the library.
            self._lose(lost_connection(self.where, error))
            self._drop()

    async def _tick(self) -> None:
        while not self.lost.done():
            self._guarded(self._client.loop_misc)
            await asyncio.sleep(_TICK)
