"""Bytes in and out, without their meaning: storage, retries, leases, Torch7 files."""
