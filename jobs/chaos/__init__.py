"""`ringline chaos`: a campaign under faults, and whether the books balance afterwards.

`schedule`   which fault comes when, a pure function of the seed
`servers`    a Redis and a PostgreSQL of the run's own, to be killed and started again
`links`      the network between a worker and what it talks to: cut, slow, silent, half-open
`fleet`      the workers: killed, frozen, deployed anew, with a wrong clock
`inject`     how each fault is brought about
`recovery`   how long the jobs of a worker that fell silent take to go on elsewhere
`load`       what is going on meanwhile: a campaign, and jobs that follow a script
`books`      what must be right in the end
`run`, `console`   the run itself, and how it is shown
"""
