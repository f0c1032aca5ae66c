"""Between a person and a program: what each says reaches the other, and the ends that neither chose."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

import pytest
from instances import until

from gitpaas.errors import OutOfTime
from gitpaas.oneoffs.relay import relay
from gitpaas.output import Terminal

Piece = tuple[int, bytes]


class Program:
    """Says what the test has put into `says`, and remembers all it was told. An empty piece is its end."""

    id = "demo"

    def __init__(self, *says: Piece, code: int | None = 0) -> None:
        self.says: queue.SimpleQueue[Piece] = queue.SimpleQueue()
        for piece in says:
            self.says.put(piece)
        self.told: queue.SimpleQueue[object] = queue.SimpleQueue()
        self.code = code

    def read(self, timeout: float) -> Piece:
        try:
            return self.says.get(timeout=timeout)
        except queue.Empty:
            raise TimeoutError from None

    def write(self, data: bytes) -> None:
        self.told.put(data)

    def end_input(self) -> None:
        self.told.put("end")

    def resize(self, columns: int, rows: int) -> None:
        self.told.put((columns, rows))

    def send(self, number: int) -> None:
        self.told.put(number)

    def wait(self, timeout: float) -> int:
        if self.code is None:
            threading.Event().wait(timeout)
            raise TimeoutError
        return self.code


class Person:
    """Types what the test has put into `types`."""

    terminal: Terminal | None = None

    def __init__(self, *types: bytes, leaves: bool = False) -> None:
        self.types: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        for text in types:
            self.types.put(text)
        self.seen: list[Piece] = []
        self.leaves = leaves
        self.on_resize: Callable[[int, int], None] | None = None
        self.on_signal: Callable[[int], None] | None = None

    def read(self, timeout: float) -> bytes | None:
        try:
            return self.types.get(timeout=timeout)
        except queue.Empty:
            return None

    def require_reader(self) -> None:
        if self.leaves:
            raise ConnectionResetError

    def write(self, data: bytes, *, error: bool = False) -> None:
        self.require_reader()
        self.seen.append((2 if error else 1, data))

    def listen(self, on_resize: Callable[[int, int], None], on_signal: Callable[[int], None]) -> None:
        self.on_resize, self.on_signal = on_resize, on_signal
        on_resize(132, 50)
        on_signal(15)


def test_all_of_it_arrives_and_the_exit_code_is_the_programs() -> None:
    program, person = Program((1, b"out"), (2, b"err"), code=7), Person(b"in", b"")
    ended: list[int] = []
    thread = threading.Thread(target=lambda: ended.append(relay(program, person)))
    thread.start()
    told = {program.told.get(timeout=60) for _ in range(4)}
    assert told == {b"in", "end", (132, 50), 15}
    program.says.put((1, b""))
    thread.join(60)
    assert ended == [7]
    assert [piece for piece in person.seen if piece[1]] == [(1, b"out"), (2, b"err")]


def test_person_who_has_left_is_noticed_though_nobody_says_anything() -> None:
    with pytest.raises(ConnectionError):
        relay(Program(), Person(leaves=True))


def test_person_who_leaves_while_the_program_has_closed_its_output_is_noticed() -> None:
    with pytest.raises(ConnectionError):
        relay(Program((1, b""), code=None), Person(leaves=True))


def test_reader_who_has_left_ends_it() -> None:
    with pytest.raises(ConnectionError):
        relay(Program((1, b"out")), Person(leaves=True))


def test_time_is_up_while_nobody_takes_what_the_program_says() -> None:
    class Busy(Person):
        """Takes something only when the test says so."""

        def __init__(self) -> None:
            super().__init__()
            self.begun, self.may_go_on, self.ended = threading.Event(), threading.Event(), threading.Event()

        def write(self, data: bytes, *, error: bool = False) -> None:
            self.begun.set()
            self.may_go_on.wait(60)
            super().write(data, error=error)
            self.ended.set()

    program, person = Program((1, b"one"), (1, b"two"), code=None), Busy()
    with pytest.raises(OutOfTime):
        relay(program, person, timeout=1)
    assert person.begun.is_set()
    # what is said after that is nobody's: the program's descriptors may be closed already
    person.may_go_on.set()
    assert person.ended.wait(60)
    until(lambda: "relay output" not in {thread.name for thread in threading.enumerate()})
    assert (person.seen, program.says.get_nowait()) == ([(1, b"one")], (1, b"two"))


@pytest.mark.parametrize("says", [(), ((1, b""),)], ids=["silent", "closed"])
def test_time_that_is_up_ends_it(says: tuple[Piece, ...]) -> None:
    with pytest.raises(OutOfTime) as failed:
        relay(Program(*says, code=None), Person(), timeout=0.1)
    assert failed.value.exit_code == 124
