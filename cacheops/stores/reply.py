"""The reply to what a store was sent: one object, whether it is waited for or reported later."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Generic, Protocol, TypeAlias, TypeVar

from cacheops.exceptions import StoreError

T = TypeVar("T")
U = TypeVar("U")
T_co = TypeVar("T_co", covariant=True)
OnResult: TypeAlias = Callable[[T | StoreError], None]


class Reply(Protocol[T_co]):
    """Call either `result` or `on_result`, once."""

    def result(self) -> T_co:
        """Wait for the result and return it. Raise StoreUnavailable or CommandRefused."""

    def on_result(self, callback: OnResult[T_co], /) -> None:
        """Report the result, or the error, to `callback`.

        It is called at once, at this thread's next use of the store, or when the thread ends. It may not use the store.
        """


@dataclass(frozen=True, slots=True)
class ReadyReply(Generic[T]):
    """A result that is there already."""

    value: T

    def result(self) -> T:
        return self.value

    def on_result(self, callback: OnResult[T]) -> None:
        callback(self.value)


@dataclass(frozen=True, slots=True)
class MappedReply(Generic[T, U]):
    """A reply whose result is another's, converted."""

    reply: Reply[T]
    convert: Callable[[T], U]

    def result(self) -> U:
        return self.convert(self.reply.result())

    def on_result(self, callback: OnResult[U]) -> None:
        self.reply.on_result(partial(self._convert_for, callback))

    def _convert_for(self, callback: OnResult[U], outcome: T | StoreError) -> None:
        callback(outcome if isinstance(outcome, StoreError) else self.convert(outcome))
