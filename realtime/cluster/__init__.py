"""Several workers that serve as one: any of them takes any request (docs/scaling.md)."""
