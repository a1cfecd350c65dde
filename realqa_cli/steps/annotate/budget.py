"""A cap on what calls cost together: each reserves the most that it can cost before it goes.

So the cap holds for the calls in flight, too. Amounts are in US dollars. Knows no server and no prices.
"""

import threading


class Unaffordable(Exception):
    """The next call could exceed the cap; nothing in flight can change that."""


class Budget:
    """Counts what is spent and what may be. Several threads may share one. cap: None is no limit."""

    def __init__(self, cap: float | None = None, spent: float = 0.0) -> None:
        self.cap, self.spent = cap, spent
        self._reserved = 0.0
        self._changed = threading.Condition()

    def reserve(self, most: float) -> None:
        """Sets `most` aside for a call, waiting for calls in flight where only they are in the way.

        Raises Unaffordable.
        """
        if self.cap is None:
            return
        with self._changed:
            while self.spent + self._reserved + most > self.cap:
                if self.spent + most > self.cap or not self._reserved:
                    raise Unaffordable
                self._changed.wait()
            self._reserved += most

    def settle(self, most: float, cost: float) -> None:
        """A call for which `most` was set aside is over, and cost so much; 0 for one that was not billed."""
        with self._changed:
            self.spent += cost
            if self.cap is not None:
                self._reserved = max(0.0, self._reserved - most)
                if self._reserved < 1e-12:
                    self._reserved = 0.0
            self._changed.notify_all()
