# SPDX-License-Identifier: Apache-2.0
"""Labelled pictures of a data set: found, read, paired with masks, divided, augmented.

NumPy and Pillow only. Everything random is a pure function of a seed, an epoch and a position, so
that a run can be resumed at any epoch and repeats itself bit by bit.
"""
