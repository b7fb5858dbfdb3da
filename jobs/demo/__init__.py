"""Demo: a whole campaign against a simulated voice provider, checked by invariants.

`scenario`     the inputs of a run: leads, provider plan, policy
`people`       synthetic lead files
`dataset`      recorded campaigns from CSV files
`environment`  temporary databases and a folder for one run
`workers`      worker processes of a run
`steps`        steps shared with `jobs.chaos`: import, qualify, tag, enroll
`run`          a run from the lead file to the report
`invariants`   checks of the outcome
`console`      progress and result tables
"""
