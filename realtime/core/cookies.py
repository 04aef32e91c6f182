"""The Cookie header, read as aiohttp's own `request.cookies` reads it, so that hooks and handlers see the same.

Pure, and in a time that grows with the header's length alone. Lenient (RFC 6265 §5.4 binds browsers, which send what
scripts have set): a cookie that makes no sense hides no other one. One with a control character is none, as it is with
newer Pythons' http.cookies, whatever this one's does.
"""

from __future__ import annotations

import re

__all__ = ["parse_cookies"]

_NAME = re.compile(r"[!#-'*+\-./0-9:<=>?@A-Z\[\]^_`a-z{|}~()]+")
_WORD = r"[A-Za-z0-9_!#%&'~`><@,:/$*+\-.^|)(?}{\[\]]"
# RFC 9110 §5.6.7: dates have spaces, which end any other value.
_DATE = (
    r"(?:[A-Za-z0-9_]{3,6}day|[A-Za-z0-9_]{3}),\s[A-Za-z0-9_\s-]{9,11}\s[0-9:]{8}\s(?:GMT|[+-][0-9]{4})"
    r"|[A-Za-z0-9_]{3}\s+[A-Za-z0-9_]{3}\s+[\s0-9][0-9]\s+[0-9]{2}:[0-9]{2}:[0-9]{2}\s+[0-9]{4}"
)
# A name and, perhaps, a value: quoted, begun to be quoted, a date, or one word. Behind it: a space, ";" or the end.
_PAIR = re.compile(
    rf'\s*+({_WORD}++)(?:\s*=\s*("(?:[^\\"]|\\.)*+"|"[^";]*|(?:{_DATE})(?![^\s;])|(?:{_WORD}|=)*+))?(?:\s*+(?:;|$)|\s++)',
    re.ASCII,
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_ESCAPE = re.compile(r"\\(?:([0-3][0-7][0-7])|(.))")


def parse_cookies(header: str) -> dict[str, str]:
    """The cookies of a header, by name; of two with the same name the later one."""
    cookies: dict[str, str] = {}
    at = 0
    while at < len(header):
        found = _PAIR.match(header, at)
        if found is not None:
            name, value = found[1], found[2] or ""
            at = found.end()
        else:
            # Not as it should be: what stands up to the next semicolon, around its first equals sign.
            end = header.find(";", at)
            pair = header[at : len(header) if end < 0 else end]
            name, sign, value = pair.partition("=")
            name, value = name.strip() if sign else "", value.strip()
            at += len(pair) + 1
        if _NAME.fullmatch(name) and not (_CONTROL.search(value) or _CONTROL.search(plain := _unquoted(value))):
            cookies[name] = plain
    return cookies


def _unquoted(value: str) -> str:
    if len(value) < 2 or value[0] != '"' or value[-1] != '"':
        return value
    return _ESCAPE.sub(lambda found: chr(int(found[1], 8)) if found[1] else found[2], value[1:-1])
