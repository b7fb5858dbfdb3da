"""Life of a lead in a campaign: dialed, retried, done, and never dialed twice for one attempt."""

from dataclasses import replace
from datetime import timedelta
from importlib import import_module
from typing import Any

import pytest

from jobs.call.dispatch import DEFAULT_WAIT, MAX_REQUESTS
from jobs.errors import ExternalServiceError
from jobs.rules.caps import Caps
from jobs.rules.dispositions import CallOutcome, Disposition
from jobs.rules.pacing import Breaker, Pacing
from jobs.rules.policy import CampaignPolicy
from jobs.rules.states import CALL, CallStatus, CampaignStatus, EnrollmentStatus, LeadStatus
from jobs.store.model import LeadFilter, NewLead
from jobs.voice.simulator.faults import Trouble
from jobs.voice.simulator.script import answered, failed, unanswered
from tests.integration.domains.flow import NOON, NUMBER, Flow, open_flow

DISPATCH = import_module("jobs.call.dispatch")
NO_ANSWER = unanswered("no-answer", 480)
CONVERTED = answered(90, "converted")


async def test_unanswered_lead_is_called_again_and_converts(database_url: str) -> None:
    async with open_flow(database_url, scripts={NUMBER: [NO_ANSWER, CONVERTED]}) as flow:
        await flow.schedule()
        await flow.pass_time(minutes=1)

        waiting = await flow.enrollment()
        assert waiting.status is EnrollmentStatus.RETRY_WAIT
        assert waiting.tries == {Disposition.NO_ANSWER: 1}
        assert waiting.next_at is not None
        assert waiting.next_at >= NOON + timedelta(hours=4)

        await flow.pass_time(hours=4)
        await flow.schedule()
        if len(await flow.calls()) == 1:  # another part of the day may begin later
            flow.clock.advance(waiting.next_at - flow.clock.now())
            await flow.schedule()
        await flow.pass_time(minutes=5)

        first, second = sorted(await flow.calls(), key=lambda call: call.number)
        assert (first.status, first.disposition) == (CallStatus.NO_ANSWER, Disposition.NO_ANSWER)
        assert (second.status, second.outcome) == (CallStatus.COMPLETED, CallOutcome.CONVERTED)
        assert second.duration == 90
        assert (await flow.enrollment()).status is EnrollmentStatus.DONE
        async with flow.store.begin() as work:
            assert (await work.leads.get(second.lead_id)).status is LeadStatus.CONVERTED
        records = await flow.voice.records()
        assert (records.accepted, records.repeated_keys, records.overlapping) == (2, 0, 0)

        await flow.schedule()
        async with flow.store.begin() as work:
            campaign = await work.campaigns.get(flow.campaign_id)
        assert campaign.status is CampaignStatus.COMPLETED
        assert await flow.store.outbox_size() == 0


async def test_repeated_dispatch_dials_nobody_twice(database_url: str) -> None:
    async with open_flow(database_url) as flow:
        await flow.run("campaign.schedule_calls", flow.campaign_id)
        (dispatch,) = [job for job in flow.queue.waiting if job.function == "call.dispatch"]

        await flow.run("call.dispatch", *dispatch.args)
        await flow.run("call.dispatch", *dispatch.args)
        await flow.drain()

        assert (await flow.voice.records()).requests == 1


async def test_worker_death_between_intent_and_answer_is_reconciled(database_url: str) -> None:
    """The provider took the call, and the worker died before it stored the answer."""
    async with open_flow(database_url, scripts={NUMBER: [CONVERTED]}) as flow:
        await flow.run("campaign.schedule_calls", flow.campaign_id)
        (dispatch,) = [job for job in flow.queue.waiting if job.function == "call.dispatch"]
        flow.queue.waiting.remove(dispatch)
        await _die_after_the_request(flow, dispatch.args)

        await flow.run("call.dispatch", *dispatch.args)
        await flow.pass_time(minutes=5)

        (call,) = await flow.calls()
        assert (call.status, call.outcome) == (CallStatus.COMPLETED, CallOutcome.CONVERTED)
        records = await flow.voice.records()
        assert (records.requests, records.accepted) == (1, 1)


