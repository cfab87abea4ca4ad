# SPDX-License-Identifier: Apache-2.0
"""What holds whatever persons command, and however their commands and the answers interleave."""

import dataclasses

import hypothesis
from hypothesis import stateful
from hypothesis import strategies
import testtools

from nova_migpolicy.engine import controller as controller_mod
from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import samples
from nova_migpolicy.engine import terms
from nova_migpolicy.policy import keys
from tests.property import drawn
from tests.property import people

ENDS = drawn.ENDS
GIB = 1 << 30

held_values = strategies.fixed_dictionaries({}, optional={
    'bandwidth_mib_s': strategies.integers(0, 2000),
    'max_downtime_ms': drawn.blackouts(5000),
    'max_throttle_percent': strategies.integers(1, 99)})
released = strategies.frozensets(strategies.sampled_from([*sorted(terms.HOLDABLE), 'on_stall']))
moments = strategies.floats(-50, 500)


@strategies.composite
def changes(draw):
    policy = draw(strategies.none() | drawn.policies())
    return terms.Change(draw(held_values), draw(released), policy, draw(
        strategies.none() | moments) if policy is not None else None)


class TestWithTheModel(testtools.TestCase):
    """Commands at any time of a whole migration, each answered as a monitor would."""

    @hypothesis.given(
        drawn.worlds(beliefs=drawn.ANY), drawn.policies(),
        strategies.lists(strategies.tuples(strategies.floats(0, 60), strategies.one_of(
            changes(), changes(), strategies.sampled_from(
                ['post_copy', 'pause', 'force_complete', 'abort']))), max_size=6),
        strategies.frozensets(strategies.integers(0, 8)))
    @hypothesis.settings(max_examples=150)
    def test_commands(self, world, policy, wanted, refused):
        persons = people.Persons(self, wanted, refused)
        _, seen = drawn.play(
            world, policy, until_s=400.0, commands=persons.commands, refuse=persons.refuse)
        for decision in seen.decisions:
            self.assertTrue(decision.reason)
            if decision.refused:
                self.assertIn('in the phase ', decision.reason)
                self.assertEqual((), decision.actions)
        ends = [position for position, action in enumerate(seen.actions)
                if isinstance(action, ENDS)]
        for position in ends[:-1]:
            # Only a paused guest's migration can be ended once more, by an abort.
            self.assertEqual((remedies.Pause(), remedies.Abort()),
                             seen.actions[position:position + 2])
        if ends:
            self.assertEqual(len(seen.actions) - 1, ends[-1])

    @hypothesis.given(
        drawn.worlds(), drawn.policies(
            remedies=('bandwidth', 'downtime', 'auto_converge'), on_stall='continue',
            bandwidth_mib_s=30, max_bandwidth_mib_s=2000, timeout_seconds=300),
        held_values.filter(bool), strategies.floats(1.5, 20))
    @hypothesis.settings(max_examples=150)
    def test_what_is_held_is_not_steered(self, world, policy, held, at_s):
        world[1]['can_throttle'] = True
        persons = people.Persons(self, [(at_s, terms.Change(held))], ())
        _, seen = drawn.play(
            world, policy, until_s=400.0, commands=persons.commands, refuse=persons.refuse)
        told = [one for one in seen.decisions if one.rule == 'operator']
        steered = {people.SETTINGS.get(type(action)) for one in seen.decisions
                   for action in one.actions if told and one.at_s > told[0].at_s
                   and not isinstance(action, remedies.SetMaxDowntime)}
        self.assertEqual(set(), steered & set(held))

    @hypothesis.given(drawn.worlds(), drawn.policies(timeout_seconds=0),
                      strategies.floats(0.5, 30))
    @hypothesis.settings(max_examples=60)
    def test_a_deadline_that_a_person_sets_is_kept(self, world, policy, left_s):
        policy = dataclasses.replace(policy, on_timeout='continue', on_stall='continue',
                                     remedies=())

        def tune(controller, at_s):
            return controller.retune(terms.Change(policy=dataclasses.replace(
                policy, on_timeout='abort'), deadline_s=at_s + left_s), at_s)
        _, seen = drawn.play(world, policy, commands=[(5.0, tune)])
        self.assertIn(seen.end, ('completed', 'aborted'))


