"""Which queue a job belongs to: its name says it, so that a producer imports nothing. And which
Redis a queue is on."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from jobs.settings import Settings, get_settings

DEFAULT_EXPIRY_MS: Final = 30 * 86_400_000
"""How long a job waits after it is due, before it is given up; arq's is a day."""


@dataclass(frozen=True, slots=True)
class QueueNames:
    """The rule: `lead.qualify` goes to `lead_tasks` when `lead` is a domain, else to `default`."""

    domains: frozenset[str] = field(default_factory=frozenset)
    default: str = "default"

    @classmethod
    def from_settings(cls, settings: Settings | None = None) -> "QueueNames":
        settings = settings or get_settings()
        return cls(frozenset(settings.task_domains), settings.task_default_queue)

    def of_job(self, name: str) -> str:
        """The queue of the job `name`; a name without a known prefix belongs to the default."""
        prefix, dot, _ = name.partition(".")
        return f"{prefix}_tasks" if dot and prefix in self.domains else self.default

    def canonical(self, queue: str) -> str:
        """The queue that `queue` means: `lead_queue` is another name of `lead_tasks`."""
        prefix = queue.removesuffix("_queue")
        return f"{prefix}_tasks" if prefix != queue and prefix in self.domains else queue

    def all(self) -> Iterable[str]:
        """Every queue that a job of this project can be in."""
        return [*(f"{domain}_tasks" for domain in sorted(self.domains)), self.default]


def served_queues(
    queues: Iterable[str], names: Callable[[], QueueNames] = QueueNames.from_settings
) -> list[str]:
    """The queues that these names mean, and those of the very names: a plain arq pool puts jobs
    where it is told to. names: asked for only where one may be another name of a queue."""
    given = list(queues)
    if not any(queue.endswith("_queue") for queue in given):
        return given
    canonical = names().canonical
    return list(dict.fromkeys(name for queue in given for name in (canonical(queue), queue)))
