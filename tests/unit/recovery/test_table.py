# SPDX-License-Identifier: Apache-2.0
"""The table: an example that each row decides, and what no evidence at all may come to."""

import dataclasses
import math

import testtools

from nova_migpolicy.recovery import evidence
from nova_migpolicy.recovery import table
from tests.unit.recovery import looks

Kind = table.Kind
Source = evidence.Source
Destination = evidence.Destination
Written = evidence.Written
Home = evidence.Home
Status = evidence.Status
seen, over = looks.seen, looks.over

#: for each row in its order: what has happened, and what is seen of it
EXAMPLES = (
    ('the database is away', Kind.WAIT, seen(home=Home.SILENT)),
    ('evacuated, and not there yet', Kind.WAIT, seen(home=Home.CHANGING, source=Source.SHUT_OFF)),
    ('asked for again before this one was over', Kind.WAIT, seen(is_superseded=True)),
    ('deleted on both hosts, and what it claimed was given back', Kind.NOTHING, over(
        Status.MISSING, home=Home.NONE, source=Source.ABSENT, written=Written.DONE)),
    ('deleted on both hosts', Kind.CLOSE, over(
        Status.MISSING, home=Home.NONE, source=Source.ABSENT)),
    ('deleted while libvirtd restarts', Kind.WAIT, over(
        Status.MISSING, home=Home.NONE, source=Source.SILENT)),
    ('deleted while the destination is off', Kind.WAIT, over(
        Status.MISSING, home=Home.NONE, source=Source.ABSENT, destination=Destination.SILENT)),
    ('deleted on the source after the switchover', Kind.DISCARD, over(
        Status.MISSING, home=Home.NONE, source=Source.ABSENT, destination=Destination.ARRIVED)),
    ('the reply to Finish was lost, and libvirt let the source run', Kind.HOLD, seen(
        destination=Destination.ARRIVED)),
    ('nova-compute was started again while the source was evacuated without need', Kind.END, seen(
        home=Home.OTHER, is_evacuated=True)),
    ('died before the record was removed', Kind.NOTHING, over(
        written=Written.DONE, source=Source.ABSENT, home=Home.DESTINATION,
        destination=Destination.ARRIVED)),
    ('the source lost power after the switchover, and is evacuated', Kind.FINISH, seen(
        source=Source.SILENT, destination=Destination.ARRIVED, written=Written.LOST,
        fenced=True)),
    ('the source lost power in post-copy, and is evacuated', Kind.HOLD, seen(
        source=Source.SILENT, destination=Destination.POST_COPY_FAILED, fenced=True)),
    ('the source lost power in the copy, and is evacuated', Kind.NOTHING, seen(
        source=Source.SILENT, fenced=True)),
    ('libvirtd on the source restarts', Kind.WAIT, seen(source=Source.SILENT)),
    ('the link was cut as post-copy ended', Kind.FINISH, seen(
        source=Source.POST_COPY_FAILED, destination=Destination.ARRIVED)),
    ('the link was cut in post-copy', Kind.RESUME, seen(
        source=Source.POST_COPY_FAILED, destination=Destination.POST_COPY_FAILED)),
    ('the destination is cut off in post-copy', Kind.WAIT, seen(
        source=Source.POST_COPY_FAILED, destination=Destination.SILENT)),
    ('the destination lost power in post-copy', Kind.HOLD, seen(
        source=Source.POST_COPY_FAILED, destination=Destination.ABSENT)),
    ('nova-compute alone was restarted', Kind.ADOPT, seen(
        job=True, destination=Destination.INCOMING)),
    ('QEMU has gone, and the job not yet', Kind.WAIT, seen(job=True, source=Source.SHUT_OFF)),
    ('libvirtd was restarted in post-copy', Kind.WAIT, seen(
        source=Source.POST_COPY, destination=Destination.POST_COPY)),
    ('died between the status and the allocation', Kind.FINISH, over(
        source=Source.ABSENT, destination=Destination.ARRIVED, written=Written.FINISHING,
        home=Home.DESTINATION)),
    ('finished by the destination, with the source off', Kind.CLEAR, over(
        source=Source.SHUT_OFF, destination=Destination.ARRIVED, written=Written.LOST,
        home=Home.DESTINATION)),
    ('completed long ago', Kind.NOTHING, over(
        source=Source.ABSENT, destination=Destination.ARRIVED, written=Written.LOST,
        home=Home.DESTINATION)),
    ('evacuated long ago, and the source came back', Kind.CLEAR, over(
        Status.ENDED, source=Source.SHUT_OFF, written=Written.LOST, home=Home.OTHER)),
    ('completed long ago, and moved on', Kind.NOTHING, over(
        source=Source.ABSENT, written=Written.LOST, home=Home.OTHER)),
    ('evacuated to a third host', Kind.CLOSE, seen(source=Source.SHUT_OFF, home=Home.OTHER)),
    ('evacuated to a third host, and the destination is off', Kind.WAIT, seen(
        source=Source.SHUT_OFF, home=Home.OTHER, destination=Destination.SILENT)),
    ('evacuated to a third host while the source ran', Kind.HOLD, seen(home=Home.OTHER)),
    ('libvirtd was restarted between the switchover and its end', Kind.FINISH, seen(
        source=Source.PAUSED, destination=Destination.ARRIVED)),
    ('arrived while nova-compute was down', Kind.FINISH, seen(
        source=Source.ABSENT, destination=Destination.ARRIVED)),
    ('arrived, and the source lost power before it knew', Kind.FINISH, seen(
        source=Source.SHUT_OFF, destination=Destination.ARRIVED)),
    ('the source is done, the destination not yet', Kind.WAIT, seen(
        source=Source.MIGRATED, destination=Destination.POST_COPY)),
    ("the source's QEMU was killed in post-copy", Kind.HOLD, seen(
        source=Source.SHUT_OFF, destination=Destination.POST_COPY_FAILED)),
    ("the source's QEMU was killed in the copy", Kind.WAIT, seen(
        source=Source.SHUT_OFF, destination=Destination.INCOMING)),
    ('an operator undefined it', Kind.HOLD, seen(source=Source.ABSENT)),
    ('arrived and shut off, while libvirt let the source run', Kind.HOLD, seen(
        destination=Destination.SHUT_OFF)),
    ('halves without a job', Kind.HOLD, seen(destination=Destination.POST_COPY)),
    ('the destination died while it was prepared, and Nova rolled back', Kind.NOTHING, over(
        Status.ENDED, written=Written.PREPARING, destination=Destination.SILENT)),
    ('rolled back by Nova, and the record is still there', Kind.NOTHING, over(Status.ENDED)),
    ('Nova was told that it has arrived, which it has not', Kind.HOLD, seen(
        home=Home.DESTINATION)),
    ('died while the destination was prepared, which is off', Kind.ROLL_BACK, seen(
        written=Written.PREPARING, destination=Destination.SILENT)),
    ('died in the rollback, and the destination is off', Kind.ROLL_BACK, seen(
        written=Written.ROLLING_BACK, destination=Destination.SILENT)),
    ('failed while nova-compute was down', Kind.ROLL_BACK, seen()),
    ('failed, and the destination has not noticed', Kind.WAIT, seen(
        destination=Destination.INCOMING)),
    ('failed, and the destination is off', Kind.WAIT, seen(destination=Destination.SILENT)),
)
#: without the record
LOST = (
    ('its message did not come, or not yet', Kind.ROLL_BACK, seen(
        status=Status.QUEUED, written=Written.LOST)),
    ('rolled back long ago', Kind.NOTHING, over(Status.ENDED, written=Written.LOST)),
    ('failed while nova-compute was down', Kind.HOLD, seen(written=Written.LOST)),
    ('ended, and the guest is still paused for it', Kind.HOLD, over(
        Status.ENDED, source=Source.PAUSED, written=Written.LOST)),
    ('arrived while nova-compute was down', Kind.HOLD, seen(
        source=Source.ABSENT, destination=Destination.ARRIVED, written=Written.LOST)),
    ("arrived while nova-compute was down, and Nova's own reset was there first", Kind.HOLD, over(
        Status.ENDED, source=Source.ABSENT, destination=Destination.ARRIVED,
        written=Written.LOST)),
    ('nova-compute alone was restarted', Kind.HOLD, seen(
        job=True, destination=Destination.INCOMING, written=Written.LOST)),
)

