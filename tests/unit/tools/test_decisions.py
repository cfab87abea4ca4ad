# SPDX-License-Identifier: Apache-2.0
"""The page of decisions and its picture are what the rules and the table of orders say."""

from __future__ import annotations

import testtools

import decisions

AGAIN = 'run python tools/decisions.py'


class TestDecisions(testtools.TestCase):

    def test_the_page_is_up_to_date(self):
        self.assertEqual(decisions.page(), decisions.PAGE.read_text(encoding='utf-8'), AGAIN)

    def test_the_picture_is_up_to_date(self):
        self.assertEqual(decisions.picture(), decisions.PICTURE.read_text(encoding='utf-8'), AGAIN)

    def test_what_has_no_docstring_is_refused(self):
        self.assertRaises(ValueError, decisions.first_line, lambda state, seen: None)
