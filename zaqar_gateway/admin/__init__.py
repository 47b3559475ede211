"""What a gateway tells its operators: metrics and health, on listeners of their own.

``site`` answers requests from a source, which need not be a gateway in the same process; ``source`` is that of one gateway.  What
a gateway counts stands in :mod:`zaqar_gateway.meters`.
"""
