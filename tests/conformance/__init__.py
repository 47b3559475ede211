"""WebSocket conformance: the cases of Autobahn|Testsuite against our framing."""
