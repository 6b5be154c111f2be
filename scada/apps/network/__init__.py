"""Network analysis: bus-branch model, power flow, sensitivities."""
