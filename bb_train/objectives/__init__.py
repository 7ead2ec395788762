"""Task and constraints of the rail's training: losses, duals, gradients, audit, log.

Each loss is a `Term`: raw units for the dual, and what is differentiated for the weights. Files:
`step` ties them together; `duals`, `scales`, `surgery` and `gradients` decide the direction;
`vocabulary`, `plan_positions`, `forbidden`, `divergence`, `graphs`, `library` and `calibration`
measure; `wireheading` watches; `step_log` writes down.
"""
