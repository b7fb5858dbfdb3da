"""Personal data and secrets, masked wherever logs, errors and commands show them.

`masking`      phone numbers, email addresses, names and URLs, each alone or within a text
`fields`       values masked by the name of their field, and error texts that repeat them
`error_text`   messages and tracebacks of errors: masked, encodable and bounded in length
"""
