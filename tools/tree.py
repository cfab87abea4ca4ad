# SPDX-License-Identifier: Apache-2.0
"""Prints the page of the tree: each room and module of the product with its sentence.

``python tools/tree.py > doc/source/contributor/tree.rst`` renews the page; a test sees that it is
up to date.
"""

from __future__ import annotations

import ast
from collections import abc
import pathlib

PACKAGE = pathlib.Path(__file__).resolve().parents[1] / 'nova_migpolicy'
HEAD = """\
========
The tree
========

.. This page is made from the docstrings by tools/tree.py.

Each room and each module, with the first sentence of its docstring. A module holds one idea, and
an idea has one module.
"""


def sentence(path: pathlib.Path) -> str:
    """Return the first line of a module's docstring.

    :raises ValueError: it has none
    """
    text = ast.get_docstring(ast.parse(path.read_text(encoding='utf-8')))
    if not text:
        raise ValueError(f'{path} has no docstring')
    return text.splitlines()[0].replace('`openstack`', '``openstack``')


def room(folder: pathlib.Path) -> abc.Iterator[str]:
    """Give the lines of a room, and then of the rooms in it."""
    name = '/'.join(folder.relative_to(PACKAGE.parent).parts)
    yield from ('', name, '=' * len(name), '', sentence(folder / '__init__.py'), '',
                '.. list-table::', '   :widths: 20 80', '')
    for path in sorted(folder.glob('*.py')):
        if path.stem != '__init__':
            yield from (f'   * - ``{path.stem}``', f'     - {sentence(path)}')
    for inner in sorted(path.parent for path in folder.glob('*/__init__.py')):
        yield from room(inner)


def page() -> str:
    """Return the whole page."""
    return HEAD + '\n'.join(room(PACKAGE)) + '\n'


if __name__ == '__main__':
    print(page(), end='')
