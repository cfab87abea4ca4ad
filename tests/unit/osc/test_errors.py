# SPDX-License-Identifier: Apache-2.0
"""What a person reads when the API refuses, is not there, or is something else."""

from __future__ import annotations

import requests

from nova_migpolicy.osc import errors
from tests.unit.osc import cloud

PROGRESS = ('server', 'migration', 'policy', 'progress', 'db-1')


def fault(code, message, name='conflictingRequest'):
    return cloud.Answer(code, {name: {'code': code, 'message': message}}, cloud.OURS)


class ErrorsTest(cloud.CloudTest):

    def error(self, answer, *words):
        self.plugin('progress', answer)
        status, out, err = self.openstack(*(words or PROGRESS))
        self.assertEqual((1, ''), (status, out))
        self.assertEqual(1, err.count('\n'), err)
        return err.strip()

    def test_the_apis_sentence_and_what_to_do(self):
        self.assertEqual('Host n1 has no plugin; install it there.',
                         self.error(fault(409, 'Host n1 has no plugin; install it there.')))
        self.assertEqual(
            'Host n1 is down. No migration is touched by this: try again in a moment.',
            self.error(fault(503, 'Host n1 is down', 'serviceUnavailable')))
        self.assertIn('Ask an administrator', self.error(
            fault(403, "Policy doesn't allow migpolicy:show to be performed.", 'forbidden')))
        self.assertIn('another version', self.error(fault(406, 'only 1.0', 'computeFault')))
        self.assertIn("nova-api's log", self.error(fault(500, 'Unexpected', 'computeFault')))
        self.assertEqual('no migration 7', self.error(
            fault(404, 'no migration 7', 'itemNotFound')))

    def test_a_nova_without_the_plugin(self):
        for body in ({'itemNotFound': {'message': 'The resource could not be found.'}},
                     '404 Not Found\n\nThe resource could not be found.', ''):
            self.assertIn('does not have nova_migpolicy: put its filter into api-paste.ini',
                          self.error(cloud.Answer(404, body)))

    def test_pages_that_are_not_the_apis(self):
        page = '<html><body><h1>Bad Gateway</h1></body></html>'
        self.assertIn('502 with a page that is not its own', self.error(cloud.Answer(502, page)))
        self.assertIn('sent no JSON', self.error(cloud.Answer(200, page)))
        self.assertIn('sent no JSON', self.error(cloud.Answer(200, '[1, 2]')))
        self.assertIn('sent no JSON', self.error(cloud.Answer(200, '{"a": ')))

    def test_answers_without_what_was_asked(self):
        for body in ({}, {'progress': None}, {'progress': [1]}):
            self.assertIn('has no progress in it', self.error(cloud.Answer(200, body, cloud.OURS)))

    def test_faults_of_odd_forms(self):
        for body, said in (({'message': 'flat'}, 'flat'), ({'a': {'message': None}}, '{"a"'),
                           ('plain words', 'plain words'), ({}, 'answered 418'),
                           ({'a': {'message': 'two\nlines \x1b[2J'}}, 'two lines  [2J'),
                           ({'a': {'message': 'x' * 5000}}, 'x' * 600)):
            found = self.error(cloud.Answer(418, body, cloud.OURS))
            self.assertIn(said, found)
            self.assertLess(len(found), 700)

    def test_nobody_there(self):
        for error in (requests.exceptions.ConnectionError('refused'),
                      requests.exceptions.ReadTimeout('too long')):
            self.assertIn("Nova's API does not answer", self.error(error))

    def test_no_compute_service_at_all(self):
        self.plugin('progress', cloud.progress())
        status, _out, err = self.openstack('--os-region-name', 'elsewhere', *PROGRESS)
        self.assertEqual((1, 1), (status, err.count('\n')), err)

    def test_a_nova_that_is_older(self):
        self.plugin('progress', cloud.progress())
        self.newest('2.60')
        self.ok(*PROGRESS)
        self.assertEqual('compute 2.60, migration-policy 1.0',
                         self.sent('GET', '/progress')[0].headers['OpenStack-API-Version'])
        self.assertEqual('compute 2.60', self.requests[0].headers['OpenStack-API-Version'])

    def test_they_are_osc_libs(self):
        self.assertIn('down. No migration', str(errors.Refused(503, 'down.')))
