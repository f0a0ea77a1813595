"""From roll-outs to verdicts: what was measured, how sure it is, and what it does not show."""
