# SPDX-License-Identifier: Apache-2.0
"""The RPC between nova-api and nova-compute: both ends, and the methods declared once.

It carries plain data, and knows neither what asks nor what answers.
"""
