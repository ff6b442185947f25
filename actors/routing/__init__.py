"""Routing policies as plain functions and small classes; no Ray in them."""
