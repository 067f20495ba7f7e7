"""What is tried on two hosts."""
