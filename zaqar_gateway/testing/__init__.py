"""The contracts of a storage backend, as mixins for trial's test cases, written against the interfaces alone.

A backend passes when a subclass of each of them passes that sets ``clock`` and ``storage`` in its ``setUp``; those of
this package are in ``tests/storage``.
"""
