"""Makes ``twistd zaqar-gateway`` known.  Imports nothing of the package, so that listing plug-ins stays cheap."""

from twisted.application.service import ServiceMaker

zaqar_gateway = ServiceMaker(
    "zaqar-gateway",
    "zaqar_gateway.tap",
    "OpenStack Messaging (Zaqar v2) over HTTP and WebSocket, on Redis.",
    "zaqar-gateway",
)
