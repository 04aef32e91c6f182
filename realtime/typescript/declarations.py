"""An application's events as one file of TypeScript: what each namespace of each endpoint sends and takes.

A page gives these interfaces to `events<Heard, Sent>(session)` of the JavaScript client.
"""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, NamedTuple, Union, get_args, get_origin

from ..events.annotations import ANY_TUPLE, bare, resolved
from ..events.listeners import ALL, Listener, parameters
from ..namespaces.events import Events
from ..namespaces.namespace import Namespace
from .forms import Forms, NoForm, Side
from .text import argument_names, camel, comment, literal, many, member, type_name, union

__all__ = ["Home", "Unsayable", "declarations"]

MODULE = "aiohttp-realtime/events"
# No interface of ours may hide one of these, which are the client's and TypeScript's own.
TAKEN = {"AnyEvents", "ArrayBuffer", "ArrayBufferView", "Value"} | {
    *("any", "bigint", "boolean", "never", "null", "number", "object", "string", "symbol", "undefined", "unknown"),
    "void",
}
# How a pattern begins, as far as it says itself what it matches.
_BEGINNING = re.compile(r"\^?([\w/-]*)")


class Home(NamedTuple):
    """Where events are served: the path that clients are given, the endpoint's own, and who handles them."""

    url: str
    path: str
    events: Events


class Unsayable(Exception):
    """Some of what is taken, answered or sent has no type: `reasons` has a sentence for each."""

    def __init__(self, reasons: Sequence[str]) -> None:
        super().__init__("; ".join(reasons))
        self.reasons: tuple[str, ...] = tuple(reasons)


def declarations(homes: Iterable[Home], source: str) -> str:
    """The text of the file. `source` says what was asked for, such as "app:make_app". Raises Unsayable."""
    return _File(homes).text(source)