#: these change nothing
STILL = frozenset({Kind.WAIT, Kind.HOLD})
#: what is done although a host does not answer, by the reason, which says why it may be
BY_SILENCE = frozenset({
    # The record says so.
    'it is over, and the guest has never left the source',
    'nothing had been sent', 'it was known to have failed', 'all of it was done',
    # Nova's records and the source's libvirt say so, and nothing is changed.
    'it was completed, and the guest has left the source',
    'it was over, and the guest has moved on',
    # The host where Nova has it says that it runs there.
    'it was evacuated and runs where Nova has it, and the source has a second copy',
    # An operator says that the source is off.
    'the source is off, and the guest had arrived before',
    'the source is off, and the guest had not arrived',
})
COLUMNS = ('source', 'destination', 'home')


def deciding(one):
    """The number of the row that decides."""
    return next(number for number, row in enumerate(table.TABLE) if row.fits(one))


class TestRows(testtools.TestCase):

    def test_each_row_has_an_example_that_it_decides(self):
        self.assertEqual(
            list(range(len(table.TABLE))), [deciding(one) for _, _, one in EXAMPLES])

    def test_each_example_has_its_step(self):
        for name, kind, one in (*EXAMPLES, *LOST):
            self.assertEqual(kind, table.decide(one).kind, name)

    def test_each_example_has_a_name_of_its_own(self):
        for examples in (EXAMPLES, LOST):
            self.assertEqual(len(examples), len({name for name, _, _ in examples}))

    def test_no_row_could_be_left_out(self):
        for number, row in enumerate(table.TABLE):
            _, _, one = EXAMPLES[number]
            without = [other for other in table.TABLE if other is not row]
            found = next((other for other in without if other.fits(one)), None)
            self.assertIsNot(row, found)
            if found is not None and found.kind is row.kind:
                # Another sentence: it says more.
                self.assertNotEqual(row.reason, found.reason, EXAMPLES[number])

    def test_reasons_are_sentences_without_an_end(self):
        for row in table.TABLE:
            self.assertRegex(row.reason, r'^[a-zNl][^.]*[a-z]$')


