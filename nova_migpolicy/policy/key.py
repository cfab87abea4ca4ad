# SPDX-License-Identifier: Apache-2.0
"""One policy key: its type, range and rules, and the parsing of its values.

The list of keys is in ``policy.keys``.
"""

from __future__ import annotations

import dataclasses
import re
import typing

from nova_migpolicy import exception

Kind = typing.Literal['int', 'choice', 'list', 'str']
Gentler = typing.Literal['lower', 'subset']
Value = int | str | tuple[str, ...]

ALL = frozenset({'flavor', 'image', 'request', 'retune'})

#: The word for a list of nothing.
NONE = 'none'
_NONE_ALONE = f'{NONE} stands alone; leave it out, or the other words'

_NAME = re.compile(r'[A-Za-z0-9][A-Za-z0-9_.:-]{0,62}')


@dataclasses.dataclass(frozen=True)
class Key:
    """The declaration of one policy key.

    :ivar name: the key; in a flavor ``migpolicy:<name>``, on an image ``migpolicy_<name>``.
    :ivar kind: int, choice (one of ``choices``), list (ordered, of ``choices`` if there are
        any) or str (a name).
    :ivar unit: of an int; the name of the key ends in it.
    :ivar minimum: and ``maximum``, of an int, both included.
    :ivar names: words for some values of an int, each with its number.
    :ivar zero: the meaning of 0, if it is more than the number.
    :ivar unlimited: 0 is the largest value there is, not the smallest.
    :ivar sources: which of flavor, image, request and retune may set it; nova.conf always may.
    :ivar gentler: the direction in which an image may go by itself: ``lower`` values, a
        ``subset``, or None for none.
    :ivar image_floor: how far an image may go there unless nova.conf says otherwise.
    :ivar in_effect: False while nothing acts on it: it is accepted and warned about.
    """

    kind: Kind
    help: str
    name: str = ''
    default: Value = ''
    unit: str | None = None
    minimum: int | None = None
    maximum: int | None = None
    names: tuple[tuple[str, int], ...] = ()
    zero: str | None = None
    unlimited: bool = False
    choices: tuple[str, ...] = ()
    sources: frozenset[str] = ALL
    gentler: Gentler | None = None
    image_floor: Value | None = None
    in_effect: bool = True

    def parse(self, given: object) -> Value:
        """Parse a source's text, or number or list from YAML or JSON, into a value.

        :raises exception.BadValue: if it is of the wrong type or out of range.
        """
        if self.kind == 'int':
            return self._parse_int(given)
        if self.kind == 'list':
            return self._parse_list(given)
        if not isinstance(given, str):
            raise exception.BadValue(self.name, given, 'not a text')
        text = given.strip()
        if self.kind == 'choice':
            self._check_choice(text, given)
        elif text and not _NAME.fullmatch(text):
            raise exception.BadValue(
                self.name, given, 'a name has letters, digits, and . _ : - inside, 63 at most')
        return text

    def _parse_int(self, given: object) -> int:
        named = dict(self.names)
        if isinstance(given, str) and given.strip() in named:
            return named[given.strip()]
        try:
            return self._parse_number(given)
        except exception.BadValue:
            if not named:
                raise
            raise exception.BadValue(self.name, given, self.has_to_be()) from None

    def _parse_number(self, given: object) -> int:
        if isinstance(given, str) and re.fullmatch(r'\s*[+-]?[0-9]{1,18}\s*', given):
            value = int(given)
        elif isinstance(given, int) and not isinstance(given, bool):
            value = given
        elif isinstance(given, float) and given.is_integer():
            value = int(given)      # JSON has one kind of number only
        else:
            raise exception.BadValue(self.name, given, 'not a whole number')
        if self.minimum is not None and value < self.minimum:
            raise exception.BadValue(self.name, given, f'below the minimum of {self.minimum}')
        if self.maximum is not None and value > self.maximum:
            raise exception.BadValue(self.name, given, f'above the maximum of {self.maximum}')
        return value

    def _parse_list(self, given: object) -> tuple[str, ...]:
        if isinstance(given, str):
            words = [word for word in re.split(r'[,\s]+', given) if word]
        elif isinstance(given, (list, tuple)) and all(isinstance(word, str) for word in given):
            words = [word.strip() for word in given]
        else:
            raise exception.BadValue(self.name, given, 'not a list of words')
        if NONE in words:
            if len(words) > 1:
                raise exception.BadValue(self.name, given, _NONE_ALONE)
            words = []
        for word in words:
            self._check_word(word, given)
            if words.count(word) > 1:
                raise exception.BadValue(self.name, given, f'{word} is given twice')
        return tuple(words)

    def _check_word(self, word: str, given: object) -> None:
        if self.choices:
            self._check_choice(word, given)
        elif not _NAME.fullmatch(word):
            raise exception.BadValue(self.name, given, f'{exception.shown(word)} is not a name')

    def _check_choice(self, word: str, given: object) -> None:
        if word not in self.choices:
            raise exception.BadValue(
                self.name, given,
                f'{exception.shown(word)} is not one of {", ".join(self.choices)}')

    def text(self, value: Value) -> str:
        """Write a value as a flavor or an image would hold it; ``parse`` reads it back."""
        if isinstance(value, tuple):
            return ','.join(value) if value else NONE
        return str(value)

    def has_to_be(self) -> str:
        """Say of an int with names what it has to be, in a part of a sentence."""
        return f'it has to be {self.allows()}'

    def allows(self) -> str:
        """Describe in a few words the values that the key takes."""
        if self.kind == 'int':
            text = f'{self.minimum} to {self.maximum}'
            if self.names:
                named = ', '.join(f'{name} ({number})' for name, number in self.names)
                text = f'{named}, or a number from {text}'
            text += f' {self.unit}' if self.unit else ''
            return f'{text} (0: {self.zero})' if self.zero else text
        if self.kind == 'choice':
            return 'one of ' + ', '.join(self.choices)
        if self.kind == 'list':
            return f'a list of {", ".join(self.choices) or "names"}; or {NONE}'
        return 'a name'

    def json_schema(self) -> dict[str, object]:
        """Return the schema of the key's values in JSON, a fragment (draft 2020-12).

        ``parse`` takes every value that fits it, and text as well.
        """
        schema: dict[str, object] = {'description': self._described()}
        if self.kind == 'int':
            number = {'type': 'integer', 'minimum': self.minimum, 'maximum': self.maximum}
            schema.update({'title': self.has_to_be(), 'anyOf': [
                number, {'enum': [name for name, _ in self.names]}]} if self.names else number)
        elif self.kind == 'choice':
            schema.update(type='string', enum=list(self.choices))
        elif self.kind == 'list':
            word: dict[str, object] = {'type': 'string', 'pattern': f'^{_NAME.pattern}$'}
            if self.choices:
                word = {'type': 'string', 'enum': [*self.choices, NONE]}
            # A description says what is wrong where the rule alone would not.
            schema.update({
                'type': ['array', 'string'], 'items': word, 'uniqueItems': True,
                'if': {'type': 'string'},
                'then': {'const': NONE, 'description': f'write a list of words, or {NONE}'},
                'else': {'if': {'contains': {'const': NONE}},
                         'then': {'maxItems': 1, 'description': _NONE_ALONE}}})
        else:
            schema.update(type='string', pattern=f'^({_NAME.pattern})?$')
        return schema

    def _described(self) -> str:
        text = self.help
        if self.unit:
            text += f' In {self.unit}.'
        return f'{text} 0 means {self.zero}.' if self.zero else text