class Interleaving(stateful.RuleBasedStateMachine):
    """Anything in any order: answers that are late, twice or never, and any statistics."""

    @stateful.initialize(policy=drawn.policies(), can=strategies.booleans(),
                         throttle=strategies.booleans(), disk=strategies.sampled_from([0, GIB]))
    def start(self, policy, can, throttle, disk):
        self.controller = controller_mod.Controller(policy, controller_mod.Facts(
            GIB, disk, 0.0, link_mib_s=None if can else 200.0, can_post_copy=can,
            can_throttle=throttle, bandwidth_mib_s=policy.bandwidth_mib_s,
            deadline_s=policy.deadline_seconds(1, 0)))
        self.now_s = 0.0
        self.open = []
        self.changes = []
        self.ended = []

    def take(self, decision, by_engine=False):
        """What holds for each decision."""
        if decision is None:
            return
        controller = self.controller
        assert decision.reason
        assert not (decision.refused and decision.actions)
        if decision.refused:
            assert 'in the phase ' in decision.reason
        for action in decision.actions:
            if self.ended:
                # A paused guest's migration may still be aborted, or get another rate.
                assert not isinstance(action, ENDS) or isinstance(action, remedies.Abort)
                assert remedies.StartPostCopy() not in self.ended
            setting = people.SETTINGS.get(type(action))
            if setting in controller.held:
                assert people.value_of(action) == controller.held[setting] or (
                    setting == terms.DOWNTIME and by_engine
                    and people.value_of(action) <= controller.held[setting])
            elif setting:
                assert not people.above_the_ceiling(action, controller.policy)
        self.open.extend(decision.actions)

    @stateful.rule(step_s=strategies.floats(0, 40))
    def wait(self, step_s):
        self.now_s += step_s

    @stateful.rule(boundary=strategies.booleans(), iteration=strategies.integers(0, 9),
                   left=strategies.integers(0, GIB), sent=strategies.integers(0, 8 * GIB),
                   throttle=strategies.none() | strategies.integers(0, 99),
                   disks=strategies.booleans(), post_copy=strategies.integers(0, 30))
    def observe(self, boundary, iteration, left, sent, throttle, disks, post_copy):
        stats = {'memory_total': GIB, 'memory_remaining': left, 'memory_processed': sent,
                 'memory_iteration': iteration, 'auto_converge_throttle': throttle}
        if disks:
            stats = {'disk_total': GIB, 'disk_remaining': left, 'disk_processed': GIB - left}
        self.now_s += 0.5
        self.take(self.controller.observe(samples.Sample.from_stats(
            self.now_s, stats, boundary=boundary, post_copy=post_copy == 0)), by_engine=True)
        if post_copy == 0:
            self.ended.append(remedies.StartPostCopy())

    @stateful.rule(change=changes())
    def tune(self, change):
        before = (dict(self.controller.held), self.controller.policy, self.controller.facts)
        over = self.controller.over
        decision = self.controller.retune(change, self.now_s)
        after = (dict(self.controller.held), self.controller.policy, self.controller.facts)
        if decision.refused:
            assert before == after
        else:
            # A paused guest's migration may get another rate.
            assert not over or (self.controller.state == 'paused' and change.is_of_bandwidth)
            assert after[0].items() >= dict(change.hold).items()
            assert after[1] == (change.policy or before[1])
        self.changes.append((change, before, after))
        self.take(decision)

    @stateful.precondition(lambda self: self.changes)
    @stateful.rule(which=strategies.integers(0, 3), timed=strategies.booleans())
    def withdraw(self, which, timed):
        change, before, after = self.changes[-1 - which % len(self.changes)]
        now = (dict(self.controller.held), self.controller.policy, self.controller.facts)
        given = (change, self.now_s) if timed else (change,)
        self.take(self.controller.withdraw(*given))
        left = (dict(self.controller.held), self.controller.policy, self.controller.facts)
        assert left in (now, before)
        if which == 0 and now == after:
            self.changes.clear()

    @stateful.rule(name=strategies.sampled_from(['post_copy', 'pause', 'force_complete']))
    def order(self, name):
        decision = getattr(self.controller, name)(self.now_s)
        if name != 'force_complete' and not decision.refused:
            # A pause takes all the bandwidth that is permitted with it.
            *before, step = decision.actions
            assert isinstance(step, ENDS) and (name == 'pause' or not before)
        # Beside the end, all that is set is the engine's own choice.
        self.take(decision, by_engine=True)

    @stateful.rule()
    def abort(self):
        decision = self.controller.abort(self.now_s, 'cancelled')
        if self.controller.phase is samples.Phase.POST_COPY:
            assert decision.refused
        self.take(decision)

    @stateful.precondition(lambda self: self.open)
    @stateful.rule(again=strategies.booleans())
    def applied(self, again):
        action = self.open[0] if again else self.open.pop(0)
        self.controller.applied(action, self.now_s)
        if isinstance(action, ENDS):
            self.ended.append(action)
            assert self.controller.over

    @stateful.precondition(lambda self: self.open)
    @stateful.rule()
    def failed(self):
        self.controller.failed(self.open[0], self.now_s, 'no')
        # The rest of its decision is not done either.
        self.open.clear()

    @stateful.rule(mib_s=strategies.none() | strategies.floats(0.1, 5000))
    def link(self, mib_s):
        self.controller.update_link(mib_s)

    @stateful.invariant()
    def it_can_be_shown(self):
        if not hasattr(self, 'controller'):
            return
        controller = self.controller
        assert controller.state
        assert set(controller.held) <= terms.HOLDABLE
        dataclasses.asdict(controller.settings)
        assert isinstance(controller.policy, keys.Policy)
        if controller.forecast is not None:
            controller.forecast.to_dict()


TestInterleaving = Interleaving.TestCase
TestInterleaving.settings = hypothesis.settings(max_examples=200, stateful_step_count=40)
