# SPDX-License-Identifier: Apache-2.0
"""Commands at random moments of short migrations: each answer is true and no guest is lost.

Three guests go to and fro at once. What a run does is drawn from its seed, which a failure names.
"""

from __future__ import annotations

import collections
import os
import random
import threading
import time

import libvirt

from lab import domain as lab_domain
from lab import guests
from nova_migpolicy.channel import protocol
from nova_migpolicy.monitor import outcome as outcome_mod
from nova_migpolicy import vocabulary
from tests.lab import base
from tests.lab import steered

RUNS = int(os.environ.get('MIGPOLICY_RACES', '100'))
SEED = int(os.environ.get('MIGPOLICY_RACES_SEED', '1'))
GUESTS = 3
GUEST = guests.Guest(kind='sweep', memory_mib=48, set_mib=12, rate_mib_s=20)
POLICY = {'bandwidth_mib_s': '40', 'max_bandwidth_mib_s': '0', 'max_downtime_ms': '700',
          'initial_downtime_ms': '400', 'on_stall': 'continue', 'remedies': 'downtime'}
# What is said where the answer is not known within a second.
NOT_YET = 'Accepted, and not done yet'
#: in an answer that says that something is done later, or not at all where it ends by itself
LATER = ('as soon as', 'again', 'has been sent once', 'expected to end by itself')
#: what is done at once where these are accepted
NOW = {vocabulary.START_POST_COPY: {'start_post_copy'}, vocabulary.PAUSE: {'pause'},
       vocabulary.FORCE_COMPLETE: {'start_post_copy', 'pause'}}


class Run:
    """One migration with commands at random moments, and what they were told.

    :param natural_s: when such a migration ends by itself, about; 0: let it, without commands
    """

    def __init__(self, guest, seed, natural_s):
        self.seed = seed
        self.random = random.Random(seed)
        self.moving = steered.Move(guest, on_timeout=self.random.choice(
            ('abort', 'post_copy')), **POLICY)
        self.answers = []
        count = self.random.choice((0, 1, 1, 2, 3)) if natural_s else 0
        plan = [(self.random.uniform(0, natural_s), self._pick()) for _ in range(count)]
        self.people = [threading.Thread(target=self._do, args=one, daemon=True) for one in plan]

    def _pick(self):
        return self.random.choice((*vocabulary.ORDERS, vocabulary.CANCEL, 'bandwidth', 'downtime',
                                   'release'))

    def _do(self, after_s, what):
        end_s = time.monotonic() + after_s
        while time.monotonic() < end_s:
            time.sleep(min(0.01, max(0.0, end_s - time.monotonic())))
        if what == 'bandwidth':
            given = self.moving.tune(bandwidth_mib_s=200)
        elif what == 'downtime':
            given = self.moving.tune(max_downtime_ms=1500)
        elif what == 'release':
            given = self.moving.tune('bandwidth_mib_s', 'max_downtime_ms')
        else:
            given = self.moving.act(what)
        self.answers.append((what, given))

    def finish(self):
        for person in self.people:
            person.start()
        for person in self.people:
            person.join()
        self.ended = self.moving.wait()
        return self

    def untrue(self):
        """What was said and is not so."""
        done, end = self.moving.done, self.ended.end
        for what, given in self.answers:
            said = given.body if given.status < 400 else given.message
            if given.status >= 400:
                if not given.message:
                    yield f'{what}: no reason'
                if what == vocabulary.CANCEL and end is outcome_mod.End.CANCELLED:
                    yield f'{what} was refused ({said}), but it {self.ended}'
                continue
            if NOT_YET in said['reason']:
                # It is not said to be done, and has to be rare.
                continue
            later = any(word in said['reason'] for word in LATER)
            if what == vocabulary.CANCEL and end is not outcome_mod.End.CANCELLED:
                yield f'{what} was accepted ({said}), but it {self.ended}'
            elif what in NOW and not later:
                if not NOW[what] & set(done):
                    yield f'{what} was accepted ({said}), but done was {done}'
            elif what == 'bandwidth' and 'set_bandwidth' not in done:
                yield f'{what} was accepted ({said}), but done was {done}'
        aborted = [what for what, given in self.answers
                   if what == vocabulary.CANCEL and given.status < 400]
        if end is outcome_mod.End.CANCELLED and not aborted and 'abort' not in done:
            yield f'nobody cancelled it, but it is {self.ended}'


class TestRaces(base.HostsTest):

    seconds = 120

    def test_random_commands(self):
        folks = [lab_domain.LabDomain(self.lab, f'race{number}', GUEST)
                 for number in range(GUESTS)]
        beats = []
        for guest in folks:
            self.addCleanup(guest.destroy)
            beats.append(guest.boot().recorder())
            self.addCleanup(beats[-1].stop)
        wrong, seen = [], collections.Counter()
        workers = [threading.Thread(target=self.work, args=(
            guest, beats[number], range(number, RUNS, GUESTS), wrong, seen))
            for number, guest in enumerate(folks)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        self.assertEqual([], wrong)
        self.assertEqual(RUNS, sum(seen[end] for end in outcome_mod.End))
        self.assertLessEqual(seen['late'], RUNS // 20)
        # The draw must have met what it is for.
        for met in (outcome_mod.End.COMPLETED, outcome_mod.End.CANCELLED, ('cancel', 202),
                    ('post_copy', 202), ('pause', 202), ('force_complete', 202),
                    ('bandwidth', 200), ('downtime', 200), ('release', 200)):
            if RUNS >= 100:
                self.assertIn(met, seen)
        self.addDetail('seen', base.testtools.content.text_content(str(dict(seen))))

    def work(self, guest, beats, numbers, wrong, seen):
        natural_s = 0
        for number in numbers:
            try:
                if not natural_s:
                    # On a busy machine it takes longer, and the moments are to be all over it.
                    began = time.monotonic()
                    Run(guest, SEED * 100_000 + number, 0).finish()
                    natural_s = time.monotonic() - began
                run = Run(guest, SEED * 100_000 + number, natural_s).finish()
                faults = list(run.untrue())
                seen[run.ended.end] += 1
                for what, given in run.answers:
                    seen[what, given.status] += 1
                    if given.status == protocol.ACCEPTED and NOT_YET in given.body['reason']:
                        seen['late'] += 1
                where = steered.whereabouts(guest)
                if where != {guest.host.name: libvirt.VIR_DOMAIN_RUNNING}:
                    faults.append(f'it is at {where}, not running at {guest.host.name}')
                if guest.domain.jobInfo()[0] != libvirt.VIR_DOMAIN_JOB_NONE:
                    faults.append('a job is left')
                if not beats.wait_for_beats(3, self.lab.names.index(guest.host.name)):
                    faults.append('the guest is silent')
            except Exception as error:
                faults = [repr(error)]
            if faults:
                wrong.append((number, faults, [(w, a.to_dict()) for w, a in run.answers],
                              str(run.ended)))
            if len(wrong) > 5:
                return
