"""A benchmark of servers that speak the messaging API v2, side by side in one run.

``python -m bench --help`` tells how to run it.  The parts, in the order in which a run uses them:

* :mod:`bench.cli` reads the command line; :mod:`bench.servers` and :mod:`bench.peer_zaqar` start what is compared;
* :mod:`bench.suite` goes through scenarios, transports and repeats; :mod:`bench.measure` makes one measurement;
* :mod:`bench.scenarios` and :mod:`bench.backlog` say what is asked of a server, in the words of :mod:`bench.api`;
* :mod:`bench.load` sends it;
* :mod:`bench.results` keeps the numbers, :mod:`bench.report` shows them.
"""
