"""Tests; ``trial zaqar_gateway_journal`` runs them."""
