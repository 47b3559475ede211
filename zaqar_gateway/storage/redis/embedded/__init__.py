"""A Redis of one's own: a child process on a Unix socket in a data directory, started, watched and stopped here.

What the child has acknowledged survives the end of any process: it writes its append-only file before it answers, so
that the kernel has it (``appendonly.py``), and takes no more before there is no room left (``room.py``).  Three things keep
two servers from ever writing to one directory:

* the gateway holds a lock on ``lock`` in the directory (``flock``) for as long as it may have a child;
* the child holds a lock on ``redis.lock`` (a POSIX record lock, which ``exec`` keeps and ``fork`` does not pass on), so
  that one which outlived its gateway is found, by the process id in that file, and stopped before the next one starts;
* on Linux the child gets SIGTERM in the moment in which its gateway ends, however that ends.
"""
