"""The Ansible collection, without hosts: what it says of itself, and what its templates make."""
