"""Alerts as time goes by: decides on what is known, tells the log and the webhook, each thing once. Owns when that
happens; the rules are in ``values/alert_rules.py``. Must never end of an error, nor wait for anybody."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger

from lf6gateway.services.heartbeat import Heartbeat
from lf6gateway.services.webhook import Post, Webhook
from lf6gateway.values.alert_message import REFRESH_S, again, body
from lf6gateway.values.alert_rules import Facts, conditions
from lf6gateway.values.alert_states import Alert, AlertStates, Event, State
from lf6gateway.values.settings import Settings, reveal
from lf6gateway.values.surges import ALL

_log = Logger()

EVERY: Final = 5.0
"""Seconds between two looks."""


class Alerting(Service):
    """See the module.

    :param facts: what is known, asked at each look.
    :param post: sends a body to a URL.
    :param page: the URL of the operators' listener, or nothing.
    :param random: a number in [0, 1).
    """

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Any,
        now_ns: Callable[[], int],
        facts: Callable[[], Facts],
        post: Post,
        page: Callable[[], str],
        random: Callable[[], float],
    ) -> None:
        self.setName("alerting")
        self.webhook = Webhook(clock, post, random=random)
        self._settings = settings
        self._clock = clock
        self._now_ns = now_ns
        self._facts = facts
        self._page = page
        self._states = AlertStates()
        self._told_again = 0.0
        self._beat = Heartbeat(clock, "looking for what to alert of", self.look, EVERY)
        self.reconfigure(settings)

    @property
    def alerts(self) -> tuple[Alert, ...]:
        """Those that are pending or firing."""
        return self._states.alerts

    def reconfigure(self, settings: Settings) -> None:
        """Other rules and another webhook count from the next look on."""
        self._settings = settings
        self.webhook.url = reveal(settings.alerts.webhook)

    def startService(self) -> None:
        """Begin."""
        super().startService()
        self.webhook.startService()
        self._told_again = self._clock.seconds()
        self._beat.start(now=False)

    def stopService(self) -> Deferred[None]:
        """End."""
        super().stopService()
        return DeferredList([self._beat.stop(), self.webhook.stopService()]).addCallback(lambda _: None)

    def look(self) -> None:
        """Decide, and tell."""
        terms = self._settings.alerts
        now_ns, now = self._now_ns(), self._clock.seconds()
        found = conditions(self._facts(), terms)
        for event in self._states.decide(now_ns, now, found, terms.settle.seconds):
            self._log(event)
            self.webhook.send(body(terms.format, event, self._settings.hostname, self._page()))
        if terms.format == "alertmanager" and now - self._told_again >= REFRESH_S:
            self._told_again = now
            firing = [
                Event(one.condition, State.FIRING, one.since_ns, now_ns)
                for one in self._states.alerts
                if one.state is State.FIRING
            ]
            if firing and not self.webhook.waiting:
                self.webhook.send(again(firing, self._settings.hostname, self._page()))

    def _log(self, event: Event) -> None:
        condition = event.condition
        what = condition.name if condition.subject == ALL else f"{condition.name} ({condition.subject})"
        facts = {"alert": condition.name, "subject": condition.subject, "state": event.state.value, "what": what}
        if event.state is State.RESOLVED:
            _log.info("alert {what}: it is over", **facts)
            return
        tell = _log.error if condition.severity == "critical" else _log.warn
        tell(
            "alert {what}: {summary}. What to do: {remedy}",
            summary=condition.summary,
            remedy=condition.remedy,
            **facts,
        )
