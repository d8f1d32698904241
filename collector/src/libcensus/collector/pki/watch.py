"""Keeps a collector up to date about whom to refuse, and the store about which certificates are in use.

One thread asks the store every second: a revocation or a ban made on any collector takes effect on all of them within
seconds, on open connections too. While the store cannot be asked, what was known last holds.
"""

from __future__ import annotations

import logging
import threading
from datetime import timedelta
from typing import TYPE_CHECKING

from libcensus.collector.errors import StoreError
from libcensus.collector.pki.records import Refusals

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from libcensus.collector.store.contract import Store

_LOGGER = logging.getLogger(__name__)

_TIDY_EVERY = 3600
"""After how many looks certificates and tokens that nobody can use any more are forgotten."""

_KEPT_AFTER_GRACE = timedelta(days=90)
"""How long a certificate is remembered that can no longer be renewed: for whoever asks what happened."""


class RefusalWatch:
    """Whom to refuse, as of the last look; ``current`` may be read by any thread."""

    def __init__(
        self, store: Store, clock: Callable[[], datetime], grace: timedelta = timedelta(), interval: float = 1.0
    ) -> None:
        self._store = store
        self._clock = clock
        self._grace = grace
        self._interval = interval
        self._lock = threading.Lock()
        self._noted: set[str] = set()
        self._unwritten: set[str] = set()
        self._looks = 0
        self._ended = threading.Event()
        self._is_failing = False
        self._thread = threading.Thread(target=self._run, name="refusal-watch", daemon=True)
        self.current = Refusals()

    def start(self) -> None:
        """Look once, and then again and again; raises StoreError where the first look fails: nobody gets in blindly."""
        self.current = self._store.refusals(self._clock())
        self._thread.start()

    def stop(self) -> None:
        """End, after the last note was written."""
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join()

    def note_use(self, serial: str) -> None:
        """Take notice that a certificate was used."""
        if serial not in self._noted:
            with self._lock:
                self._noted.add(serial)
                self._unwritten.add(serial)

    def look(self) -> None:
        """Ask the store now, and write down what was noted."""
        moment = self._clock()
        with self._lock:
            noted, self._unwritten = self._unwritten, set()
        try:
            if noted:
                self._store.note_certificate_use(noted, moment)
            self.current = self._store.refusals(moment)
            self._looks += 1
            if self._looks % _TIDY_EVERY == 0:
                self._tidy(moment)
        except StoreError as error:
            with self._lock:
                self._unwritten |= noted
            if not self._is_failing:
                _LOGGER.warning("whom to refuse cannot be asked; what was known last holds: %s", error)
            self._is_failing = True
        else:
            self._is_failing = False

    def _tidy(self, moment: datetime) -> None:
        gone = self._store.forget_expired(moment - self._grace - _KEPT_AFTER_GRACE)
        with self._lock:
            # Serials of expired certificates would stay for ever otherwise.
            self._noted.clear()
        if gone:
            _LOGGER.info("%d certificates and tokens that expired long ago were forgotten", gone)

    def _run(self) -> None:
        while not self._ended.wait(self._interval):
            self.look()
        self.look()
