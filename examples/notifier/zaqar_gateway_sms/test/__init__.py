"""Tests; ``trial zaqar_gateway_redact`` runs them."""