async def _die_after_the_request(flow: Flow, call_ids: tuple[object, ...]) -> None:
    place = flow.voice.place

    async def die(requests: object) -> object:
        await place(requests)  # type: ignore[arg-type]  # passed through
        raise KeyboardInterrupt

    flow.voice.place = die  # type: ignore[method-assign,assignment]  # dies after the request
    with pytest.raises(KeyboardInterrupt):
        await flow.run("call.dispatch", *call_ids)
    flow.voice.place = place  # type: ignore[method-assign]


async def test_request_that_never_arrived_is_retried(database_url: str) -> None:
    async with open_flow(database_url, trouble=Trouble(dropped=1.0)) as flow:
        await flow.schedule()
        await flow.pass_time(minutes=1)

        (call,) = await flow.calls()
        assert (call.status, call.provider_id) == (CallStatus.FAILED, None)
        assert call.disposition is Disposition.CARRIER_FAILURE
        enrollment = await flow.enrollment()
        assert (enrollment.status, enrollment.attempts) == (EnrollmentStatus.RETRY_WAIT, 0)


async def test_lost_answer_is_found_by_a_lookup(database_url: str) -> None:
    async with open_flow(
        database_url, scripts={NUMBER: [CONVERTED]}, trouble=Trouble(unanswered=1.0)
    ) as flow:
        await flow.schedule()
        await flow.pass_time(minutes=5)

        (call,) = await flow.calls()
        assert (call.status, call.duration) == (CallStatus.COMPLETED, 90)
        assert (await flow.voice.records()).requests == 1


async def test_provider_that_asks_to_wait_is_requested_again(database_url: str) -> None:
    async with open_flow(database_url, trouble=Trouble(wait=1.0, wait_seconds=30)) as flow:
        await flow.schedule()
        (call,) = await flow.calls()
        assert call.status is CallStatus.DIALING
        assert call.refused_until == NOON + timedelta(seconds=30)

        for _ in range(6):
            await flow.pass_time(seconds=30)

        (call,) = await flow.calls()
        assert (call.status, call.requests) == (CallStatus.FAILED, 5)
        assert (await flow.voice.records()).accepted == 0


