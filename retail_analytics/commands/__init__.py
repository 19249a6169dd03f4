"""The command line's own work: what joins the stages for a person. Thin; the stages do the work."""
