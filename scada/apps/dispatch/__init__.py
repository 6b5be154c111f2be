"""Orders of upstream dispatch: set-points and schedules, judged and turned into what AGC follows."""
