"""What the nodes of a cluster tell."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from zaqar_gateway.storage.redis.cluster.slots import SLOTS
from zaqar_gateway.storage.redis.cluster.topology import View, merged, read

ASKED = ("asked", 7000)

HEALTHY = """\
a 10.0.0.1:7000@17000 myself,master - 0 0 1 connected 0-8191 8193
b 10.0.0.2:7000@17000 master - 0 1 2 connected 8192 8194-16383 [93->-c] [77-<-a]
c 10.0.0.3:7000@17000 slave a 0 1 1 connected
d 10.0.0.4:7000@17000 slave,fail? a 0 1 1 disconnected
e 10.0.0.5:7000@17000 slave b 0 1 2 connected
f :0@0 master,noaddr - 0 1 3 disconnected
"""

A, B, C, E = ((f"10.0.0.{number}", 7000) for number in (1, 2, 3, 5))


def view(*lines: str) -> View:
    """What a node tells by some lines."""
    return read("\n".join(lines), ASKED)


class ViewTests(SynchronousTestCase):
    """The answer of one node."""

    def test_healthy(self) -> None:
        """Slots; replicas and places of all that are not away."""
        found = read(HEALTHY, ASKED)
        owners = merged([found]).owners()
        self.assertEqual([owners[slot] for slot in (0, 8191, 8192, 8193, 8194, 16383)], [A, A, B, A, B, B])
        self.assertEqual((found.replicas[A], found.replicas[B]), ({C}, {E}))
        self.assertEqual(found.places, {A, B, C, E})

    def test_addresses(self) -> None:
        """A node that does not know where it is is where it was asked; a name goes before an address where it is to; IPv6 has colons."""
        for address, host, by_name in (
            (":7000@17000", "asked", "asked"),
            (":7000@17000,node-1", "node-1", "node-1"),
            ("10.0.0.1:7000@17000,", "10.0.0.1", "10.0.0.1"),
            ("10.0.0.1:7000@17000,node-1.example", "10.0.0.1", "node-1.example"),
            ("10.0.0.1:7000@17000,node-1,shard-id=5f", "10.0.0.1", "node-1"),
            ("10.0.0.1:7000@17000,,tls-port=0,shard-id=5f", "10.0.0.1", "10.0.0.1"),
            ("10.0.0.1:7000", "10.0.0.1", "10.0.0.1"),
            ("::1:7000@17000", "::1", "::1"),
        ):
            line = f"a {address} myself,master - 0 0 1 connected 0-16383"
            self.assertEqual(read(line, ASKED).places, {(host, 7000)}, address)
            self.assertEqual(read(line, ASKED, by_name=True).places, {(by_name, 7000)}, address)

    def test_moving(self) -> None:
        """What is on its way to that node, or from it."""
        found = view("a h:1 myself,master - 0 0 1 c 0-16383 [93->-b] [77-<-b]", "b h:2 master - 0 0 2 c [5->-a]")
        self.assertEqual(found.moving, {93, 77})

    def test_named(self) -> None:
        """A node that has a name is found by its address as well."""
        text = "a 10.0.0.1:7000@17000,node-1 myself,master - 0 0 1 c 0-16383\nb 10.0.0.2:7000 slave a 0 0 2 c"
        found = read(text, ASKED, by_name=True)
        self.assertEqual(found.by_address, {A: ("node-1", 7000)})

    def test_no_answer_of_a_node(self) -> None:
        """What is something else is refused."""
        for text in ("hello", "a 10.0.0.1 master - 0 0 1 connected", "a h:1 master - 0 0 x connected 5", "a h:1 master - 0 0 1 c 5-4"):
            with self.assertRaises(ValueError):
                read(text, ASKED)
        for slots in ("16384", "0-99999", "x"):
            with self.assertRaises(ValueError):
                view(f"a h:1 master - 0 0 1 connected {slots}")


class MergedTests(SynchronousTestCase):
    """What several tell."""

    def test_failover(self) -> None:
        """A master that was replaced, and does not know it, is not believed, whoever answers first."""
        old = view("a 10.0.0.1:7000 myself,master - 0 0 1 connected 0-16383", "c 10.0.0.3:7000 slave a 0 0 1 connected")
        new = view("a 10.0.0.1:7000 master,fail - 0 0 1 connected", "c 10.0.0.3:7000 myself,master - 0 0 4 connected 0-16383")
        for views in ([old, new], [new, old]):
            self.assertEqual(merged(views).owners(), [C] * SLOTS)

    def test_moved(self) -> None:
        """A slot that moved is where the later epoch says, and the others stay."""
        old = view("a 10.0.0.1:7000 master - 0 0 1 c 0-16383", "b 10.0.0.2:7000 master - 0 0 2 c")
        new = view("a 10.0.0.1:7000 master - 0 0 1 c 0-99 101-16383", "b 10.0.0.2:7000 master - 0 0 3 c 100")
        owners = merged([new, old]).owners()
        self.assertEqual([owners[slot] for slot in (99, 100, 101)], [A, B, A])

    def test_another_address(self) -> None:
        """A node is where it says itself, whatever others say that are cut off and know its former address."""
        told = "a 10.0.0.1:7000 {}master - 0 0 1 c 0-99", "b 10.0.0.2:7000 {}master - 0 0 2 c 100-16383", "c 10.0.0.3:7000 {}master - 0 0 3 c"
        for port in range(7001, 7017):  # in any order
            anew = [line.replace("10.0.0.1:7000", f"10.0.0.1:{port}") for line in told]
            views = [view(*(line.format("myself," * (at == own)) for at, line in enumerate(anew if own < 2 else told))) for own in range(3)]
            for some in (views, views[::-1], views[::2]):
                owners = merged(some).owners()
                self.assertEqual((owners[0], owners[100]), (("10.0.0.1", port), B))

    def test_replicas(self) -> None:
        """Whoever reaches most counts: one that is cut off reaches none."""
        lines = "a 10.0.0.1:7000 master - 0 0 1 c 0-16383", "c 10.0.0.3:7000 slave a 0 0 1 c", "d h:1 slave a 0 0 1 c"
        alone = "a 10.0.0.1:7000 myself,master - 0 0 1 c 0-16383", "c 10.0.0.3:7000 slave,fail? a 0 0 1 c", "d h:1 slave,fail a 0 0 1 c"
        for views in ([view(*lines), view(*alone)], [view(*alone), view(*lines)]):
            self.assertEqual(merged(views).replicas[A], {C, ("h", 1)})

    def test_another_cluster(self) -> None:
        """A node that left for another cluster, or has the address of one that is gone, is not believed, whatever epochs it tells."""
        one = view("a h:1 myself,master - 0 0 1 c 0-16383", "b h:2 slave a 0 0 1 c")
        left = view("b h:2 myself,slave x 0 0 9 c", "x h:9 master - 0 0 9 c 0-16383")
        other = view("y h:2 myself,master - 0 0 9 c 0-16383")
        for views in ([one, left], [left, one], [other, one], [other, left, one]):
            self.assertEqual(merged(views, one.names).owners(), [("h", 1)] * SLOTS)
        self.assertEqual(merged([left, other], one.names).names, frozenset())
        self.assertEqual(merged([one, left, other]).names, one.names)

    def test_growing(self) -> None:
        """A cluster of one node may grow, and its nodes be replaced one after the other."""
        known = view("a h:1 myself,master - 0 0 1 c 0-16383").names
        grown = merged([view("a h:1 myself,master - 0 0 1 c 0-16383", "b h:2 master - 0 0 2 c")], known)
        self.assertEqual(grown.places, {("h", 1), ("h", 2)})
        later = merged([view("b h:2 myself,master - 0 0 2 c 0-16383", "a h:1 master - 0 0 1 c", "d h:4 slave b 0 0 2 c")], grown.names)
        self.assertEqual(later.places, {("h", 1), ("h", 2), ("h", 4)})

    def test_uncovered(self) -> None:
        """A slot that nobody claims is nowhere."""
        self.assertEqual(merged([view("a 10.0.0.1:7000 master - 0 0 1 c 0-1")]).owners()[:3], [A, A, None])
        self.assertEqual(merged([]).owners(), [None] * SLOTS)
