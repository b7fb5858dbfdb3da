"""The voice provider: its protocol, and the simulator."""
