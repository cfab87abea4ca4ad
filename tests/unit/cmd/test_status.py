# SPDX-License-Identifier: Apache-2.0
"""What is said before an upgrade, of a nova.conf."""

import contextlib
from importlib import metadata
import io
import json
import os
import pathlib
import tempfile
from unittest import mock

import testtools

from nova_migpolicy.cmd import status


class StatusTest(testtools.TestCase):

    def check(self, text, *more):
        """The exit status and the output with a nova.conf."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = pathlib.Path(folder.name) / 'nova.conf'
        path.write_text(text)
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            code = status.main(['--config-file', str(path), 'upgrade', 'check', *more])
        return code, out.getvalue()

    def test_novas_default_keeps_slots_unused(self):
        code, out = self.check('')
        self.assertEqual(1, code)
        said = ' '.join(out.replace('|', '').split())
        self.assertIn('at once is 1', said)
        self.assertIn('higher than max_outgoing, which is 2', said)

    def test_enough_of_them(self):
        code, out = self.check('[DEFAULT]\nmax_concurrent_live_migrations = 10\n', '--json')
        self.assertEqual(0, code)
        [found] = json.loads(out)['checks']
        self.assertEqual({'check': 'Slots for live migrations', 'result': 0, 'details': None},
                         found)

    def test_as_many_as_slots_leave_no_room_for_those_that_wait(self):
        code, _ = self.check('[DEFAULT]\nmax_concurrent_live_migrations = 3\n'
                             '[migpolicy]\nmax_outgoing = 3\n')
        self.assertEqual(1, code)

    def test_no_limit_is_five_with_native_threads(self):
        conf = '[DEFAULT]\nmax_concurrent_live_migrations = 0\n{}[migpolicy]\nmax_outgoing = 5\n'
        for release, backend, environ, code in (
                (34, '', '', 1), (34, 'concurrency_backend = eventlet\n', '', 0),
                (34, 'concurrency_backend = eventlet\n', 'True', 1), (34, '', 'false', 0),
                (33, '', '', 0), (33, '', '1', 1), (None, '', '', 1)):
            with mock.patch.object(status, 'nova_release', return_value=release), \
                    mock.patch.dict(os.environ, {status.NO_EVENTLET: environ}):
                found, out = self.check(conf.format(backend))
            self.assertEqual(code, found, (release, backend, environ))
            self.assertEqual(bool(code), 'at once is 5' in ' '.join(out.replace('|', '').split()))

    def test_the_release_of_nova(self):
        for version, release in (('34.0.0', 34), ('31.0.1.dev3', 31), ('1!33.0', 33), ('x', None)):
            with mock.patch.object(metadata, 'version', return_value=version):
                self.assertEqual(release, status.nova_release())
        with mock.patch.object(metadata, 'version', side_effect=metadata.PackageNotFoundError):
            self.assertIsNone(status.nova_release())
