"""Thin typed clients for what AWS offers. Behaviour of ours does not belong here: it is the stages'."""
