# SPDX-License-Identifier: Apache-2.0
"""People who command a migration on the model, and check what comes of it."""

from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import terms

SETTINGS = {remedies.SetBandwidth: terms.BANDWIDTH, remedies.SetThrottle: terms.THROTTLE,
            remedies.SetMaxDowntime: terms.DOWNTIME}


def value_of(action):
    """The value of an action that sets something, as a person would have set it."""
    if isinstance(action, remedies.SetMaxDowntime):
        return action.promised_ms
    return action.mib_s if isinstance(action, remedies.SetBandwidth) else action.percent


def above_the_ceiling(action, policy):
    """Whether an action goes beyond what a policy permits."""
    if isinstance(action, remedies.SetBandwidth):
        top = policy.max_bandwidth_mib_s
        return bool(top) and not 0 < action.mib_s <= top
    if isinstance(action, remedies.SetMaxDowntime):
        return action.promised_ms > policy.max_downtime_ms
    if isinstance(action, remedies.SetThrottle):
        return action.percent > max(1, policy.max_throttle_percent)
    return False


class Persons:
    """Give commands to a run of the model, and check what comes of them.

    As a monitor does, they withdraw a change of which something was refused.
    """

    def __init__(self, test, wanted, refused):
        self._test = test
        self._refused = refused
        self._controller = None
        self._tried = 0
        self._failed = False
        self.commands = []
        for at_s, what in sorted(wanted, key=lambda pair: pair[0]):
            self.commands.append((at_s, self._order(what) if isinstance(what, str)
                                  else self._tune(what)))
            if not isinstance(what, str):
                self.commands.append((at_s, self._withdraw(what)))

    def refuse(self, action):
        """Whether libvirt refuses; each action that is tried passes here."""
        controller, setting = self._controller, SETTINGS.get(type(action))
        if setting is not None and controller is not None:
            if setting in controller.held:
                self._test.assertEqual(controller.held[setting], value_of(action))
            else:
                self._test.assertFalse(above_the_ceiling(action, controller.policy))
        self._tried += 1
        if self._tried not in self._refused:
            return None
        self._failed = True
        return 'libvirt says no'

    def _order(self, name):
        return lambda controller, at_s: getattr(controller, name)(
            at_s, *(['cancelled'] if name == 'abort' else []))

    def _tune(self, change):
        def give(controller, at_s):
            self._controller = controller
            self._before = self._now()
            self._failed = False
            decision = controller.retune(change, at_s)
            self._refused_by_engine = decision.refused
            held, policy, _ = self._before
            wanted = {name: value for name, value in held.items() if name not in change.release}
            wanted = ({**wanted, **change.hold}, change.policy or policy)
            self._test.assertEqual(
                self._before[:2] if decision.refused else wanted, self._now()[:2])
            return decision
        return give

    def _withdraw(self, change):
        def give(controller, at_s):
            if not self._failed:
                self._check_ceilings()
                return None
            decision = controller.withdraw(change, at_s)
            self._test.assertEqual(self._before, self._now())
            return decision
        return give

    def _check_ceilings(self):
        now, held = self._controller.settings, self._controller.held
        in_force = [remedies.SetBandwidth(now.cap_mib_s),
                    remedies.SetMaxDowntime(now.limit_ms, now.promised_ms),
                    remedies.SetThrottle(now.throttle_percent)]
        for action in in_force:
            setting = SETTINGS[type(action)]
            if setting in held:
                self._test.assertEqual(held[setting], value_of(action))
            elif not self._refused_by_engine:
                self._test.assertFalse(above_the_ceiling(action, self._controller.policy))

    def _now(self):
        controller = self._controller
        return dict(controller.held), controller.policy, controller.facts.deadline_s