async def test_frozen_worker_does_not_send_a_late_request(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other workers may have given up the attempt between its intent and its request."""
    async with open_flow(database_url, scripts={NUMBER: [CONVERTED]}) as flow:
        with monkeypatch.context() as frozen:
            frozen.setattr(DISPATCH, "ASK_WITHIN", -1.0)
            await flow.schedule()
        (call,) = await flow.calls()
        assert (call.status, call.refused_until) == (CallStatus.DIALING, NOON + DEFAULT_WAIT)
        assert (await flow.voice.records()).requests == 0

        await flow.pass_time(seconds=5)
        assert (await flow.voice.records()).accepted == 1


async def test_slow_answer_times_out_and_is_looked_up(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DISPATCH, "ANSWER_WITHIN", 0.05)
    trouble = Trouble(slow=1.0, slow_seconds=30)
    async with open_flow(database_url, scripts={NUMBER: [CONVERTED]}, trouble=trouble) as flow:
        await flow.schedule()
        await flow.pass_time(minutes=5)

        (call,) = await flow.calls()
        assert (call.status, call.duration) == (CallStatus.COMPLETED, 90)
        assert (await flow.voice.records()).requests == 1


@pytest.mark.parametrize("trouble", [None, Trouble(refuse=1.0)])
async def test_worker_presumed_dead_may_still_get_its_answer(
    database_url: str, trouble: Trouble | None
) -> None:
    """The job runs on another worker during the request; the call still ends."""
    async with open_flow(database_url, scripts={NUMBER: [CONVERTED]}, trouble=trouble) as flow:
        await flow.run("campaign.schedule_calls", flow.campaign_id)
        place = flow.voice.place

        async def slow(requests: Any) -> Any:
            flow.voice.place = place  # type: ignore[method-assign]
            await flow.run("call.dispatch", *(request.call_id for request in requests))
            return await place(requests)

        flow.voice.place = slow  # type: ignore[method-assign]  # responds late
        await flow.drain()
        for _ in range(MAX_REQUESTS):
            await flow.pass_time(minutes=5)

        (call,) = await flow.calls()
        assert call.status is (CallStatus.FAILED if trouble else CallStatus.COMPLETED)
        assert call.processed_at is not None
        assert (await flow.voice.records()).requests == (MAX_REQUESTS if trouble else 1)


async def test_call_dialed_during_a_lookup_is_not_failed(database_url: str) -> None:
    async with open_flow(database_url, scripts={NUMBER: [CONVERTED]}) as flow:
        await flow.run("campaign.schedule_calls", flow.campaign_id)
        (dispatching,) = [job for job in flow.queue.waiting if job.function == "call.dispatch"]
        lookup = flow.voice.lookup

        async def slow(call_ids: Any) -> Any:
            states = await lookup(call_ids)
            await flow.run("call.dispatch", *dispatching.args)
            flow.clock.advance(timedelta(seconds=11))
            return states

        flow.voice.lookup = slow  # type: ignore[method-assign]  # outdated result
        await flow.run("call.reconcile", *dispatching.args)
        flow.voice.lookup = lookup  # type: ignore[method-assign]
        (call,) = await flow.calls()
        assert not CALL.is_terminal(call.status)

        await flow.pass_time(minutes=5)
        assert (await flow.calls())[0].status is CallStatus.COMPLETED


async def test_do_not_call_applies_at_once_in_all_campaigns(database_url: str) -> None:
    scripts = {NUMBER: [answered(20, "do_not_call")]}
    async with open_flow(database_url, scripts=scripts) as flow:
        async with flow.store.begin() as work:
            other = await work.campaigns.add("default", "other", CampaignPolicy(), NOON)
            await work.campaigns.enrol(other.id, LeadFilter(), NOON)

        await flow.schedule()
        await flow.pass_time(minutes=2)

        async with flow.store.begin() as work:
            (lead_id,) = await work.leads.ids(LeadFilter())
            enrolments = await work.campaigns.enrolments_of(lead_id)
            later = NOON + timedelta(days=5 * 365)
            assert await work.leads.suppressed("default", [NUMBER], later) == {NUMBER}
        assert {e.status for e in enrolments} == {EnrollmentStatus.REMOVED}

        await flow.run("campaign.set_status", other.id, "start")
        await flow.schedule()
        assert (await flow.voice.records()).accepted == 1


async def test_lead_is_not_dialed_outside_the_window(database_url: str) -> None:
    night = NOON + timedelta(hours=10)
    async with open_flow(database_url, now=night) as flow:
        await flow.schedule()

        enrollment = await flow.enrollment()
        assert enrollment.next_at == NOON.replace(day=5, hour=13)
        assert (await flow.voice.records()).requests == 0


async def test_window_that_closed_before_dispatch_expires_the_call(database_url: str) -> None:
    async with open_flow(database_url) as flow:
        await flow.run("campaign.schedule_calls", flow.campaign_id)
        flow.clock.advance(timedelta(hours=10))
        await flow.drain()

        (call,) = await flow.calls()
        assert call.status is CallStatus.EXPIRED
        enrollment = await flow.enrollment()
        assert (enrollment.status, enrollment.attempts) == (EnrollmentStatus.RETRY_WAIT, 0)
        assert (await flow.voice.records()).requests == 0


async def test_lead_without_a_known_zone_is_not_dialed(database_url: str) -> None:
    async with open_flow(database_url, leads=[NewLead(NUMBER, timezone="Mars/Base")]) as flow:
        await flow.schedule()

        assert (await flow.enrollment()).status is EnrollmentStatus.REMOVED
        assert (await flow.voice.records()).requests == 0


async def test_paused_campaign_dials_again_after_resume(database_url: str) -> None:
    async with open_flow(database_url) as flow:
        await flow.run("campaign.schedule_calls", flow.campaign_id)
        await flow.run("campaign.set_status", flow.campaign_id, "pause")
        await flow.drain()
        assert (await flow.voice.records()).requests == 0
        assert (await flow.enrollment()).status is EnrollmentStatus.RETRY_WAIT

        await flow.run("campaign.set_status", flow.campaign_id, "resume")
        await flow.drain()
        assert (await flow.voice.records()).accepted == 1


async def test_canceled_campaign_ends_its_enrollments(database_url: str) -> None:
    async with open_flow(database_url) as flow:
        await flow.run("campaign.schedule_calls", flow.campaign_id)
        await flow.run("campaign.set_status", flow.campaign_id, "cancel")
        await flow.drain()

        assert (await flow.enrollment()).status is EnrollmentStatus.REMOVED
        assert (await flow.voice.records()).requests == 0


async def test_number_cap_applies_across_campaigns(
    database_url: str,
) -> None:
    policy = CampaignPolicy(caps=Caps(max_per_number=2))
    async with open_flow(database_url, policy=policy, scripts={NUMBER: [NO_ANSWER]}) as flow:
        async with flow.store.begin() as work:
            for name in ("second", "third"):
                other = await work.campaigns.add("default", name, policy, NOON)
                await work.campaigns.enrol(other.id, LeadFilter(), NOON)
                await work.campaigns.save(replace(other, status=CampaignStatus.RUNNING))
        await flow.schedule()

        assert (await flow.voice.records()).accepted == 2


async def test_breaker_trips_on_carrier_failures(database_url: str) -> None:
    numbers = [f"+1212555{n:04}" for n in range(100, 110)]
    policy = CampaignPolicy(
        breaker=Breaker(min_calls=5), pacing=Pacing(calls_per_second=None, max_concurrent=5)
    )
    async with open_flow(
        database_url,
        leads=[NewLead(number) for number in numbers],
        scripts={number: [failed(503)] for number in numbers},
        policy=policy,
    ) as flow:
        await flow.schedule()
        await flow.pass_time(seconds=30)
        await flow.schedule()

        async with flow.store.begin() as work:
            campaign = await work.campaigns.get(flow.campaign_id)
        assert campaign.status is CampaignStatus.PAUSED
        assert (await flow.voice.records()).accepted == 5


async def test_reconciliation_recovers_jobs_lost_in_redis(database_url: str) -> None:
    """Empty the queue after each step: every follow-up can be derived from the rows.

    `test_flush.py` empties it at random moments.
    """
    async with open_flow(database_url, scripts={NUMBER: [CONVERTED]}) as flow:
        for _ in range(40):
            flow.queue.waiting.clear()
            flow.clock.advance(timedelta(minutes=11))
            await flow.voice.settle()
            flow.queue.waiting.clear()
            await flow.run("call.reconcile")
            await flow.run("campaign.tick")
            batch, flow.queue.waiting = flow.queue.waiting, []
            for job in batch:
                await flow.run(job.function, *job.args, **job.kwargs)
            if (await flow.enrollment()).status is EnrollmentStatus.DONE:
                break

        (call,) = await flow.calls()
        assert (call.status, call.outcome) == (CallStatus.COMPLETED, CallOutcome.CONVERTED)
        assert (await flow.voice.records()).requests == 1


async def test_provider_outage_loses_no_call(database_url: str) -> None:
    async with open_flow(database_url, scripts={NUMBER: [CONVERTED]}) as flow:
        place = flow.voice.place

        async def down(requests: object) -> object:
            raise ExternalServiceError("the line is dead")

        flow.voice.place = down  # type: ignore[method-assign,assignment]  # an outage
        await flow.schedule()
        flow.voice.place = place  # type: ignore[method-assign]
        await flow.pass_time(seconds=11)
        assert (await flow.calls())[0].status is CallStatus.FAILED

        await flow.pass_time(minutes=5)
        await flow.schedule()
        await flow.pass_time(minutes=5)
        assert (await flow.enrollment()).status is EnrollmentStatus.DONE
