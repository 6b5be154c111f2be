"""Events, alarms and sequence of events."""
