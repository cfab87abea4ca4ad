# SPDX-License-Identifier: Apache-2.0
"""The reference of keys and profiles as reStructuredText, made from the declarations.

``python -m nova_migpolicy.policy.reference > doc/source/reference.rst`` renews the page in the
docs. It adds no fact to the declarations.
"""

from __future__ import annotations

from collections import abc
import sys

from nova_migpolicy.policy import keys
from nova_migpolicy.policy import profiles

HEAD = """\
..  Made by python -m nova_migpolicy.policy.reference; do not edit.

=========================
Policy keys and profiles
=========================

In a flavor a key is the extra spec ``migpolicy:<key>``, on an image the property
``migpolicy_<key>``, in nova.conf the option of that name in ``[migpolicy]``, and in a profile
the bare name. A list is written with commas; ``none`` is the empty one.

Keys
====
"""

PROFILES = """\
Built-in profiles
=================

How much the network has, and how data is sent over it, is the site's: ``bandwidth_mib_s``,
``max_bandwidth_mib_s``, ``compression`` and ``parallel_connections`` are what weaker sources say,
but where a profile needs a certain value. So are the keys that nothing acts on yet. The profile
``nova`` shows the figures of an unchanged nova.conf.
"""


def page() -> abc.Iterator[str]:
    """Generate the lines of the page."""
    yield HEAD
    for key in keys.KEYS.values():
        yield from _key(key)
    yield PROFILES
    for profile in profiles.BUILT_IN.values():
        yield f'``{profile.name}``'
        yield f'    {quoted(profile.description)}'
        yield ''
    yield from _profile_table()


def quoted(text: str) -> str:
    """Set words with underscores, which are names of keys or of values, as literals."""
    words = []
    for word in text.split():
        bare = word.strip('.,;:')
        words.append(word.replace(bare, f'``{bare}``') if '_' in bare else word)
    return ' '.join(words)


def _key(key: keys.Key) -> abc.Iterator[str]:
    yield f'``{key.name}``'
    yield f'    {quoted(key.help)}'
    yield ''
    if key.choices:
        yield f'    :takes: {"a list of" if key.kind == "list" else "one of"}'
        yield ''
        for word in key.choices:
            yield f'        * ``{word}``: {keys.WORDS[word]}'
        yield ''
    else:
        yield f'    :takes: {key.allows()}'
    yield f'    :default: ``{key.text(key.default)}``' if key.text(key.default) else (
        '    :default: empty')
    yield f'    :set by: {", ".join(_who(key))}'
    if not key.in_effect:
        yield '    :note: reserved; it is accepted, but nothing acts on it yet'
    yield ''


def _who(key: keys.Key) -> abc.Iterator[str]:
    yield 'nova.conf'
    for source in ('flavor', 'image', 'request', 'retune'):
        if source not in key.sources:
            continue
        yield f'image ({_image(key)})' if source == 'image' else source


def _image(key: keys.Key) -> str:
    if key.name == 'profile':
        return 'each of its values clamped'
    if key.gentler == 'lower':
        floor = key.minimum if key.image_floor is None else key.image_floor
        return f'lower values, down to {floor}'
    if key.gentler == 'subset':
        kept = key.text(key.image_floor) if key.image_floor else 'none'
        return f'fewer, but not without {kept.replace(",", " and ")}'
    return 'only where image_limits permits the value' if key.kind == 'choice' else (
        'only the value that is in force anyway')


def _profile_table() -> abc.Iterator[str]:
    names = list(profiles.BUILT_IN)
    yield '.. list-table::'
    yield '   :header-rows: 1'
    yield '   :stub-columns: 1'
    yield ''
    yield from row('key', [f'``{name}``' for name in names])
    for key in keys.KEYS.values():
        values = [profiles.BUILT_IN[name].values.get(key.name) for name in names]
        if any(value is not None for value in values):
            yield from row(key.name, [
                "the site's" if value is None else key.text(value).replace(',', ', ')
                for value in values])


def row(head: str, cells: abc.Iterable[str]) -> abc.Iterator[str]:
    """Generate one row of a list-table."""
    yield f'   * - {head}'
    for cell in cells:
        yield f'     - {cell}'


if __name__ == '__main__':
    sys.stdout.write('\n'.join(page()) + '\n')
