# SPDX-License-Identifier: Apache-2.0
"""Asks the engine, and survives its errors: a bug of ours must not cost the guest its monitor.

What is owed without an engine is an end, and it is here: at the deadline, or where an operator's
cancel was refused, an abort that is tried until it works. All else is the engine's to decide.
"""

from __future__ import annotations

from collections.abc import Callable
import dataclasses

from oslo_log import log as logging

from nova_migpolicy.engine import controller as controller_mod
from nova_migpolicy.engine import ledger
from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import samples
from nova_migpolicy import vocabulary

LOG = logging.getLogger(__name__)

Decision = controller_mod.Decision


class Engine:
    """The controller of one migration, until it has failed.

    :param say: takes a sentence for the journal
    :param uuid: the server's, for lines in the log
    """

    def __init__(self, controller: controller_mod.Controller, clock: Callable[[], float],
                 say: Callable[[str], None], uuid: str) -> None:
        self._controller = controller
        self._clock = clock
        self._say = say
        self._uuid = uuid
        self._steering = True
        self._owed: Decision | None = None
        self._tries = 0
        self._again_s = 0.0

    def ask(self, decide: Callable[[float], Decision | None]) -> Decision | None:
        """What it decides now; None for nothing, and for ever once it has failed."""
        if not self._steering:
            return None
        try:
            return decide(self._clock())
        except Exception:
            LOG.exception('The engine failed: this migration is only watched from now on',
                          instance_uuid=self._uuid)
            self._say('the engine failed: only watching from now on')
            self._steering = False
            return None

    def owe(self, abort: Decision, at_s: float) -> None:
        """Take over an abort that was refused just now, while the engine cannot be asked."""
        self._owed = abort
        self._try(at_s)

    def observe(self, sample: samples.Sample, *, ended: bool) -> Decision | None:
        """What it decides about a sample; without it, an abort may still be owed.

        :param ended: whether a step has been taken after which there is nothing to abort
        """
        found = self.ask(lambda _at_s: self._controller.observe(sample))
        at_s, deadline_s = sample.at_s, self._controller.facts.deadline_s
        if self._steering or ended:
            return found
        if self._owed is None and deadline_s is not None and at_s >= deadline_s:
            self._owed = Decision(
                at_s, (remedies.Abort(),), vocabulary.ON_TIMEOUT,
                'The deadline has passed, and after an error nothing else can be decided')
        if self._owed is None or at_s < self._again_s:
            return None
        owed = dataclasses.replace(self._owed, at_s=at_s, again=self._tries > 0)
        self._try(at_s)
        return owed

    def _try(self, at_s: float) -> None:
        self._tries += 1
        self._again_s = at_s + ledger.abort_pause_s(self._tries)
