"""Tests of zaqar_gateway; the folders mirror the package."""
