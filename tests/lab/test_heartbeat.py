# SPDX-License-Identifier: Apache-2.0
"""What is read from the serial line, without any guest."""

from __future__ import annotations

import pathlib
import tempfile
import time

import testtools

from lab import domain
from lab import heartbeat

LINE = b'\n0000000100 0000002048 abcdefghij'


class TestParser(testtools.TestCase):

    def test_beats_and_counters(self):
        found = heartbeat.Parser().feed(b'ij' + LINE)
        self.assertEqual([8, 9, (100, 2048), *range(10)], found)

    def test_any_cut(self):
        whole = heartbeat.Parser().feed(LINE * 2)
        for cut in range(len(LINE) * 2):
            parser = heartbeat.Parser()
            self.assertEqual(whole, parser.feed((LINE * 2)[:cut]) + parser.feed((LINE * 2)[cut:]))

    def test_a_log_that_begins_inside_the_counters(self):
        self.assertEqual([0, 1], heartbeat.Parser().feed(b'0100 0000002048 ab'))

    def test_other_text_is_no_beat(self):
        self.assertEqual([(0, 0), 0], heartbeat.Parser().feed(
            b'\nSeaBIOS 1.16 (a big cafe)\n\nMIGPOLICY GUEST\n0000000000 0000000000 a'))


class TestRecorder(testtools.TestCase):

    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.logs = [pathlib.Path(folder.name) / name for name in ('n1', 'n2')]

    def record(self, **more):
        recorder = heartbeat.Recorder(*self.logs, **more)
        self.addCleanup(recorder.stop)
        return recorder

    def say(self, recorder, log, beats):
        before = len(recorder.beats())
        with open(self.logs[log], 'ab') as f:
            f.write(beats)
        domain.wait_until(lambda: len(recorder.beats()) == before + len(beats))

    def test_a_switch(self):
        recorder = self.record()
        self.say(recorder, 0, b'abc')
        self.say(recorder, 1, b'def')
        [switch] = recorder.switches()
        self.assertEqual((0, 1, True), (switch.source, switch.destination, switch.same_guest))
        self.assertEqual(recorder.blackout_ms, switch.blackout_ms)
        beats = recorder.beats()
        self.assertEqual((beats[3].at_s - beats[2].at_s) * 1000, switch.blackout_ms)
        self.assertTrue(switch.least_ms <= switch.blackout_ms <= switch.most_ms, switch)
        self.assertEqual(recorder.least_blackout_ms, switch.least_ms)

    def test_a_stop_is_on_one_host(self):
        recorder = self.record()
        self.assertEqual(0.0, recorder.longest_stop_ms)
        for log, beat in ((0, b'a'), (0, b'b'), (1, b'c'), (1, b'd')):
            self.say(recorder, log, beat)
        at_s = [beat.at_s for beat in recorder.beats()]
        self.assertEqual(1000 * max(at_s[1] - at_s[0], at_s[3] - at_s[2]),
                         recorder.longest_stop_ms)

    def test_what_is_seen_late_leaves_its_time_open(self):
        for log, beats in zip(self.logs, (b'abc', b'def'), strict=True):
            log.write_bytes(beats)
        recorder = self.record(from_start=True)
        [switch] = recorder.switches()
        self.assertEqual((0.0, float('inf')), (switch.least_ms, switch.most_ms))

    def test_another_guest_is_noticed(self):
        recorder = self.record()
        self.say(recorder, 0, b'abc')
        self.say(recorder, 1, b'a')
        self.assertFalse(recorder.switches()[0].same_guest)

    def test_no_switch_is_no_blackout(self):
        recorder = self.record()
        self.say(recorder, 0, b'abc')
        self.assertIsNone(recorder.blackout_ms)

    def test_what_was_there_before_counts_only_if_asked_for(self):
        self.logs[0].write_bytes(b'abc')
        self.assertEqual([], self.record().beats())
        self.assertEqual(3, len(self.record(from_start=True).beats()))

    def test_a_log_that_begins_anew(self):
        self.logs[0].write_bytes(b'abcdef')
        recorder = self.record()
        self.logs[0].write_bytes(b'ab')
        domain.wait_until(lambda: len(recorder.beats()) == 2)
        self.logs[0].unlink()
        self.logs[0].write_bytes(b'cde')
        domain.wait_until(lambda: len(recorder.beats()) == 5)

    def test_lost_beats(self):
        recorder = self.record()
        self.say(recorder, 0, b'a')
        began = recorder.beats()[0].at_s
        time.sleep(0.2)
        self.say(recorder, 0, b'b')
        end = recorder.beats()[-1].at_s
        self.assertEqual(round((end - began) * 100) - 2, recorder.lost(began, end))
        self.assertGreaterEqual(recorder.longest_gap_ms(), 200)


class TestCrowd(testtools.TestCase):

    def test_each_guest_has_its_own(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        logs = [[pathlib.Path(folder.name) / f'{guest}-{host}' for host in ('n1', 'n2')]
                for guest in ('one', 'two')]
        crowd = heartbeat.Crowd(logs)
        self.addCleanup(crowd.stop)
        one, two = crowd.guests
        logs[0][0].write_bytes(b'abc')
        logs[1][0].write_bytes(b'd')
        domain.wait_until(lambda: (len(one.beats()), len(two.beats())) == (3, 1))
        logs[0][1].write_bytes(b'd')
        domain.wait_until(lambda: one.beats(1))
        self.assertEqual([[0, 1, 2, 3], [3]], [
            [beat.number for beat in guest.beats()] for guest in crowd.guests])
        self.assertEqual([True], [switch.same_guest for switch in one.switches()])
        self.assertEqual([], two.switches())
