# SPDX-License-Identifier: Apache-2.0
"""The plan: its actions in their order, each after a fresh look, and what may be in which step."""

import testtools

from nova_migpolicy.recovery import doors
from nova_migpolicy.recovery import evidence
from nova_migpolicy.recovery import plan
from nova_migpolicy.recovery import table
from tests.unit.recovery import looks

Action = plan.Action
Kind = table.Kind
Source = evidence.Source
Destination = evidence.Destination
Written = evidence.Written
Home = evidence.Home
seen = looks.seen

ARRIVED = seen(source=Source.ABSENT, destination=Destination.ARRIVED)
DELETED = looks.over(evidence.Status.MISSING, source=Source.ABSENT, home=Home.NONE,
                     written=Written.DONE)


class TestPlan(testtools.TestCase):

    def test_every_step_has_its_actions_and_every_action_a_step(self):
        self.assertEqual(set(Kind), set(plan.PLAN))
        self.assertEqual(set(Action), {one for actions in plan.PLAN.values() for one in actions})

    def test_no_action_is_twice_in_a_step(self):
        for actions in plan.PLAN.values():
            self.assertEqual(len(actions), len(set(actions)))

    def test_the_source_loses_its_copy_only_where_it_is_not_the_guest(self):
        """Whatever is seen: it does not run, and what it has is on the destination or nobody's."""
        wrong = [
            (one, step) for one, step in looks.every()
            if Action.REMOVE_SOURCE_COPY in plan.PLAN[step.kind] and not (
                one.source is not Source.RUNNING and (
                    one.destination in (Destination.ARRIVED, Destination.SHUT_OFF)
                    or (one.source in doors.OFF and one.home in (Home.OTHER, Home.NONE))))]
        self.assertEqual([], wrong[:1])

    def test_a_copy_that_may_run_is_ended_only_where_nova_has_it_elsewhere_and_it_runs(self):
        ends = [one for one, step in looks.every()
                if Action.END_SOURCE_COPY in plan.PLAN[step.kind]]
        self.assertEqual({(Home.OTHER, True)}, {(one.home, one.is_evacuated) for one in ends})
        self.assertEqual({Source.RUNNING, Source.PAUSED}, {one.source for one in ends})

    def test_the_source_is_let_run_only_where_the_destination_has_not_got_it(self):
        wrong = [
            (one, step) for one, step in looks.every()
            if Action.LET_RUN in plan.PLAN[step.kind] and one.destination not in (
                Destination.ABSENT, Destination.INCOMING, Destination.SILENT)]
        self.assertEqual([], wrong[:1])

    def test_copies_are_removed_from_both_only_of_a_deleted_server(self):
        wrong = [(one, step) for one, step in looks.every()
                 if Action.REMOVE_ALL_COPIES in plan.PLAN[step.kind]
                 and one.home is not Home.NONE]
        self.assertEqual([], wrong[:1])

    def test_the_record_is_marked_before_anything_else(self):
        for kind, mark in ((Kind.FINISH, Action.MARK_FINISHING),
                           (Kind.ROLL_BACK, Action.MARK_ROLLING_BACK)):
            self.assertEqual(mark, plan.PLAN[kind][0])

    def test_only_nothing_forgets(self):
        self.assertEqual([Kind.NOTHING], [
            kind for kind, actions in plan.PLAN.items() if Action.FORGET in actions])
        self.assertEqual(Action.FORGET, plan.PLAN[Kind.NOTHING][-1])


class TestCarryOut(testtools.TestCase):

    def carry_out(self, *looks_in_turn, fails=None):
        """Carry out a step; the last look lasts."""
        left = list(looks_in_turn)
        self.done = []
        self.looks = 0

        def look():
            self.looks += 1
            return left.pop(0) if len(left) > 1 else left[0]

        def do(action, step):
            if action is fails:
                raise OSError('it died')
            self.done.append((action, step.reason))

        return plan.carry_out(look, do)

    def test_all_actions_in_their_order_each_after_a_look(self):
        step = self.carry_out(ARRIVED)
        self.assertEqual((Kind.FINISH, 'the guest has arrived'), (step.kind, step.reason))
        self.assertEqual(list(plan.PLAN[Kind.FINISH]), [action for action, _ in self.done])
        self.assertEqual(len(self.done), self.looks)

    def test_each_action_is_told_the_reason(self):
        self.carry_out(ARRIVED)
        self.assertEqual({'the guest has arrived'}, {reason for _, reason in self.done})

    def test_another_step_is_returned_and_not_begun(self):
        step = self.carry_out(ARRIVED, ARRIVED, DELETED)
        self.assertEqual(Kind.NOTHING, step.kind)
        self.assertEqual([Action.MARK_FINISHING, Action.REMOVE_SOURCE_COPY],
                         [action for action, _ in self.done])

    def test_the_same_step_for_another_reason_goes_on(self):
        marked = looks.over(source=Source.ABSENT, destination=Destination.ARRIVED,
                            written=Written.FINISHING, home=Home.DESTINATION)
        step = self.carry_out(ARRIVED, marked)
        self.assertEqual((Kind.FINISH, 'the guest has arrived'), (step.kind, step.reason))
        self.assertEqual(len(plan.PLAN[Kind.FINISH]), len(self.done))

    def test_an_action_that_fails_ends_it(self):
        self.assertRaises(OSError, self.carry_out, ARRIVED, fails=Action.FINISH_IN_NOVA)
        self.assertEqual([Action.MARK_FINISHING, Action.REMOVE_SOURCE_COPY],
                         [action for action, _ in self.done])

    def test_a_wait_looks_once_and_does_nothing(self):
        step = self.carry_out(seen(destination=Destination.SILENT))
        self.assertEqual((Kind.WAIT, [], 1), (step.kind, self.done, self.looks))

    def test_a_course_has_to_be_told_what_is_seen(self):
        course = plan.course()
        self.assertIsNone(next(course))
        self.assertRaises(ValueError, next, course)
