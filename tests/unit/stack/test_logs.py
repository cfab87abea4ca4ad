# SPDX-License-Identifier: Apache-2.0
"""Each trouble in a log is told once and whole, however long the log and whoever writes it."""

import pathlib
import tempfile

import testtools
from testtools import matchers

from tests.stack.support import logs
from tests.unit.stack import cases

NOVAS, OURS = (cases.recorded(name) for name in ('body-is-not-utf8', 'fault-of-ours'))
LINE = '2026-11-27 10:00:00.000 7 DEBUG nova.x [None req-1 u p - - - -] nothing of note\n'
RAW = """Traceback (most recent call last):
  File "/x/webob/request.py", line 167, in encget
    return bytes_(val, 'latin-1').decode(encoding)
UnicodeDecodeError: 'utf-8' codec can't decode byte 0xff

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/x/nova/api/openstack/__init__.py", line 60, in _error
    msg_dict = dict(url=req.url, status=status)
ValueError: no
"""


class TestTroubles(testtools.TestCase):

    def test_a_record_with_a_traceback(self):
        [found] = logs.troubles(LINE + NOVAS + LINE)
        self.assertEqual(NOVAS, found.text)
        self.assertEqual('nova.api.openstack', found.logger)
        [error] = found.errors
        self.assertThat(error, matchers.StartsWith("UnicodeDecodeError: 'utf-8' codec can't"))
        self.assertEqual('_process_stack', found.frames[-1].function)
        self.assertTrue(found.passes('/nova/api/openstack/wsgi.py', '_process_stack'))
        self.assertFalse(found.passes('/nova/api/openstack/wsgi.py', 'get_body'))

    def test_two_right_behind_each_other(self):
        self.assertEqual([NOVAS, OURS, NOVAS],
                         [one.text for one in logs.troubles(NOVAS + OURS + NOVAS)])

    def test_a_server_in_the_lines_of_a_traceback(self):
        text = ('2026-11-27 10:00:00.000 7 ERROR nova.compute.manager [None req-1] [instance: 5a] '
                'Failed: E: x\n' + ''.join(
                    f'2026-11-27 10:00:00.000 7 ERROR nova.compute.manager [instance: 5a] {line}\n'
                    for line in ('Traceback (most recent call last):',
                                 '  File "/x/nova/a.py", line 5, in f', '    y()', 'E: x', '')))
        [found] = logs.troubles(LINE + text)
        self.assertEqual((['E: x'], [('/x/nova/a.py', 'f')]), (found.errors, found.frames))

    def test_what_is_raised_because_of_another(self):
        [found] = logs.troubles('uwsgi says something\n' + RAW)
        self.assertEqual(['UnicodeDecodeError', 'ValueError'],
                         [error.split(':')[0] for error in found.errors])
        self.assertEqual(['encget', '_error'], [frame.function for frame in found.frames])
        self.assertEqual('', found.logger)
        self.assertEqual(2, len(logs.troubles(RAW + RAW)))

    def test_a_critical_line(self):
        [found] = logs.troubles(LINE + LINE.replace('DEBUG', 'CRITICAL') + LINE)
        self.assertEqual(LINE.replace('DEBUG', 'CRITICAL'), found.text)

    def test_nothing(self):
        self.assertEqual([], logs.troubles(''))
        self.assertEqual([], logs.troubles(LINE * 3))


class TestTail(testtools.TestCase):

    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = pathlib.Path(folder.name) / 'nova-api.log'
        self.path.write_text('')
        self.tail = logs.Tail()

    def write(self, text):
        with open(self.path, 'a') as log:
            log.write(text)

    def look(self):
        return [trouble.text for _, trouble in self.tail.troubles([self.path])]

    def test_each_once(self):
        self.write(NOVAS)
        self.assertEqual([NOVAS], self.look())
        self.assertEqual([], self.look())
        self.write(LINE + OURS)
        self.assertEqual([('nova-api.log', OURS)], [
            (name, trouble.text) for name, trouble in self.tail.troubles([self.path])])

    def test_however_far_behind_another(self):
        """A fault of ours behind one of Nova's and much that is of no interest."""
        self.write(NOVAS + LINE * 5000 + OURS)
        self.assertGreater(self.path.stat().st_size, 400_000)
        self.assertEqual([NOVAS, OURS], self.look())

    def test_what_is_still_being_written_is_told_when_it_is_whole(self):
        for cut in (len(OURS) // 2, OURS.rindex('\n', 0, len(OURS) // 2) + 1):
            self.write(NOVAS + OURS[:cut])
            self.assertEqual([NOVAS], self.look())
            self.write(OURS[cut:])
            self.assertEqual([OURS], self.look())

    def test_what_is_never_written_to_its_end_is_told_all_the_same(self):
        half = OURS[:OURS.rindex('\n', 0, len(OURS) // 2) + 1]
        self.write(half)
        self.assertEqual([], self.look())
        self.assertEqual([half], self.look())
        self.assertEqual([], self.look())

    def test_a_log_that_begins_anew(self):
        self.write(LINE * 9 + NOVAS)
        self.look()
        self.path.rename(self.path.with_suffix('.log.1'))
        self.path.write_text(OURS)
        self.assertEqual([OURS], self.look())

    def test_bytes_that_are_no_text(self):
        self.path.write_bytes(b'\xff\xfe\n' * 5 + NOVAS.encode())
        self.assertEqual([NOVAS], self.look())
        self.assertEqual([], self.look())
