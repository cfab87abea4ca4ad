# SPDX-License-Identifier: Apache-2.0
"""Bodies and queries are read with care."""

import json

import ddt
import hypothesis
from hypothesis import strategies
import testtools
import webob

from nova_migpolicy.api import errors
from nova_migpolicy.api import http

_JSON = strategies.recursive(
    strategies.none() | strategies.booleans() | strategies.integers()
    | strategies.floats() | strategies.text(),
    lambda inner: strategies.lists(inner) | strategies.dictionaries(strategies.text(), inner))


def request(raw=b'{}', content_type='application/json', **environ):
    made = webob.Request.blank('/', method='POST')
    made.body = raw
    made.environ['CONTENT_TYPE'] = content_type
    made.environ.update(environ)
    return made


@ddt.ddt
class TestJson(testtools.TestCase):

    def refused(self, call, *args):
        return self.assertRaises(errors.Refusal, call, *args)

    @ddt.data('application/json', 'application/json; charset=UTF-8', 'Application/JSON', '',
              'text/plain', 'application/vnd.openstack.compute+json')
    def test_types_that_are_json(self, kind):
        self.assertEqual({'a': [1]}, http.read_json(request(b'{"a": [1]}', kind)))

    @ddt.data('application/xml', 'multipart/form-data; boundary=x', 'json', '\xff\x00', '*/*')
    def test_types_that_are_not(self, kind):
        self.assertEqual(415, self.refused(http.read_json, request(b'{}', kind)).code)

    def test_who_reads_next_finds_it_whole(self):
        made = request(b'{"a": 1}')
        http.read_json(made)
        self.assertEqual(b'{"a": 1}', made.environ['wsgi.input'].read())

    @ddt.data(b'', b' \n', b'{', b'{"a": }', b'\xff\xfe', b'{"a": "\xff"}', b'nul', b'{"a": 1}x',
              b'{"a": "\\ud800"}', b'{"\\udfff": 1}', b'1' * 5000,
              *('{"a": 1}'.encode(name) for name in ('utf-8-sig', 'utf-16', 'utf-32-le')))
    def test_no_json(self, raw):
        error = self.refused(http.read_json, request(raw))
        self.assertEqual(400, error.code)
        self.assertIn('The body is', error.message)

    @ddt.data(b'[' * 90_000, b'{"a":' * 50_000, b'[' * 40 + b']' * 40,
              b'{"a":' * 17 + b'1' + b'}' * 17)
    def test_nested_deep(self, raw):
        error = self.refused(http.parse_json, raw)
        self.assertEqual((400, 'The body is nested more than 16 deep'),
                         (error.code, error.message))

    def test_too_many_values(self):
        self.assertIn('more than 1000', self.refused(
            http.parse_json, json.dumps([[]] * 1001).encode()).message)
        self.assertEqual(1000, len(http.parse_json(json.dumps([[]] * 1000).encode())))

    def test_a_length_that_is_none(self):
        self.assertEqual('The body is empty; write JSON', self.refused(
            http.read_json, request(CONTENT_LENGTH='many')).message)

    @ddt.data(http.read_json, http.is_readable_by_nova)
    def test_body_that_is_cut_off(self, read):
        made = request(b'{"a": 1}')
        made.environ.update({'CONTENT_LENGTH': '500', 'webob.is_body_seekable': False})
        error = self.refused(read, made)
        self.assertEqual(400, error.code)
        self.assertIn('ends before its Content-Length', error.message)

    def test_what_nova_can_cope_with(self):
        self.assertTrue(http.is_readable_by_nova(request(b'{"a": ')))
        self.assertFalse(http.is_readable_by_nova(request(b'[' * 201)))

    @hypothesis.given(strategies.binary())
    def test_bytes_are_json_or_refused(self, raw):
        try:
            found = http.parse_json(raw)
        except errors.Refusal as error:
            self.assertEqual(400, error.code)
        else:
            json.dumps(found)

    @hypothesis.given(_JSON)
    def test_json_is_read_as_it_was(self, value):
        hypothesis.assume(value == value)
        raw = json.dumps(value).encode()
        try:
            self.assertEqual(json.loads(raw), http.parse_json(raw))
        except errors.Refusal as error:
            self.assertEqual(400, error.code)


@ddt.ddt
class TestQuery(testtools.TestCase):

    def read(self, text):
        return http.read_query(request(QUERY_STRING=text))

    def test_fields_with_all_their_values(self):
        self.assertEqual({'kind': ['a', 'b'], 'limit': ['']}, self.read('kind=a&limit=&kind=b'))
        self.assertEqual({}, self.read(''))

    @ddt.data('a=%ff', '&'.join('a=1' for _ in range(21)))
    def test_cannot_be_read(self, text):
        error = self.assertRaises(errors.Refusal, self.read, text)
        self.assertEqual(400, error.code)
        self.assertIn('The query cannot be read', error.message)


@ddt.ddt
class TestAnswers(testtools.TestCase):

    @ddt.data((400, 'badRequest'), (403, 'forbidden'), (404, 'itemNotFound'),
              (405, 'badMethod'), (406, 'computeFault'), (409, 'conflictingRequest'),
              (415, 'badMediaType'), (503, 'serviceUnavailable'))
    @ddt.unpack
    def test_form_of_errors_is_novas(self, code, name):
        response = http.fault(errors.Refusal(code, 'no', {'Allow': 'GET'}))
        self.assertEqual({name: {'code': code, 'message': 'no'}}, response.json)
        self.assertEqual((code, 'application/json', 'GET'), (
            response.status_int, response.content_type, response.headers['Allow']))
        self.assertEqual('migration-policy 1.0', response.headers['OpenStack-API-Version'])
        self.assertEqual('OpenStack-API-Version', response.headers['Vary'])

    def test_messages_have_an_end(self):
        self.assertEqual(2000, len(errors.body(400, 'x' * 5000)['badRequest']['message']))

    def test_any_text_can_be_sent(self):
        self.assertEqual({'a': 'ä\ud800'}, http.answer(200, {'a': 'ä\ud800'}).json)
