"""What users of the jobs test with."""
