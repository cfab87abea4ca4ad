# SPDX-License-Identifier: Apache-2.0
"""What the summary says of a test that failed."""

import testtools

import runs

SAID = """log n1: {{{ERROR not this one}}}

Traceback (most recent call last):
  File "one.py", line 1, in test
testtools.matchers._impl.MismatchError: !=:
reference = ['one',
 'two']
actual    = []
"""


class TestFail(testtools.TestCase):

    @staticmethod
    def why(said):
        count = runs.Count()
        count.fail('one.Test', said)
        return count.failures

    def test_the_whole_of_the_last_error_is_kept(self):
        kept, = self.why(SAID)
        self.assertEqual("one.Test: testtools.matchers._impl.MismatchError: !=: "
                         "reference = ['one', 'two'] actual = []", kept)

    def test_else_the_last_line(self):
        self.assertEqual(['one.Test: it hangs'], self.why('it waits\nit hangs\n'))
        self.assertEqual(['one.Test'], self.why(''))

    def test_it_is_cut(self):
        self.assertEqual(len('one.Test: ') + runs.WHY, len(self.why('x' * 10_000)[0]))