class TestAll(testtools.TestCase):
    """Whatever is seen: source, job, destination, record, home, status and the rest."""

    def check(self, wrong):
        """Show one case, and how many there are."""
        self.assertEqual((0, None), (len(wrong), wrong[0] if wrong else None))

    def test_there_are_all(self):
        rest = (Source, (False, True), Destination, Written, Status, *[(False, True)] * 3)
        # What is is_evacuated is on a third host.
        self.assertEqual(math.prod(map(len, rest)) * (len(Home) + 1),
                         len({one for one, _ in looks.every()}))
        self.assertEqual(set(Kind), {step.kind for _, step in looks.every()})

    def test_nothing_is_done_while_a_newer_one_is_under_way(self):
        """Its task state, its ports and its volumes are the newer one's then."""
        self.check([one for one, _ in looks.every() if table.decide(
            dataclasses.replace(one, is_superseded=True)).kind is not Kind.WAIT])

    def test_silence_is_never_taken_for_absence(self):
        """What is done in spite of a silence would be done whatever the answer was."""
        wrong = []
        steps = dict(looks.every())
        for one, step in looks.every():
            if step.kind in STILL or step.reason in BY_SILENCE:
                continue
            for column in COLUMNS:
                value = getattr(one, column)
                if value is type(value).SILENT:
                    wrong += [(one, step, other) for other in type(value) if steps[
                        dataclasses.replace(one, **{column: other})].kind is not step.kind]
        self.check(wrong)

    def test_what_is_done_in_silence_occurs(self):
        found = {step.reason for one, step in looks.every() if step.kind not in STILL and (
            one.source is Source.SILENT or one.destination is Destination.SILENT)}
        self.assertEqual(set(), BY_SILENCE - found)

    def test_a_silent_database_stops_all(self):
        self.check([(one, step) for one, step in looks.every()
                    if one.home is Home.SILENT and step.kind is not Kind.WAIT])

    def test_nothing_is_done_where_both_run_it(self):
        self.check([
            (one, step) for one, step in looks.every()
            if one.source is Source.RUNNING and one.home is not Home.NONE and not one.job
            and one.destination in (Destination.ARRIVED, Destination.POST_COPY)
            and step.kind not in STILL and one.written is not Written.DONE])
        self.check([
            (one, step) for one, step in looks.every()
            if (one.source, one.destination) == (Source.RUNNING, Destination.ARRIVED)
            and not one.job and step.kind not in (Kind.WAIT, Kind.HOLD, Kind.DISCARD)])

    def test_finish_needs_the_guest_on_the_destination(self):
        self.check([
            (one, step) for one, step in looks.every() if step.kind is Kind.FINISH and (
                one.destination not in (Destination.ARRIVED, Destination.SHUT_OFF)
                or one.source in (Source.RUNNING, Source.POST_COPY)
                or (one.source is Source.SILENT and not one.fenced)
                or (one.source is Source.PAUSED and one.job)
                or one.home not in (Home.SOURCE, Home.DESTINATION))])

    def test_roll_back_needs_that_it_cannot_have_left(self):
        known = (Written.PREPARING, Written.ROLLING_BACK)
        self.check([
            (one, step) for one, step in looks.every() if step.kind is Kind.ROLL_BACK and (
                one.source not in (Source.RUNNING, Source.PAUSED, Source.SHUT_OFF) or one.job
                or one.home is not Home.SOURCE
                or (one.destination is not Destination.ABSENT and one.written not in known)
                or one.destination not in (
                    Destination.ABSENT, Destination.INCOMING, Destination.SILENT))])

    def test_resume_needs_both_halves(self):
        self.check([
            (one, step) for one, step in looks.every() if step.kind is Kind.RESUME and (
                one.source is not Source.POST_COPY_FAILED or one.destination not in (
                    Destination.POST_COPY, Destination.POST_COPY_FAILED))])

    def test_adopt_needs_a_job_of_a_guest_that_is_here(self):
        self.check([
            (one, step) for one, step in looks.every() if step.kind is Kind.ADOPT and (
                not one.job or one.source not in (
                    Source.RUNNING, Source.PAUSED, Source.POST_COPY))])

    def test_only_what_is_off_is_cleared_or_closed(self):
        off = (Source.SHUT_OFF, Source.MIGRATED, Source.ABSENT)
        self.check([
            (one, step) for one, step in looks.every()
            if step.kind in (Kind.CLEAR, Kind.CLOSE) and one.source not in off])

    def test_only_what_was_deleted_is_discarded(self):
        self.check([(one, step) for one, step in looks.every()
                    if step.kind is Kind.DISCARD and one.home is not Home.NONE])

    def test_what_nova_has_given_up_is_not_taken_for_rolled_back(self):
        """As a rollback that failed: its allocations, bindings and volumes may be left."""
        self.check([
            (one, step) for one, step in looks.every()
            if step.kind is Kind.NOTHING and one.status is Status.GIVEN_UP
            and one.home is Home.SOURCE and one.source in (Source.RUNNING, Source.SHUT_OFF)
            and one.written not in (Written.LOST, Written.DONE)])

    def test_without_the_record_little_is_done(self):
        self.check([
            (one, step) for one, step in looks.every()
            if one.written is Written.LOST and step.kind in table.BY_RECORD and not (
                (step.kind is Kind.ROLL_BACK and one.status in (
                    Status.QUEUED, Status.MISSING) and one.destination is Destination.ABSENT)
                or (step.kind is Kind.FINISH and one.source is Source.SILENT))])

    def test_what_nova_has_not_ended_is_not_forgotten(self):
        """Unless the server is gone, all was done, or another host starts the guest."""
        self.check([
            (one, step) for one, step in looks.every()
            if step.kind is Kind.NOTHING and not one.is_settled and one.home is not Home.NONE
            and one.written is not Written.DONE and not one.fenced])

    def test_a_guest_that_is_paused_by_nobody_is_not_left_so(self):
        self.check([
            (one, step) for one, step in looks.every()
            if step.kind is Kind.NOTHING and one.source is Source.PAUSED and not one.was_paused
            and one.home is Home.SOURCE and one.written is not Written.DONE])
