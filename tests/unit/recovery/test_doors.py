# SPDX-License-Identifier: Apache-2.0
"""The doors: who may start a guest, whatever is seen of a migration of it."""

import functools

import testtools

from nova_migpolicy.recovery import doors
from nova_migpolicy.recovery import evidence
from tests.unit.recovery import looks

Answer = doors.Answer
Source = evidence.Source
Destination = evidence.Destination
Written = evidence.Written
Home = evidence.Home
Status = evidence.Status
seen, over = looks.seen, looks.over

ARRIVED = seen(source=Source.ABSENT, destination=Destination.ARRIVED)
EXAMPLES = (
    ('host-boot resume after the guest has left', Home.SOURCE, ARRIVED, Answer.FINISH,
     'the guest has arrived: its live migration is finished instead'),
    ('hard reboot with the record lost', Home.SOURCE, over(
        Status.ENDED, source=Source.ABSENT, destination=Destination.ARRIVED,
        written=Written.LOST), Answer.REFUSE, 'what was written down of the migration is lost'),
    ('hard reboot after a rollback', Home.SOURCE, over(
        Status.ENDED, source=Source.SHUT_OFF), Answer.START, 'it is over'),
    ('hard reboot after a rollback, destination off', Home.SOURCE, over(
        Status.ENDED, source=Source.SHUT_OFF, destination=Destination.SILENT),
     Answer.REFUSE, 'the destination does not answer'),
    ('start of what is off here, long after a migration whose destination is no more',
     Home.SOURCE, over(Status.ENDED, source=Source.SHUT_OFF, destination=Destination.SILENT,
                       written=Written.LOST), Answer.REFUSE, 'the destination does not answer'),
    ('hard reboot of what is paused for a switchover', Home.SOURCE, over(
        Status.ENDED, source=Source.PAUSED, destination=Destination.SILENT,
        written=Written.LOST), Answer.REFUSE, 'the destination does not answer'),
    ('hard reboot beside a running job', Home.SOURCE, seen(
        job=True, destination=Destination.INCOMING), Answer.REFUSE, 'its job runs'),
    ('hard reboot at the destination', Home.DESTINATION, over(
        source=Source.ABSENT, destination=Destination.SHUT_OFF, home=Home.DESTINATION,
        written=Written.LOST), Answer.START, 'it was completed'),
    ('hard reboot of what nobody wrote down, and neither host has', Home.SOURCE, over(
        Status.ENDED, source=Source.ABSENT, written=Written.LOST), Answer.START,
     'it is at home here'),
    ('start at the source of what is on the destination', Home.SOURCE, over(
        source=Source.ABSENT, home=Home.DESTINATION, written=Written.LOST), Answer.REFUSE,
     'its destination host'),
    ('evacuation after the switchover', Home.OTHER, seen(
        source=Source.SILENT, destination=Destination.ARRIVED, written=Written.LOST,
        fenced=True), Answer.FINISH, 'the source is off'),
    ('evacuation in the copy', Home.OTHER, seen(
        source=Source.SILENT, written=Written.LOST, fenced=True), Answer.START,
     'the guest had not arrived'),
    ('evacuation in the copy, to where it was to go', Home.DESTINATION, seen(
        source=Source.SILENT, written=Written.LOST, fenced=True), Answer.START,
     'the guest had not arrived'),
    ('evacuation, to where a part of it is', Home.DESTINATION, seen(
        source=Source.SILENT, destination=Destination.POST_COPY_FAILED, written=Written.LOST,
        fenced=True), Answer.REFUSE, 'the rest of the memory was there alone'),
    ('start on the destination of what Nova has on a third host', Home.DESTINATION, over(
        Status.ENDED, source=Source.SILENT, home=Home.OTHER, written=Written.LOST, fenced=True),
     Answer.REFUSE, 'and not here'),
    ('evacuation, and the destination is off as well', Home.OTHER, seen(
        source=Source.SILENT, destination=Destination.SILENT, written=Written.LOST,
        fenced=True), Answer.REFUSE, 'does not answer'),
    ('evacuation of a source that answers', Home.OTHER, over(Status.ENDED), Answer.REFUSE,
     'the domain on its source host runs'),
    ('evacuation of a source that answers and has it off', Home.OTHER, over(
        Status.ENDED, source=Source.SHUT_OFF), Answer.REFUSE, 'start it there'),
    ('end of a resize to a third host, long after a migration', Home.OTHER, over(
        Status.GIVEN_UP, source=Source.SHUT_OFF, home=Home.OTHER, written=Written.LOST),
     Answer.START, 'it is at home here'),
    ('the same where the old destination runs it', Home.OTHER, over(
        Status.GIVEN_UP, source=Source.SHUT_OFF, destination=Destination.ARRIVED,
        home=Home.OTHER, written=Written.LOST), Answer.REFUSE, 'one of these has a copy of it'),
    ('the same where the source does', Home.OTHER, over(
        Status.GIVEN_UP, home=Home.OTHER, written=Written.LOST), Answer.REFUSE,
     'one of these has a copy of it'),
    ('return from a resize', Home.SOURCE, over(
        Status.GIVEN_UP, source=Source.SHUT_OFF, written=Written.LOST), Answer.START,
     'it is over'),
    ('unshelving on a host that a migration had left', Home.SOURCE, over(
        Status.GIVEN_UP, source=Source.ABSENT, written=Written.LOST), Answer.START,
     'it is at home here'),
    ('unshelving while the destination is off', Home.OTHER, over(
        Status.GIVEN_UP, source=Source.ABSENT, destination=Destination.SILENT, home=Home.OTHER,
        written=Written.LOST), Answer.REFUSE, 'the host does not answer'),
    ('all done, and the destination is off', Home.SOURCE, over(
        written=Written.DONE, destination=Destination.SILENT), Answer.REFUSE,
     'recovery release SERVER'),
)


