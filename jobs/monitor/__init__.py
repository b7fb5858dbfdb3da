"""What outcomes become: logs, metrics, traces."""
