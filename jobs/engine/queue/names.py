"""Maps a job's name to its queue, so that producers need no import of the job."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from jobs.settings import Settings, get_settings

DEFAULT_EXPIRY_MS: Final = 30 * 86_400_000
"""Default time from a job's due time to its expiry, in milliseconds. arq's default is one day."""


@dataclass(frozen=True, slots=True)
class QueueNames:
    """Naming rule: `lead.qualify` belongs to `lead_tasks` if `lead` is a domain, else to `default`.

    Attributes:
        domains: Prefixes of job names that have a queue.
        default: Name of the default queue.
    """

    domains: frozenset[str] = field(default_factory=frozenset)
    default: str = "default"

    @classmethod
    def from_settings(cls, settings: Settings | None = None) -> "QueueNames":
        """Create the rule from settings.

        Args:
            settings: Settings to use. None for the settings of the process.

        Returns:
            The rule for TASK_DOMAINS and TASK_DEFAULT_QUEUE.
        """
        settings = settings or get_settings()
        return cls(frozenset(settings.task_domains), settings.task_default_queue)

    def of_job(self, name: str) -> str:
        """Return the queue of a job.

        Args:
            name: Name of the job.

        Returns:
            The queue of the name's prefix, or the default queue if the prefix is unknown.
        """
        prefix, dot, _ = name.partition(".")
        return f"{prefix}_tasks" if dot and prefix in self.domains else self.default

    def canonical(self, queue: str) -> str:
        """Resolve an alias: `lead_queue` is an alias of `lead_tasks`.

        Args:
            queue: Name or alias of a queue.

        Returns:
            The queue's canonical name.
        """
        prefix = queue.removesuffix("_queue")
        return f"{prefix}_tasks" if prefix != queue and prefix in self.domains else queue

    def all(self) -> Iterable[str]:
        """Return all queues of the rule, the default queue last."""
        return [*(f"{domain}_tasks" for domain in sorted(self.domains)), self.default]


def served_queues(
    queues: Iterable[str], names: Callable[[], QueueNames] = QueueNames.from_settings
) -> list[str]:
    """Return the queues that a worker serves for a list of names.

    An alias adds the queue of the same name, because arq's own pool resolves no aliases.

    Args:
        queues: Names or aliases of queues.
        names: Returns the naming rule. Called only if a name may be an alias.

    Returns:
        Canonical names, each followed by its alias if one was listed, without duplicates.
    """
    listed = list(queues)
    if not any(queue.endswith("_queue") for queue in listed):
        return listed
    canonical = names().canonical
    return list(dict.fromkeys(name for queue in listed for name in (canonical(queue), queue)))
