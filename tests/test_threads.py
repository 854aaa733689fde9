"""Work in threads, in order, and no further ahead than allowed."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from vlt.threads import InTurn, Room, map_in_order


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_in_order(threads: int) -> None:
    def work(number: int) -> int:
        time.sleep(0.002 * (number % 3))
        return number * number

    assert list(map_in_order(work, range(50), threads)) == [n * n for n in range(50)]


@pytest.mark.parametrize("ahead", [1, 3])
def test_no_more_is_read_than_ahead(ahead: int) -> None:
    read = 0

    def given() -> Iterator[int]:
        nonlocal read
        for number in range(1, 100):
            read = number
            yield number

    results = map_in_order(lambda n: n, given(), 4, ahead=ahead)
    for taken in range(1, 20):
        next(results)
        assert read <= taken + ahead - 1


def test_an_error_comes_where_its_result_would() -> None:
    results = map_in_order(lambda n: 10 // n, [5, 2, 0, 1], 2)
    assert [next(results), next(results)] == [2, 5]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_who_stops_taking_does_not_wait_for_what_nobody_began() -> None:
    began: list[int] = []
    go_on = threading.Event()

    def work(number: int) -> int:
        began.append(number)
        if number:
            go_on.wait(5)
        return number

    results = map_in_order(work, range(100), 2, ahead=50)
    assert next(results) == 0
    go_on.set()
    results.close()
    assert len(began) < 60


def test_room_is_taken_when_others_have_given_theirs_back() -> None:
    room, work, over = Room(10), InTurn(100), threading.Event()
    for _ in range(2):
        room.take(5)
        work.do(room.during, 5, over.wait, 20)
    taken: list[int] = []
    waiting = threading.Thread(target=lambda: (room.take(6), taken.append(6)))
    waiting.start()
    waiting.join(0.1)
    assert not taken
    over.set()
    work.finish()
    waiting.join(20)
    assert taken == [6]


def test_room_is_given_back_by_a_call_that_fails() -> None:
    room = Room(10)
    room.take(10)
    with pytest.raises(ZeroDivisionError):
        room.during(10, lambda: 1 // 0)
    room.take(10)


def test_more_than_all_room_is_given_to_one_alone() -> None:
    room = Room(10)
    room.take(25)
    room.during(25, lambda: None)
    room.take(10)
