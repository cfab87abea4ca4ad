# SPDX-License-Identifier: Apache-2.0
"""Whatever is written down of a migration can be read again, and nothing else is taken for it."""

from __future__ import annotations

import dataclasses
import json

import hypothesis
from hypothesis import strategies
import testtools

from nova_migpolicy import exception
from nova_migpolicy.recovery import evidence as evidence_mod
from nova_migpolicy.recovery import record

text = strategies.text(max_size=20)
names = strategies.text(min_size=1, max_size=20)
counts = strategies.integers(0, 2 ** 63 - 1)
seconds = strategies.floats(0, 1e11) | strategies.integers(0, 10 ** 11)
plain = strategies.recursive(
    strategies.none() | strategies.booleans() | strategies.integers(-2 ** 63, 2 ** 64 - 1)
    | strategies.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: strategies.lists(inner, max_size=4) | strategies.dictionaries(
        text, inner, max_size=4), max_leaves=10)
mappings = strategies.dictionaries(text, plain, max_size=4)


def part(**fields):
    return strategies.fixed_dictionaries({}, optional=fields)


records = strategies.builds(
    record.Record,
    server=strategies.uuids().map(str), migration=strategies.uuids().map(str), source=names,
    destination=names, was_paused=strategies.booleans(), block_migration=strategies.booleans(),
    written=strategies.sampled_from(evidence_mod.Written), started_s=seconds,
    request_id=strategies.none() | text, user_id=strategies.none() | text,
    project_id=strategies.none() | text, migrate_data=strategies.none() | mappings,
    source_bdms=strategies.none() | mappings,
    policy=part(fields=mappings, origins=strategies.dictionaries(text, text, max_size=4),
                request=mappings, retuned=mappings, held=mappings),
    undecided=strategies.none() | strategies.fixed_dictionaries(
        {'since_s': seconds, 'kind': names, 'reason': text}, optional={
            'seen_s': strategies.none() | seconds, 'seen': strategies.none() | part(
                source=text, job=strategies.booleans(), destination=text, home=text, status=text,
                migrating=strategies.booleans())}),
    tries=counts)
# What a document may be mangled with, and what only Python has.
anything = (plain | mappings | strategies.floats() | strategies.binary(max_size=5)
            | strategies.sampled_from([10 ** 4000, -10 ** 400, {1: 2}, {'a': {3}}, object()]))


@strategies.composite
def mangled(draw):
    """A document in which some places have something else, more or nothing."""
    found = draw(records).to_dict()
    for _ in range(draw(strategies.integers(1, 3))):
        place, parent = found, None
        while isinstance(place, (dict, list)) and place and (
                parent is None or draw(strategies.booleans())):
            keys = sorted(place) if isinstance(place, dict) else range(len(place))
            parent, key = place, draw(strategies.sampled_from(keys))
            place = place[key]
        if draw(strategies.booleans()):
            parent[key] = draw(anything)
        else:
            del parent[key]
    return found


class TestRecords(testtools.TestCase):

    @hypothesis.given(records)
    def test_each_can_be_read_again(self, made):
        document = made.to_bytes()
        self.assertEqual(made, record.Record.from_bytes(document))
        self.assertEqual(document, record.Record.from_bytes(document).to_bytes())

    @hypothesis.given(records, strategies.data())
    def test_none_that_is_cut_off(self, made, data):
        document = made.to_bytes()
        size = data.draw(strategies.integers(0, len(document) - 1))
        for cut in (document[:size], document[:size] + bytes(len(document) - size)):
            self.assertRaises(exception.BadRecord, record.Record.from_bytes, cut)

    @hypothesis.given(records, strategies.dictionaries(
        text.filter(lambda name: name not in {*record._CHECKS, 'format', 'version', 'needs'}),
        plain, max_size=4), strategies.integers(1, 2 ** 40))
    def test_of_a_version_that_knew_more(self, made, more, version):
        document = {**made.to_dict(), **more, 'version': version, 'needs': 1}
        self.assertEqual(made, record.Record.from_dict(document))

    @hypothesis.given(records, strategies.data())
    def test_of_a_version_that_knew_less(self, made, data):
        optional = {field.name: field for field in dataclasses.fields(record.Record)
                    if field.default is not dataclasses.MISSING
                    or field.default_factory is not dataclasses.MISSING}
        unknown = data.draw(strategies.sets(strategies.sampled_from(sorted(optional))))
        document = {name: value for name, value in made.to_dict().items() if name not in unknown}
        found = record.Record.from_dict(document)
        rest = {name: getattr(made, name) for name in record._CHECKS if name not in unknown}
        self.assertEqual(record.Record(**rest), found)

    @hypothesis.given(mangled() | anything)
    def test_what_is_mangled_is_refused_or_read(self, given):
        try:
            found = record.Record.from_dict(given)
        except exception.BadRecord as error:
            self.assertLess(len(str(error)), 600)
            return
        self.assertEqual(found, record.Record.from_bytes(found.to_bytes()))

    @hypothesis.given(mangled() | plain, strategies.data())
    def test_mangled_bytes_are_refused_or_read(self, given, data):
        document = bytearray(json.dumps(given, default=str, skipkeys=True).encode() + b'\n')
        for _ in range(data.draw(strategies.integers(0, 3))):
            place = data.draw(strategies.integers(0, len(document) - 1))
            document[place] = data.draw(strategies.integers(0, 255))
        try:
            found = record.Record.from_bytes(bytes(document))
        except exception.BadRecord as error:
            self.assertLess(len(str(error)), 600)
            return
        self.assertEqual(found, record.Record.from_bytes(found.to_bytes()))
