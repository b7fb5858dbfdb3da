"""Reports on arq: long jobs, deferred jobs, and arguments that only pickle carries."""
