"""The contract with clients, held over real sockets: both transports, both stores."""
