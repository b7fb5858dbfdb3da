"""Chaos run (`ringline chaos`): a campaign under injected faults, checked by invariants.

`schedule`    fault schedule, a pure function of the seed
`servers`     temporary Redis and PostgreSQL servers that can be killed and restarted
`proxies`     network between a worker and its peers: cut, slow, silent, half-open
`workers`     worker processes: killed, frozen, redeployed
`clock_skew`  a worker with a wrong clock
`faults`      injection of each fault
`recovery`    recovery time of the jobs of a lost worker
`workload`    a campaign and scripted jobs that run during the faults
`invariants`  checks of the outcome
`run`         the run itself
`report`      figures and JSON report of a run
`console`     progress lines and result tables
"""
