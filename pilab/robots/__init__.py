"""From a policy to motion: the Executor, and the simulator it drives in simulated time."""
