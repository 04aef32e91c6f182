"""docs/python.md, made from the docstrings: `python -m tests.reference --write` (or `make reference`).

`members` finds what a public class has, `examples` holds an example for each name, `page` puts both on the page.
tests/test_reference.py runs the examples, and fails for a page that is older than the docstrings.
"""
