"""Tests; ``trial zaqar_gateway_sms`` runs them."""
