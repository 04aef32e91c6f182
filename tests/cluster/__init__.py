"""Tests of several workers that serve as one."""
