# SPDX-License-Identifier: Apache-2.0
"""Which tests a change touches: those whose module imports or names a changed file, however far.

Imports are read, not done. What runs elsewhere than in the test's own process is in a table: the
lab's OpenStack loads the plugin as Nova does, and no import of a test says so. When in doubt, a
test is taken.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
import dataclasses
import fnmatch
import pathlib
import subprocess

#: what the environment of all tests is made from
ENVIRONMENT = ('requirements/*', 'requirements.txt', 'setup.cfg', 'setup.py', 'tools/setup',
               'tools/test', '.stestr.conf')
#: tiers that look at files, not at what they do
STATIC = {
    'style': ('*.py', 'pyproject.toml', 'tox.ini', 'releasenotes/*'),
    'types': ('*.py', 'pyproject.toml'),
    'docs': ('doc/source/*',),
}
#: tiers of tests, which are in folders of the same name
TESTED = ('unit', 'simulation', 'property', 'contract', 'lab', 'stack', 'long')
#: which of the stack's modules exercise which rooms of the product, in other processes
STACK = {
    'nova_migpolicy/*': ('tests.stack.*',),
    'shim/*': ('tests.stack.*',),
}
#: rooms of which only some of those modules see anything
NARROW = {
    'nova_migpolicy/osc/*': ('tests.stack.test_34_cli', 'tests.stack.test_wheel',
                             'tests.stack.test_demo'),
    'nova_migpolicy/cmd/*': ('tests.stack.test_wheel',),
    'nova_migpolicy/sim/*': ('tests.stack.test_wheel',),
    'lab/demo/*': ('tests.stack.test_demo',),
}
#: what runs the tests of the tiers with lanes: a test of each shows whether it still does
_LANED = ('tests.lab.test_lane', 'tests.stack.test_34_stock')
RUNNER = {f'tools/{name}.py': _LANED for name in ('tiers', 'runs', 'pool', 'lanes', 'lane')}
#: what tests find by looking into folders
READ = {
    'tests/*.py': ('tests.unit.test_filing',),
    'bench/*.py': ('tests.unit.test_filing',),
    'lab/*.py': ('tests.unit.test_filing',),
    'tools/*.py': ('tests.unit.test_filing',),
    'nova_migpolicy/*': ('tests.unit.test_filing', 'tests.unit.test_imports',
                         'tests.unit.test_vocabulary', 'tests.unit.tools.test_tree'),
    'nova_migpolicy/engine/*': ('tests.unit.test_purity',),
    'nova_migpolicy/policy/*': ('tests.unit.test_purity',),
    'nova_migpolicy/recovery/*': ('tests.unit.test_purity',),
    'nova_migpolicy/sim/*': ('tests.unit.test_purity',),
    'nova_migpolicy/exception.py': ('tests.unit.test_purity',),
}


class GitError(Exception):
    """Git cannot tell what has changed; the text says why."""


@dataclasses.dataclass(frozen=True)
class Choice:
    """The tests of a tier that are to run.

    :param modules: None for all that the tier has
    """

    modules: frozenset[str] | None
    why: str

    def __str__(self) -> str:
        names = sorted(name.split('.', 2)[-1] for name in self.modules or ())
        what = 'all' if self.modules is None else ', '.join(names)
        return f'{what}, because of {self.why}'


@dataclasses.dataclass(frozen=True)
class Module:
    """A Python file.

    :param path: from the root of the checkout
    :param imports: names of modules, and of what might be one
    :param words: its text constants that may be names of files or modules
    """

    name: str
    path: str
    imports: frozenset[str]
    words: frozenset[str]


class Tree:
    """The modules of a checkout, and who depends on whom."""

    def __init__(self, modules: Iterable[Module]) -> None:
        self.modules = {module.name: module for module in modules}

    @classmethod
    def read(cls, root: pathlib.Path) -> Tree:
        """Return the tree of all Python files that git knows, or would take."""
        try:
            paths = _git(root, 'ls-files', '-z', '--cached', '--others', '--exclude-standard',
                         '*.py')
        except GitError:        # a release that was unpacked has no history
            paths = _found(root)
        return cls(module(path, (root / path).read_text()) for path in sorted(set(paths))
                   if (root / path).exists())

    def dependents(self, path: str) -> set[str]:
        """Return the modules that depend on a file, be it there or not, itself included."""
        name = name_of(path) if path.endswith('.py') else None
        first = {module.name for module in self.modules.values()
                 if module.path == path or _names(module, path, name)}
        if not name and not first:
            first = self._beside(path)
        return self._closure(first | ({name} if name else set()))

    def _closure(self, found: set[str]) -> set[str]:
        fresh = set(found)
        while fresh:
            fresh = {module.name for module in self.modules.values()
                     if module.name not in found and not fresh.isdisjoint(module.imports)}
            found |= fresh
        return found & self.modules.keys()

    def _beside(self, path: str) -> set[str]:
        """Return the modules in the nearest folder above a file of data that has any."""
        for parent in pathlib.PurePosixPath(path).parents:
            found = {module.name for module in self.modules.values()
                     if pathlib.PurePosixPath(module.path).parent == parent}
            if found and parent.name:
                return found
        return set()


def choose(files: Iterable[str], tree: Tree) -> dict[str, Choice]:
    """Return what is to run for changed files, tier by tier; tiers without anything are left out.

    :param files: their paths from the root of the checkout
    """
    reasons: dict[str, dict[str, str]] = {tier: {} for tier in (*STATIC, *TESTED)}
    whole: dict[str, str] = {}
    for path in files:
        for tier in (*STATIC, *TESTED):
            if _matches(path, (*ENVIRONMENT, *STATIC.get(tier, ()))):
                whole.setdefault(tier, path)
        for tier, name in _tests(path, tree):
            reasons[tier].setdefault(name, path)
    return {tier: _choice(whole.get(tier), reasons[tier]) for tier in (*STATIC, *TESTED)
            if tier in whole or reasons[tier]}


def _tests(path: str, tree: Tree) -> Iterator[tuple[str, str]]:
    """Give the tiers and names of the test modules that a file touches."""
    for name in sorted(tree.dependents(path) | _elsewhere(path, tree)):
        tier = name.split('.')[1] if name.startswith('tests.') else ''
        if tier in TESTED and name.rsplit('.', 1)[-1].startswith('test_'):
            yield tier, name


def files(root: pathlib.Path, base: str) -> list[str]:
    """Return the files that differ from a revision, new ones included.

    :raises GitError: if git cannot tell
    """
    return sorted({*_git(root, 'diff', '--name-only', '--no-renames', '-z', base, '--'),
                   *_git(root, 'ls-files', '-z', '--others', '--exclude-standard')})


def module(path: str, text: str) -> Module:
    """Return what a Python file imports and names; nothing where it is not Python."""
    name = name_of(path)
    try:
        nodes = list(ast.walk(ast.parse(text)))
    except SyntaxError:
        return Module(name, path, frozenset(), frozenset())
    package = name if path.endswith('__init__.py') else name.rpartition('.')[0]
    imports = {alias.name for node in nodes if isinstance(node, ast.Import)
               for alias in node.names}
    for node in nodes:
        imports |= _from(node, package) if isinstance(node, ast.ImportFrom) else set()
    words = {node.value for node in nodes
             if isinstance(node, ast.Constant) and isinstance(node.value, str)
             and not any(map(str.isspace, node.value))}
    # Importing a module runs the packages that it is in.
    packages = {one.rsplit('.', number)[0] for one in (*imports, name)
                for number in range(1, one.count('.') + 1)}
    return Module(name, path, frozenset(imports | packages), frozenset(words))


def name_of(path: str) -> str:
    """Return the name under which a Python file is imported."""
    # Those of tools see each other without the folder.
    inside = path.removeprefix('tools/')
    return inside.removesuffix('.py').removesuffix('/__init__').replace('/', '.')


def _from(node: ast.ImportFrom, package: str) -> set[str]:
    base = node.module or ''
    if node.level:
        above = package.split('.')[:len(package.split('.')) - node.level + 1]
        base = '.'.join([*above, *([base] if base else [])])
    return {base, *(f'{base}.{alias.name}' for alias in node.names)}


def _names(module: Module, path: str, name: str | None) -> bool:
    """Whether a module has a text that means a file: its name, its folder, or `python -m`'s."""
    pure = pathlib.PurePosixPath(path)
    folder = str(pure.parent)
    package = name.rpartition('.')[0] if name and name.endswith('.__main__') else name
    return any(word == pure.name or word.endswith(f'/{pure.name}')
               or ('/' in folder and word == folder)
               or (package is not None and '.' in package and word == package)
               for word in module.words)


