"""Background jobs for outbound calling, in native asyncio."""
