"""Command modules; `jobs.cli.COMMANDS` maps each command's name to its module.

`demo`          run a whole campaign against a simulated voice provider
`chaos`         run a campaign under injected faults
`worker`        run the jobs of some queues
`servers`       start and stop the embedded servers (`up`, `down`)
`migrate`       migrate the database
`enqueue`       enqueue one job
`status`        show queue statistics
`dead_letters`  inspect, retry and discard dead letters (`failed`)
`schedule`      show cron schedules and their next fire times
`lead`          import leads
`campaign`      create, control and show campaigns
`report`        write a campaign's report
`reconcile`     enqueue every scheduled job now
"""
