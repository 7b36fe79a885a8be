"""The client for ordinary programs: calls return when a record is on disk, and threads send it. Owns what a fork and
the end of the program mean for it; must never do the work of either thread."""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from lf6gateway.client.events import Statistics
from lf6gateway.client.failures import Closed
from lf6gateway.client.options import Options
from lf6gateway.client.records import exception_record, line_of
from lf6gateway.client.specimen import Source, specimen_of
from lf6gateway.client.target import Who, fields_of, target_of
from lf6gateway.client.threads import Threads


class Client:
    """Sends usage reports, error reports and specimens to a gateway, each once, through a queue on disk.

    Any thread may use it. A process that is forked from one that has a client uses it on: with threads and a part of
    the queue of its own.

    :param url: the gateway's, such as ``https://insights.example.com``.
    :param user_or_token: the user's name, or the token that proves it; or what gives one that is good now, called
        before each request.
    :raises ValueError: the URL, the user or an option is none.
    :raises OSError: the queue cannot be made, or a certificate not be read.
    """

    def __init__(self, url: str, user_or_token: Who, options: Options | None = None) -> None:
        self.options = options or Options()
        self._target = target_of(url, self.options)
        self._who = user_or_token
        if isinstance(user_or_token, str):
            fields_of(user_or_token)
        self._guard = threading.Lock()
        self._closed = False
        self._threads: Threads | None = None
        self._begun()
        _CLIENTS.add(self)

    def usage(self, report: Any, *, wait: float | None = None) -> bool:
        """Hand a usage report over.

        :param report: what ``json.dumps`` takes; or bytes that hold one JSON value, which are sent as they are.
        :param wait: seconds to wait for the disk at most; ``Options.wait`` if left out.
        :returns: whether it is on disk, and so will be sent also if this process is killed. ``False``: it waits in
            memory for a disk that is slow.
        :raises NotSendable: it is no JSON, or too long.
        :raises QueueFull: there is no room for it.
        :raises QueueFailed: the disk failed.
        :raises Closed: the client is closed.
        """
        return self._put("usage", report, wait)

    def error(self, report: Any, *, more: Mapping[str, Any] | None = None, wait: float | None = None) -> bool:
        """Hand an error report over: as ``usage``, or an exception, which is sent with its traceback and causes.

        :param more: further members for the report of an exception, such as the program's version.
        """
        if isinstance(report, BaseException):
            report = exception_record(report, more)
        elif more is not None:
            report = {**more, **report}
        return self._put("error", report, wait)

    def specimen(
        self,
        source: Source,
        *,
        uri: str | None = None,
        content_type: str | None = None,
        wait: float | None = None,
    ) -> bool:
        """Copy a specimen into the queue.

        :param source: its path; or a file opened in binary mode, which is read to its end.
        :param uri: what it is called; the path's ``file:`` URI if left out.
        :param content_type: of its content; guessed from its name by the gateway if left out.
        :param wait: seconds that copying may take at most; ``Options.specimen_wait`` if left out.
        :returns: ``True``: it is on disk. ``False``: it is about to be, but the disk took too long to say so.
        :raises QueueFailed: copying took too long, or the disk failed; it is not kept.
        :raises OSError: it cannot be read.
        :raises ClientError: as ``usage``.
        """
        specimen = specimen_of(source, uri, content_type)
        return self._begun().specimen(specimen, self.options.specimen_wait if wait is None else wait)

    def flush(self, timeout: float = 30.0) -> bool:
        """Send everything now. Whether all of it is acknowledged, after ``timeout`` seconds at most."""
        return self._begun().flush(timeout)

    def close(self, timeout: float | None = None) -> bool:
        """Send everything and end. Whether all of it is acknowledged, after ``timeout`` seconds (``Options.exit_wait``)
        at most; what is not stays in the queue for the next start."""
        with self._guard:
            self._closed = True
            threads, self._threads = self._threads, None
        _CLIENTS.discard(self)
        return threads is None or threads.close(self.options.exit_wait if timeout is None else timeout)

    @property
    def statistics(self) -> Statistics:
        """Figures since the client began in this process."""
        return self._begun().statistics()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _put(self, stream: str, report: Any, wait: float | None) -> bool:
        line = line_of(report, most=self.options.batch_bytes, default=self.options.default)
        return self._begun().put(stream, line, self.options.wait if wait is None else wait)

    def _begun(self) -> Threads:
        """The threads of this process; a fork has left none behind."""
        threads = self._threads
        if threads is not None:
            return threads
        with self._guard:
            if self._closed:
                raise Closed("the client is closed")
            if self._threads is None:
                self._threads = Threads(self._target, self._who, self.options)
            return self._threads

    def _forked(self) -> None:
        threads, self._threads = self._threads, None
        self._guard = threading.Lock()
        if threads is not None:
            threads.forget()
            _FORGOTTEN.append(threads)


# Until they are closed, for their threads go on until then, too.
_CLIENTS: set[Client] = set()
# The parent's locks may be held for ever in a child: nothing of them may be freed by chance in a finaliser.
_FORGOTTEN: list[Threads] = []


def _after_fork() -> None:
    for client in list(_CLIENTS):
        client._forked()


def _at_exit() -> None:
    clients = list(_CLIENTS)
    deadline = time.monotonic() + max((client.options.exit_wait for client in clients), default=0.0)
    for client in clients:
        client.close(min(client.options.exit_wait, max(0.0, deadline - time.monotonic())))


os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)
