# SPDX-License-Identifier: Apache-2.0
"""The entry point of nova-migpolicy: finds the subcommand, and turns errors into sentences.

Exit status: 0 it ran, 1 it ran and what it found needs an operator, 2 the request cannot be met
(one sentence says why), 130 it was interrupted. Each subcommand is in the package or module of its
name.
"""

from __future__ import annotations

import argparse
from collections import abc
import os
import sys
import typing

from nova_migpolicy.cmd import recovery
from nova_migpolicy.cmd.simulate import command
from nova_migpolicy.cmd.simulate import inputs
from nova_migpolicy import exception

PROGRAM = 'nova-migpolicy'
OK, BAD_INPUT, INTERRUPTED = 0, 2, 130


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one sentence, not a page of usage."""

    def error(self, message: str) -> typing.NoReturn:
        """Refuse the command line.

        :raises inputs.Usage: always.
        """
        text = message.removeprefix('argument ')
        if text.startswith('--') and ": '" in text and 'choice' not in text:
            # The message of a check of ours already names option, value and reason.
            raise inputs.Usage(text.replace(": '", " '", 1))
        raise inputs.Usage(f'{text} (see {self.prog} --help)')


def _parser() -> Parser:
    parser = Parser(prog=PROGRAM, allow_abbrev=False,
                    description='Tools for live migrations by policy.')
    commands = parser.add_subparsers(metavar='COMMAND', required=True)
    command.add_to(commands)
    recovery.add_to(commands)
    return parser


def main(argv: abc.Sequence[str] | None = None) -> int:
    """Run a subcommand; return the exit status."""
    try:
        args = _parser().parse_args(argv)
        status: int = args.run(args) or OK
        sys.stdout.flush()
        return status
    except exception.PolicyError as error:
        sys.stderr.write(f'{PROGRAM}: {error}\n')
        return BAD_INPUT
    except BrokenPipeError:
        # The reader of the output has stopped; nothing may be written at the exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        return INTERRUPTED
    return OK


if __name__ == '__main__':
    sys.exit(main())