@functools.cache
def openings():
    """All that there can be, with what the door of each host does."""
    return tuple((one, here, doors.opening(one, here)) for one, _ in looks.every()
                 if not one.was_paused and one.status is not Status.MISSING
                 for here in (Home.SOURCE, Home.DESTINATION, Home.OTHER))


class TestDoors(testtools.TestCase):

    def test_examples(self):
        for name, here, one, answer, part in EXAMPLES:
            found = doors.opening(one, here)
            self.assertEqual(answer, found.answer, name)
            self.assertIn(part, found.reason, name)

    def test_no_door_starts_a_second_copy(self):
        """Whatever is seen, from wherever: no other host runs it, or may."""
        wrong = []
        for one, here, found in openings():
            if found.answer is not Answer.START:
                continue
            others = {has.name for home, has in ((Home.SOURCE, one.source),
                                                 (Home.DESTINATION, one.destination))
                      if home is not here and not (has is Source.SILENT and one.fenced)}
            if not others <= {'SHUT_OFF', 'MIGRATED', 'ABSENT'}:
                wrong.append((one, here))
        self.assertEqual([], wrong[:1])

    def test_an_operators_word_does_not_outweigh_what_is_seen(self):
        """Released or not: no start beside a job, or a copy on the other host that is not off."""
        wrong, allowed = [], 0
        for one, here, found in openings():
            released = doors.opening(one, here, is_released=True)
            if released.answer is not Answer.START:
                self.assertEqual(found, released)
                continue
            if found.answer is Answer.START:
                continue
            allowed += 1
            others = {has.name for home, has in ((Home.SOURCE, one.source),
                                                 (Home.DESTINATION, one.destination))
                      if home is not here}
            if (one.job or one.home is Home.NONE
                    or not others <= {'SHUT_OFF', 'MIGRATED', 'ABSENT', 'SILENT'}):
                wrong.append((one, here))
        self.assertEqual([], wrong[:1])
        self.assertGreater(allowed, 0)

    def test_what_a_release_is_for(self):
        for name, here, one in (
                ('the destination is off', Home.SOURCE, over(
                    Status.ENDED, source=Source.SHUT_OFF, destination=Destination.SILENT,
                    written=Written.LOST)),
                ('neither host has it', Home.SOURCE, seen(
                    source=Source.ABSENT, written=Written.LOST)),
                ('both hosts are off', Home.OTHER, seen(
                    source=Source.SILENT, destination=Destination.SILENT, written=Written.LOST,
                    fenced=True)),
                ('the destination has lost it', Home.DESTINATION, over(
                    Status.ENDED, source=Source.SILENT, home=Home.DESTINATION,
                    written=Written.LOST))):
            self.assertEqual(Answer.START, doors.opening(one, here, is_released=True).answer, name)
            self.assertEqual(Answer.REFUSE, doors.opening(one, here).answer, name)

    def test_a_release_does_not_outweigh_what_is_on_the_host_itself(self):
        """Nova has it on the source, which is off, and the destination is asked to start it."""
        for has in Destination:
            one = seen(source=Source.SILENT, destination=has, written=Written.LOST, fenced=True)
            found = doors.opening(one, Home.DESTINATION, is_released=True)
            self.assertEqual(has is Destination.ABSENT, found.answer is Answer.START, has)

    def test_a_job_or_a_deleted_server_starts_nothing(self):
        wrong = [one for one, _, found in openings() if found.answer is Answer.START and (
            one.home is Home.NONE or (one.job and one.written is not Written.DONE
                                      and one.source is not Source.SILENT))]
        self.assertEqual([], wrong[:1])

    def test_a_refusal_says_what_to_do(self):
        wrong = {found.reason for _, _, found in openings() if found.answer is Answer.REFUSE
                 and not any(part in found.reason for part in (
                     'recovery list', 'recovery release', 'try again', 'start it there',
                     'and not here', 'was deleted'))}
        self.assertEqual(set(), wrong)

    def test_who_must_ask(self):
        self.assertEqual({Status.COMPLETED, Status.ENDED}, {
            status for status in Status if not doors.must_ask(Written.LOST, status)})
        self.assertEqual([], [(known, status) for known in set(Written) - {Written.LOST}
                              for status in Status if not doors.must_ask(known, status)])

    def test_what_runs_at_home_is_only_started_anew(self):
        for is_source, statuses in ((True, set(Status) - {Status.QUEUED, Status.UNDER_WAY}),
                                    (False, set(Status))):
            found = {(known, status, has, job) for known in Written for status in Status
                     for has in Source for job in (True, False)
                     if doors.only_starts_anew(known, status, has, job, is_source=is_source)}
            self.assertEqual(
                {(Written.LOST, status, Source.RUNNING, False) for status in statuses}, found)
