"""What rayboot depends on: known vulnerabilities, and licences."""
