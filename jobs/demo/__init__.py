"""The main job: a whole campaign, end to end, with books that must balance at its end."""
