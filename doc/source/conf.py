# SPDX-License-Identifier: Apache-2.0
"""Sphinx's settings: the plain ones, so that the docs build with Sphinx alone."""

project = 'nova_migpolicy'
copyright = 'nova-migpolicy contributors'  # noqa: A001
author = 'nova-migpolicy contributors'
extensions: list[str] = []
exclude_patterns: list[str] = []
html_theme = 'alabaster'
html_theme_options = {'page_width': '1100px'}
nitpicky = True