def _elsewhere(path: str, tree: Tree) -> set[str]:
    """Return the test modules that see a file in another process, by the tables."""
    narrow, broad, read, runner = (
        [module for pattern, modules in table.items() if _matches(path, (pattern,))
         for module in modules] for table in (NARROW, STACK, READ, RUNNER))
    return matching(tree.modules, [*(narrow or broad), *read, *runner])


def matching(names: Iterable[str], patterns: Iterable[str]) -> set[str]:
    """Return the names that match one of some patterns, as a shell would."""
    kept = tuple(patterns)
    return {name for name in names if _matches(name, kept)}


def _matches(path: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)


def _choice(whole: str | None, reasons: Mapping[str, str]) -> Choice:
    if whole is not None:
        return Choice(None, whole)
    causes = sorted(set(reasons.values()))
    more = f' and {len(causes) - 2} more' if len(causes) > 2 else ''
    return Choice(frozenset(reasons), ', '.join(causes[:2]) + more)


def _git(root: pathlib.Path, *words: str) -> list[str]:
    # Who runs the tests as root mostly does not own the checkout, which git else does not trust.
    trusted = ['git', '-c', f'safe.directory={root.resolve()}']
    try:
        done = subprocess.run([*trusted, *words], cwd=root, capture_output=True, text=True,
                              check=False)
    except FileNotFoundError:
        raise GitError('git is not installed') from None
    if done.returncode:
        raise GitError(f'git {words[0]}: {done.stderr.strip()}')
    return [path for path in done.stdout.split('\0') if path]


def _found(root: pathlib.Path) -> list[str]:
    """Return the Python files below a folder, but for what is hidden, such as .venv."""
    paths = (path.relative_to(root) for path in root.rglob('*.py'))
    return [path.as_posix() for path in paths if not any(
        part.startswith('.') for part in path.parts)]
