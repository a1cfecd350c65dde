"""A cap on the cost of calls: each reserves the most that it can cost before it is sent.

The cap therefore includes the calls in flight. Amounts are in US dollars.
"""

import threading


class Unaffordable(Exception):
    """The next call could exceed the cap, whatever the calls in flight turn out to cost."""


class Budget:
    """Counts what is spent and reserved. Thread-safe.

    cap: None for no limit.
    """

    def __init__(self, cap: float | None = None, spent: float = 0.0) -> None:
        self.cap, self.spent = cap, spent
        self._reserved = 0.0
        self._changed = threading.Condition()

    def reserve(self, most: float) -> None:
        """Reserve `most` for a call; waits while only calls in flight prevent it. Raises `Unaffordable`."""
        if self.cap is None:
            return
        with self._changed:
            while self.spent + self._reserved + most > self.cap:
                if self.spent + most > self.cap or not self._reserved:
                    raise Unaffordable
                self._changed.wait()
            self._reserved += most

    def settle(self, most: float, cost: float) -> None:
        """Replace the reservation of a finished call by its cost, which is 0 if it was not billed."""
        with self._changed:
            self.spent += cost
            if self.cap is not None:
                self._reserved = max(0.0, self._reserved - most)
                if self._reserved < 1e-12:
                    self._reserved = 0.0
            self._changed.notify_all()
