"""The audit's judgement: pure functions of what was read, without any connection. One small rule for each finding."""
