"""What is outstanding: rules one by one, and whatever comes in whatever order against a plain model."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from zaqar_gateway.live.outstanding import TOTAL_MAX, Outstanding


def name(number: int, queue: str = "a") -> str:
    """The id of a message: ids sort by their numbers."""
    return f"{number:014x}{queue * 10}"


def names(*numbers: int) -> list[str]:
    """Some ids."""
    return [name(each) for each in numbers]


class Rules(SynchronousTestCase):
    """A window of four and a deadline of 30 s, with messages 1 to 3 sent at the instant 0."""

    def setUp(self) -> None:
        self.them = Outstanding(4, 30)
        for number in (1, 2, 3):
            self.assertFalse(self.them.send(name(number), 0))

    def again(self, now_s: float) -> list[str]:
        """What is to be sent again."""
        self.them.settle(now_s)
        return self.them.again(100)

    def test_window(self) -> None:
        """What is sent fills the window; what is done makes room."""
        self.assertEqual((self.them.room, self.them.room_for_new), (1, 1))
        self.them.send(name(4), 0)
        self.assertEqual((self.them.room, self.them.room_for_new), (0, 0))
        self.assertEqual(self.them.done(names(2, 2, 9)), 1)
        self.assertEqual((self.them.room, len(self.them)), (1, 3))

    def test_smaller_window(self) -> None:
        """A window that becomes smaller than what is sent has no room until enough is done."""
        self.them.window = 1
        self.assertEqual(self.them.room, 0)
        self.them.done(names(1, 2, 3))
        self.assertEqual(self.them.room, 1)

    def test_deadline(self) -> None:
        """What is not done by its deadline is ready, in order, and before anything new."""
        self.them.send(name(4), 10)
        self.assertEqual(self.them.next_s(), 30)
        self.assertEqual(self.again(29), [])
        self.assertEqual(self.again(30), names(1, 2, 3))
        self.assertEqual((self.them.room, self.them.room_for_new), (3, 0))
        self.assertTrue(self.them.is_ready(name(1)))
        self.assertTrue(self.them.send(name(1), 31))
        self.assertFalse(self.them.is_ready(name(1)))
        self.assertEqual((self.again(31), self.them.next_s()), (names(2, 3), 40))

    def test_done_when_ready(self) -> None:
        """What is done while it is ready or waiting does not come again."""
        self.them.refuse(names(3), 100, 0)
        self.them.settle(30)
        self.assertEqual(self.them.done(names(1, 3)), 2)
        self.assertEqual((self.again(1000), self.them.next_s()), (names(2), None))

    def test_refused(self) -> None:
        """What is refused is ready at once, or after its delay; meanwhile it leaves its place in the window to others."""
        self.assertEqual(self.them.refuse(names(2, 7), 0, 1), 1)
        self.assertEqual(self.again(1), names(2))
        self.assertEqual(self.them.refuse(names(1, 2), 5, 1), 2)
        self.assertEqual((self.again(1), self.them.room_for_new), ([], 3))
        self.assertEqual(self.again(6), names(1, 2))

    def test_extended(self) -> None:
        """A deadline counts from when it is given; one that has just passed is given again, a delay is not one."""
        self.them.refuse(names(3), 40, 0)
        self.assertEqual(self.them.extend(names(1, 3, 8), 60, 10), 1)
        self.assertEqual(self.again(30), names(2))
        self.assertEqual(self.them.extend(names(2), 5, 31), 1)
        self.assertEqual((self.again(35), self.again(36)), ([], names(2)))
        self.assertEqual(self.again(70), names(1, 2, 3))

    def test_up_to(self) -> None:
        """All up to a message are those sent before it, in whatever state, though it be done itself."""
        self.them.refuse(names(1), 100, 0)
        self.assertEqual(self.them.up_to(name(2)), names(1, 2))
        self.them.done(names(2))
        self.assertEqual(self.them.up_to(name(2)), names(1))
        self.assertEqual(self.them.up_to(name(99)), names(1, 3))

    def test_up_to_others(self) -> None:
        """An id of another queue, or a text that is no id, is no place here."""
        for other in (name(99, "b"), "", "x", "\x00", "zzzzzzzzzzzzzzzzzzzzzzzzzzzz"):
            self.assertEqual(self.them.up_to(other), [])

    def test_moved_messages(self) -> None:
        """Messages whose ids are not in the order of the queue, as in a dead letter queue, are in the order of sending."""
        them = Outstanding(10, 30)
        for number in (7, 3, 5):
            them.send(name(number), 0)
        self.assertEqual(sorted(them.up_to(name(3))), names(3, 7))
        them.settle(30)
        self.assertEqual(them.again(10), names(7, 3, 5))

    def test_begin(self) -> None:
        """What an earlier connection was sent is ready, within the window, before anything new."""
        them = Outstanding(2, 30)
        them.begin(names(4, 6, 8))
        self.assertEqual((them.again(10), them.room_for_new), (names(4, 6), 0))
        self.assertTrue(them.send(name(4), 0))
        self.assertEqual(them.again(10), names(6))

    def test_unseen(self) -> None:
        """Of what an earlier connection was sent nothing is acknowledged, refused, extended or found before it is sent here."""
        them = Outstanding(1, 30)
        them.begin(names(4, 6, 8))
        them.send(name(4), 0)
        self.assertEqual([them.is_unseen(each) for each in names(4, 6, 8, 9)], [False, True, True, False])
        self.assertEqual(them.known(names(4, 6, 9)), names(4))
        self.assertEqual((them.refuse(names(6), 100, 0), them.extend(names(6, 8), 1000, 0)), (0, 0))
        for last in (4, 5, 6, 99):
            self.assertEqual(them.up_to(name(last)), names(4))
        self.assertEqual((them.done(names(4)), them.again(10)), (1, names(6)))
        them.send(name(6), 0)
        self.assertEqual((them.known(names(6)), them.up_to(name(99))), (names(6), names(6)))

    def test_ready_behind(self) -> None:
        """What is ready behind a message does not hang on the window, nor on whether that one is ready."""
        them = Outstanding(1, 30)
        them.begin(names(4, 6, 8))
        self.assertEqual((them.ready_behind(name(4), 1), them.ready_behind(name(4), 9)), (names(6), names(6, 8)))
        them.send(name(4), 0)
        self.assertEqual((them.ready_behind(name(4), 9), them.ready_behind(name(8), 9)), (names(6, 8), []))

    def test_total(self) -> None:
        """Refused messages do not add up without end."""
        them = Outstanding(1000, 30)
        count = 0
        while them.room_for_new:
            them.send(name(count), 0)
            them.refuse(names(count), 1000, 0)
            count += 1
        self.assertEqual(count, TOTAL_MAX)
        them.done(names(5))
        self.assertEqual(them.room_for_new, 1)

    def test_deadlines_given_again_and_again(self) -> None:
        """What is planned anew many times takes no more memory."""
        for at_s in range(10_000):
            self.them.extend(names(1), 1000, at_s)
        self.assertLess(len(self.them._agenda), 100)
        self.assertEqual(self.them.next_s(), 30)


_IDS = st.lists(st.integers(0, 30), max_size=5)
_STEPS = st.one_of(
    st.tuples(st.just("new"), st.integers(1, 10)),
    st.tuples(st.just("again"), st.integers(1, 10)),
    st.tuples(st.just("pass"), st.integers(0, 20)),
    st.tuples(st.just("done"), _IDS),
    st.tuples(st.just("up_to"), st.integers(0, 40)),
    st.tuples(st.just("refuse"), st.tuples(_IDS, st.integers(0, 15))),
    st.tuples(st.just("extend"), st.tuples(_IDS, st.integers(1, 15))),
    st.tuples(st.just("window"), st.integers(1, 8)),
)


class Model(SynchronousTestCase):
    """Against one dictionary of what is outstanding: its state and the instant at which that ends."""

    @settings(max_examples=300, deadline=None)
    @given(st.integers(1, 8), st.integers(1, 15), st.integers(0, 6), st.lists(_STEPS, max_size=60))
    def test_any_order(self, window: int, deadline_s: int, pending: int, steps: list[tuple[str, Any]]) -> None:
        """Whatever is asked in whatever order: what is sent fits the window, what is ready comes in order, nothing that is
        not done is lost, and what time brings it brings when it is due."""
        them, now_s, last = Outstanding(window, deadline_s), 0, pending - 1
        model: dict[int, tuple[str, int]] = {number: ("ready", 0) for number in range(pending)}
        them.begin(names(*model))
        unseen = set(model)
        for what, arg in steps:
            if what == "new":
                for _ in range(min(arg, them.room_for_new)):
                    last += 1
                    self.assertFalse(them.send(name(last), now_s))
                    model[last] = "sent", now_s + deadline_s
            elif what == "again":
                ready = [number for number, (state, _) in sorted(model.items()) if state == "ready"]
                found = them.again(arg)
                self.assertEqual(found, names(*ready[: min(arg, them.room)]))
                for number in ready[: len(found)]:
                    self.assertTrue(them.send(name(number), now_s))
                    model[number] = "sent", now_s + deadline_s
                    unseen.discard(number)
            elif what == "pass":
                now_s += arg
                them.settle(now_s)
                for number, (state, at_s) in model.items():
                    if state != "ready" and at_s <= now_s:
                        model[number] = "ready", 0
            elif what == "done":
                self.assertEqual(them.known(names(*arg)), names(*dict.fromkeys(n for n in arg if n in model and n not in unseen)))
                gone = {number for number in arg if model.pop(number, None)}
                self.assertEqual(them.done(names(*arg)), len(gone))
                unseen -= gone
            elif what == "up_to":
                below = [number for number in model if number <= arg and number not in unseen]
                self.assertEqual(sorted(them.up_to(name(arg))), sorted(names(*below)))
                them.done(names(*below))
                for number in below:
                    del model[number]
            elif what == "refuse":
                numbers, delay_s = arg
                known = {number for number in numbers if number in model and number not in unseen}
                self.assertEqual(them.refuse(names(*numbers), delay_s, now_s), len(known))
                for number in known:
                    model[number] = ("waiting", now_s + delay_s) if delay_s else ("ready", 0)
            elif what == "extend":
                numbers, extra_s = arg
                known = {number for number in numbers if model.get(number, ("waiting",))[0] != "waiting"} - unseen
                self.assertEqual(them.extend(names(*numbers), extra_s, now_s), len(known))
                for number in known:
                    model[number] = "sent", now_s + extra_s
            else:
                them.window = arg
            states = [state for state, _ in model.values()]
            self.assertEqual(len(them), len(model))
            self.assertEqual(them.sent_count, states.count("sent"))
            self.assertEqual(them.room, max(0, them.window - states.count("sent")))
            self.assertEqual(them.room_for_new, 0 if "ready" in states else them.room)
            self.assertEqual(them.next_s(), min((at_s for state, at_s in model.values() if state != "ready"), default=None))
