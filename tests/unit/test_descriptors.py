"""Descriptors that go with their holder, and the end of a poll."""

from __future__ import annotations

import gc
import os
import select
import subprocess
import sys
import threading

import pytest

from gitpaas.descriptors import Waker, close_with


class Holder:
    pass


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def poll(waker: Waker, seconds: float) -> bool:
    poll = select.poll()
    poll.register(waker, select.POLLIN)
    return bool(poll.poll(1000 * seconds))


@pytest.fixture
def fd() -> int:
    return os.open(os.devnull, os.O_RDONLY)


def test_what_nobody_holds_any_more_is_closed(fd: int) -> None:
    holder = Holder()
    close_with(holder, os.close, fd)
    assert is_open(fd)
    del holder
    gc.collect()
    assert not is_open(fd)


def test_closed_early_it_is_not_closed_again(fd: int) -> None:
    holder = Holder()
    close = close_with(holder, os.close, fd)
    close()
    another = os.open(os.devnull, os.O_RDONLY)
    again = os.dup2(another, fd)  # the same number, for something else
    close()
    del holder
    gc.collect()
    assert is_open(again)
    for number in {another, again}:
        os.close(number)


def test_it_stays_open_for_the_threads_of_a_process_that_ends() -> None:
    code = """if True:
        import atexit, sys
        from gitpaas.descriptors import close_with
        atexit.register(print, "the end")
        sys.holder = type("Holder", (), {})()
        close_with(sys.holder, print, "closed")
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "the end\n"


def test_a_poll_ends_when_another_thread_wakes_it() -> None:
    waker = Waker()
    timer = threading.Timer(0.05, waker.wake)
    timer.start()
    assert poll(waker, 60)
    timer.join()
    assert waker.was_woken()


def test_a_wake_before_the_poll_ends_it_and_none_after_it() -> None:
    waker = Waker()
    waker.wake()
    waker.wake()
    assert poll(waker, 60)
    assert waker.was_woken()
    assert not waker.was_woken()
    assert not poll(waker, 0)


def test_nobody_who_wakes_waits_for_the_one_who_sleeps() -> None:
    waker = Waker()
    for _ in range(100_000):  # more than a pipe holds
        waker.wake()
    assert poll(waker, 0)


def test_a_waker_leaves_no_descriptor_open() -> None:
    waker = Waker()
    fd = waker.fileno()
    del waker
    gc.collect()
    assert not is_open(fd)