class _File:
    def __init__(self, homes: Iterable[Home]) -> None:
        self._reasons: list[str] = []
        taken = set(TAKEN)
        self._parts = [
            (_free(_name(home.path, namespace), taken), f"{home.url}, {_whose(namespace)}", namespace)
            for home in homes
            for namespace in home.events._namespaces()
        ]
        self._forms = Forms(taken)

    def text(self, source: str) -> str:
        """All of it."""
        text = "".join(self._part(*part) for part in self._parts)
        if self._reasons:
            raise Unsayable(self._reasons)
        imported = ", ".join(sorted(self._forms.imported))
        head = f"// Written by `realtime types {comment(source)}`: run it again when handlers have changed.\n"
        if imported:
            head += f'\nimport type {{ {imported} }} from "{MODULE}";\n'
        return head + self._forms.finish(text)

    def _part(self, name: str, where: str, namespace: Namespace) -> str:
        """The interfaces of one namespace."""
        handlers = dict(namespace._listeners)
        connect = handlers.pop("connect", None)
        handlers.pop("disconnect", None)
        is_open = handlers.pop(ALL, None) is not None  # whatever is sent has a handler
        sent = [self._sent(where, event, listener) for event, listener in handlers.items()]
        heard = [self._heard(where, event, function) for event, function in namespace._emitted.items()]
        if is_open or not heard:
            self._forms.imported.add("AnyEvents")
        text = f"\n/** What a page hears at {comment(where)}. */\n"
        text += _interface(f"{name}Heard", heard) if heard else f"export type {name}Heard = AnyEvents;\n"
        text += f"\n/** What it sends there. */\n{_interface(f'{name}Sent', sent, 'AnyEvents' if is_open else '')}"
        return text + ("" if connect is None else self._auth(name, where, connect))

    def _sent(self, where: str, event: str, listener: Listener) -> str:
        """An event that a page sends, as a method."""
        whose = f"{_called(listener.function)}, the handler of {event!r} at {where}"
        arguments = self._arguments(whose, listener.function, *listener.parameters(), Side.TAKEN)
        answer = self._answer(whose, listener.function, Side.SENT)
        return f"  {member(event)}({arguments}): {answer};\n"

    def _heard(self, where: str, event: str, function: Callable[..., Any]) -> str:
        """An event that the server sends, as a method."""
        whose = f"{_called(function)}, which declares {event!r} at {where}"
        arguments = self._arguments(whose, function, *parameters(function), Side.SENT)
        answer = self._answer(whose, function, Side.ANSWERED)
        return f"  {member(event)}({arguments}): {answer};\n"

    def _auth(self, name: str, where: str, connect: Listener) -> str:
        """What a client gives when it comes in, where its handler says so."""
        for parameter in connect.parameters()[0][:1]:
            whose = f"{_called(connect.function)}, the handler of 'connect' at {where}"
            shown = self._argument(whose, connect.function, parameter, Side.TAKEN)
            return f"\n/** What `auth` is there. */\nexport type {name}Auth = {shown};\n"
        return ""

    # -- arguments and answers -----------------------------------------------------------------------------------------

    def _arguments(
        self,
        whose: str,
        function: Callable[..., Any],
        named: Sequence[inspect.Parameter],
        rest: inspect.Parameter | None,
        side: Side,
    ) -> str:
        names = argument_names([one.name for one in (*named, *([] if rest is None else [rest]))])
        shown = [
            f"{name}{'' if one.default is one.empty else '?'}: {self._argument(whose, function, one, side)}"
            for one, name in zip(named, names, strict=False)
        ]
        if rest is not None:
            shown.append(f"...{next(names)}: {many(self._argument(whose, function, rest, side), readonly=False)}")
        return ", ".join(shown)

    def _argument(self, whose: str, function: Callable[..., Any], parameter: inspect.Parameter, side: Side) -> str:
        if parameter.annotation is parameter.empty:
            return self._forms.anything(side)
        try:
            return self._forms.of(_found(parameter.annotation, function), side)
        except NoForm as error:
            return self._no_form(f"the argument {parameter.name!r} of {whose}: {error}")

    def _answer(self, whose: str, function: Callable[..., Any], side: Side) -> str:
        """What a call gives."""
        try:
            annotation = inspect.signature(function).return_annotation
            if annotation is inspect.Signature.empty:
                return "any"
            annotation = bare(_found(annotation, function))
            origin = get_origin(annotation)
            if not inspect.iscoroutinefunction(function) and isinstance(origin, type) and issubclass(origin, Awaitable):
                annotation = bare(get_args(annotation)[-1])
            if annotation in (None, type(None)):
                return "void"
            several = get_origin(annotation) in (Union, types.UnionType)
            kinds = map(bare, get_args(annotation)) if several else [annotation]
            return union(one for kind in kinds for one in self._answers(kind, side))
        except NoForm as error:
            return self._no_form(f"the answer of {whose}: {error}")
        except ValueError:  # it cannot say what it returns
            return "any"

    def _answers(self, annotation: Any, side: Side) -> Iterable[str]:
        """The types of an answer: a tuple is several values there, which a page gets as a list, and None is none."""
        if annotation in (None, type(None)):
            return ["undefined"] if side is Side.SENT else ["null", "undefined"]
        if side is Side.SENT and (annotation is tuple or get_origin(annotation) is tuple):
            args = get_args(annotation)
            if annotation in ANY_TUPLE or args[1:] == (Ellipsis,):
                item = self._forms.of(args[0] if args else Any, side)
                return [item, many(item, readonly=False), "undefined"]
            if len(args) < 2:
                return [self._forms.of(arg, side) for arg in args] or ["undefined"]
        return [self._forms.of(annotation, side)]

    def _no_form(self, reason: str) -> str:
        """Notes down why there is none."""
        self._reasons.append(reason)
        return "never"


def _found(annotation: Any, function: Callable[..., Any]) -> Any:
    """What an annotation names. Raises NoForm."""
    try:
        return resolved(annotation, function)
    except Exception as error:
        raise NoForm(f"{annotation!r} can't be found out: {error}") from None


def _interface(name: str, methods: Sequence[str], of: str = "") -> str:
    begin = f"export interface {name}{f' extends {of}' if of else ''} {{"
    return f"{begin}\n{''.join(methods)}}}\n" if methods else f"{begin}}}\n"


def _name(path: str, namespace: Namespace) -> str:
    """What the interfaces of a namespace begin with: "ChatAdmin" for "/admin" at "/chat"."""
    if namespace._name is None:
        beginning = _BEGINNING.match(namespace._rule)
        its_own = camel(beginning[1] if beginning else "") or "Many"
    else:
        its_own = camel(namespace._name)
    return type_name(camel(path) + its_own or "Events")


def _free(name: str, taken: set[str]) -> str:
    """The name, or the first with a number behind it, with which nothing else begins that a namespace has."""
    number, free = 1, name
    while not taken.isdisjoint(names := {f"{free}{kind}" for kind in ("Heard", "Sent", "Auth")}):
        number += 1
        free = f"{name}{number}"
    taken |= names
    return free


def _whose(namespace: Namespace) -> str:
    if namespace._name is None:
        return f"namespaces {literal(namespace._rule)}"
    return f"namespace {literal(namespace._name)}"


def _called(function: Any) -> str:
    """A function as its author knows it."""
    while hasattr(function, "func"):
        function = function.func
    name = getattr(function, "__qualname__", type(function).__qualname__)
    return f"{getattr(function, '__module__', None) or type(function).__module__}.{name}"
