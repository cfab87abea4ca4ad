# SPDX-License-Identifier: Apache-2.0
"""Runs the command in this process, with files of its own."""

from __future__ import annotations

import io
import json
import pathlib

import fixtures
import testtools

from nova_migpolicy.cmd import main

SERVER = ('--memory-mib', '4096', '--writable-set-mib', '1024', '--dirty-mib-s', '900')


class CommandTest(testtools.TestCase):
    """A test of nova-migpolicy."""

    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.useFixture(fixtures.EnvironmentVariable('COLUMNS', '100'))

    def run_it(self, *words, stdin=b''):
        """Returns status, output and errors."""
        out, errors = io.StringIO(), io.StringIO()
        source = io.TextIOWrapper(io.BytesIO(stdin))
        with fixtures.MonkeyPatch('sys.stdout', out), fixtures.MonkeyPatch(
                'sys.stderr', errors), fixtures.MonkeyPatch('sys.stdin', source):
            status = main.main([str(word) for word in words])
        return status, out.getvalue(), errors.getvalue()

    def simulate(self, *words, stdin=b''):
        """The output of a run that works."""
        status, out, errors = self.run_it('simulate', *words, stdin=stdin)
        self.assertEqual((0, ''), (status, errors), words)
        return out

    def as_json(self, *words, stdin=b''):
        return json.loads(self.simulate(*words, '-f', 'json', stdin=stdin))

    def refused(self, *words, stdin=b''):
        """The sentence of a run that does not."""
        status, out, errors = self.run_it('simulate', *words, stdin=stdin)
        self.assertEqual((2, ''), (status, out), words)
        self.assertTrue(errors.startswith('nova-migpolicy: '), errors)
        self.assertEqual(1, errors.count('\n'), errors)
        return errors.removeprefix('nova-migpolicy: ').rstrip()

    def file(self, name, content):
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return path
