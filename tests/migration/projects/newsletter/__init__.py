"""Newsletter on arq: a schedule, retries, and a mail server in the context."""
