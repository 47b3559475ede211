"""Tests of the descriptions: well formed, complete, and true of a gateway."""
