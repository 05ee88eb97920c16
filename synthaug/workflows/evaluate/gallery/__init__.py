"""A page to look through synthetic sets by class, beside what an evaluation found."""
